"""How often items were shown at each place of lists, by the hour."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.features.arrays import Array, Mask, Times

_HOUR = 3_600_000_000  # microseconds
_PLACES = 1 << 16  # places are uint16


@dataclass(frozen=True)
class Shown:
    """Impressions counted together: of billions some hundred thousand numbers are left."""

    until: Times  # (m,) the end of the hour in which they were; 0 where the log has no clock
    places: Array  # (m,) from 1
    counts: Array  # (m,) above 0

    @classmethod
    def of(cls, times: Times, places: Array, clocked: bool) -> "Shown":
        """Count impressions (n,) with their places from 1; 0, an unknown place, is left out."""
        known = places > 0
        hours = times[known] // _HOUR + 1 if clocked else np.zeros(known.sum(), np.int64)
        keys, counts = np.unique(hours * _PLACES + places[known], return_counts=True)
        hours, places = np.divmod(keys, _PLACES)
        return cls(hours * _HOUR, places, counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def split_at(self, cutoff: int) -> tuple["Shown", "Shown"]:
        """(what was over at `cutoff`, the rest): an hour that it cuts through is of the rest."""
        over = self.until <= cutoff
        return self._where(over), self._where(~over)

    def totals(self) -> Array:
        """(places + 1,) how often something was shown at each place; nothing at place 0."""
        return np.bincount(self.places, self.counts).astype(np.int64)

    def save(self, path: Path) -> None:
        """Write an npz file."""
        np.savez(path, until=self.until, places=self.places, counts=self.counts)

    @classmethod
    def load(cls, path: Path) -> "Shown":
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**arrays)

    def _where(self, kept: Mask) -> "Shown":
        return Shown(self.until[kept], self.places[kept], self.counts[kept])
