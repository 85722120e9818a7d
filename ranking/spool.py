"""Features of lists, kept in a temporary file and read some lists at a time."""

import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from recsys.features.arrays import Array, Floats, Offsets, Rows
from recsys.features.errors import TrainingError

_HELD = 32 << 20  # bytes up to which no file is made


class Spool:
    """A file of float32 that grows at its end, and that the system removes once nobody holds it.

    Up to `held` bytes stay in memory. It is made where the module `tempfile` makes files: TMPDIR
    names another place. Threads and forked processes may read side by side; only one may append,
    while nobody reads.
    """

    def __init__(self, held: int = _HELD) -> None:
        self._held = held
        self._file: IO[bytes] = io.BytesIO()
        self._end = 0

    def append(self, features: Floats) -> "Spooled":
        """Keep features (n, w, f) of some lists; raises TrainingError where there is no room."""
        values = np.ascontiguousarray(features, np.float32)
        lists, width, count = values.shape
        with room_on_disk():
            if self._in_memory and self._end + values.nbytes > self._held:
                self._move_to_disk()
            self._file.seek(self._end)
            self._file.write(values.data)
            self._file.flush()
        starts = self._end + np.arange(lists, dtype=np.int64) * (4 * width * count)
        self._end += values.nbytes
        return Spooled(self, starts, np.full(lists, width, np.int32), width, count)

    def read(self, start: int, values: Floats) -> None:
        """Fill an array with what was kept from this byte on.

        Raises TrainingError where the file ends before. It is read by place: threads and forked
        processes would move a common position for one another.
        """
        wanted = values.reshape(-1).view(np.uint8)
        got = 0
        while got < len(wanted):
            some = self._read_some(start + got, wanted[got:])
            if not some:
                raise TrainingError(
                    f"features to learn from end at byte {start + got} of their temporary file, "
                    f"to which {self._end} were written: something has cut it short"
                )
            got += some

    @property
    def _in_memory(self) -> bool:
        return isinstance(self._file, io.BytesIO)

    def _move_to_disk(self) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, file.close)
        file.write(self._file.getbuffer())  # type: ignore[attr-defined]
        self._file = file

    def _read_some(self, start: int, wanted: NDArray[np.uint8]) -> int:
        """How many bytes were read from this one on; 0 at the end of the file."""
        if not isinstance(self._file, io.BytesIO):
            return os.preadv(self._file.fileno(), [wanted.data], start)
        some = np.frombuffer(self._file.getbuffer(), np.uint8)[start : start + len(wanted)]
        wanted[: len(some)] = some
        return len(some)


@contextmanager
def room_on_disk() -> Iterator[None]:
    """Where features cannot be written in here, TrainingError says what to do."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"features to learn from cannot be kept in a temporary file: {error}; name a "
            "folder with more room in TMPDIR, or learn from fewer lists: training.most_lists"
        ) from None


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

    def __reduce__(self) -> tuple[Callable[[Floats], Floats], tuple[Floats]]:
        """A copy is an array: a file that the system removes is nobody else's."""
        return np.asarray, (self[:],)

    def __getitem__(self, places: Array | slice) -> Floats:
        """The features (b, w, f) of the lists at these places (b,); raises TypeError for others."""
        starts, widths = self._lists(places)
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
        return type(self)(self.spool, *self._lists(places), self.width, self.count)

    def _lists(self, places: Array | slice) -> tuple[Offsets, Rows]:
        """Where some lists begin, and their widths."""
        if not isinstance(places, slice) and (isinstance(places, tuple) or np.ndim(places) != 1):
            raise TypeError(
                "features on disk are read list by list: [places] with an array (b,) of places or "
                f"a mask, or [:] for all, and what else is asked of that array; got [{places!r}]"
            )
        return self.starts[places], self.widths[places]


Features = Floats | Spooled
"""(n, w, f): an array, or what stands for one."""


def some_of(features: Features, places: Array) -> Features:
    """Those of some lists, by position; of a spool nothing is read."""
    return features.take(places) if isinstance(features, Spooled) else features[places]


def joined(parts: Sequence[Features], width: int) -> Features:
    """Several, at least one, as one of this width; of parts of one spool nothing is read."""
    if not parts:
        raise ValueError("features can be joined where there is at least one part; got none")
    spooled = [part for part in parts if isinstance(part, Spooled)]
    if len(spooled) == len(parts) and len({id(part.spool) for part in spooled}) == 1:
        starts = np.concatenate([part.starts for part in spooled])
        widths = np.concatenate([part.widths for part in spooled])
        return Spooled(spooled[0].spool, starts, widths, width, spooled[0].count)
    whole = np.zeros((sum(map(len, parts)), width, parts[0].shape[2]), np.float32)
    for part, end in zip(parts, np.cumsum([len(part) for part in parts]), strict=True):
        whole[end - len(part) : end, : part.shape[1]] = part[:]
    return whole
