"""How often items were shown at each place of lists, by the hour."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.features import npz
from recsys.features.arrays import MOST_TIME, Array, Mask, Times
from recsys.features.schema import ArraySchema

_HOUR = 3_600_000_000  # microseconds
_PLACES = 1 << 16  # places are uint16

_SCHEMAS = {
    "until": ArraySchema("int64", ("hours",), -MOST_TIME, MOST_TIME),
    "places": ArraySchema("int64", ("hours",), 1, _PLACES - 1),
    "counts": ArraySchema("int64", ("hours",), 1, 1 << 53),
}


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
        npz.write(path, until=self.until, places=self.places, counts=self.counts)

    @classmethod
    def load(cls, path: Path) -> "Shown":
        """What was saved; raises ArtifactError where the file is damaged."""
        return cls(*npz.read(path, _SCHEMAS))

    def _where(self, kept: Mask) -> "Shown":
        return Shown(self.until[kept], self.places[kept], self.counts[kept])
