"""Features of lists, kept in a temporary file and read some lists at a time."""

import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Self

import numpy as np

from recsys.features.arrays import Array, Floats, Offsets, Rows
from recsys.features.errors import TrainingError

_HELD = 32 << 20  # bytes up to which no file is made


class Spool:
    """A file of float32 that grows at its end, and that the system removes once nobody holds it.

    It is made where the module `tempfile` makes files: TMPDIR names another place. One thread at
    a time may use it.
    """

    def __init__(self, held: int = _HELD) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(held)  # noqa: SIM115
        self._end = 0
        weakref.finalize(self, self._file.close)

    def append(self, features: Floats) -> "Spooled":
        """Keep features (n, w, f) of some lists; raises TrainingError where there is no room."""
        values = np.ascontiguousarray(features, np.float32)
        lists, width, count = values.shape
        try:
            self._file.seek(self._end)
            self._file.write(values.data)
            self._file.flush()
        except OSError as error:
            raise TrainingError(
                f"features to learn from cannot be kept in a temporary file: {error}; name a "
                "folder with more room in TMPDIR, or learn from fewer lists: training.most_lists"
            ) from None
        starts = self._end + np.arange(lists, dtype=np.int64) * (4 * width * count)
        self._end += values.nbytes
        return Spooled(self, starts, np.full(lists, width, np.int32), width, count)

    def read(self, start: int, values: Floats) -> None:
        """Fill an array with what was kept from this byte on."""
        self._file.seek(start)
        self._file.readinto(values.data)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Spooled:
    """What an array (n, w, f) would hold, in a spool; `[places]` reads some of the lists."""

    spool: Spool
    starts: Offsets  # (n,) the byte at which each list begins
    widths: Rows  # (n,) its candidates; behind them are zeros
    width: int
    count: int  # of features

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, w, f)"""
        return len(self.starts), self.width, self.count

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, places: Array | slice) -> Floats:
        """The features (b, w, f) of the lists at these places (b,)."""
        starts, widths = self.starts[places], self.widths[places]
        features = np.empty((len(starts), self.width, self.count), np.float32)
        for own, start, width in zip(features, starts.tolist(), widths.tolist(), strict=True):
            self.spool.read(start, own[:width])
            own[width:] = 0
        return features

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of them (n, w, f): numpy reads them where it is given these."""
        if copy is False:
            raise ValueError("features on disk are always copied when they are read")
        return self[:].astype(dtype or np.float32, copy=False)

    def take(self, places: Array) -> Self:
        """Some of the lists, of which nothing is read."""
        return type(self)(
            self.spool, self.starts[places], self.widths[places], self.width, self.count
        )


Features = Floats | Spooled
"""(n, w, f): an array, or what stands for one."""


def some_of(features: Features, places: Array) -> Features:
    """Those of some lists, by position; of a spool nothing is read."""
    return features.take(places) if isinstance(features, Spooled) else features[places]


def joined(parts: Sequence[Features], width: int) -> Features:
    """Several as one of this width: they are read unless all of them are of one spool."""
    own = [part for part in parts if isinstance(part, Spooled) and part.spool is _of(parts[0])]
    if len(own) == len(parts):
        starts = np.concatenate([part.starts for part in own])
        widths = np.concatenate([part.widths for part in own])
        return Spooled(own[0].spool, starts, widths, width, own[0].count)
    whole = np.zeros((sum(map(len, parts)), width, parts[0].shape[2]), np.float32)
    start = 0
    for part in parts:
        whole[start : start + len(part), : part.shape[1]] = part[:]
        start += len(part)
    return whole


def _of(features: Features) -> Spool | None:
    return features.spool if isinstance(features, Spooled) else None
