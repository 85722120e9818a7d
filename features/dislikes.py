"""Items that users said no to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recsys.features import npz, ragged
from recsys.features.arrays import Array, Mask, Offsets, Rows, Times
from recsys.features.columns import EventType, LogColumns
from recsys.features.errors import ArtifactError
from recsys.features.schema import NO_SIZES, ArraySchema, Sizes, rows
from recsys.features.schema import offsets as starts


@dataclass(frozen=True, slots=True)
class Dislikes:
    """Of each of `b` users the items that they disliked, and when, as ragged arrays."""

    offsets: Offsets  # (b + 1,)
    items: Rows  # (n,) an item may stand there more than once
    times: Times  # (n,) ascending within a user

    @classmethod
    def of(cls, users: Array, items: Rows, times: Times, n_users: int) -> "Dislikes":
        """From one row for each dislike (n,), in any order."""
        order = np.lexsort((items, times, users))
        offsets = ragged.offsets_of(np.bincount(users, minlength=n_users))
        return cls(offsets, items[order].astype(np.int32), times[order].astype(np.int64))

    @classmethod
    def none(cls, n_users: int) -> "Dislikes":
        """Of users who disliked nothing."""
        nothing = np.zeros(0, np.int64)
        return cls(np.zeros(n_users + 1, np.int64), nothing.astype(np.int32), nothing)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def owners(self) -> Rows:
        """(n,) the user of each, by position."""
        return ragged.owners(self.offsets)

    def take(self, users: Array) -> "Dislikes":
        """Those of some users, by position; PAD disliked nothing."""
        offsets, flat = ragged.gather(self.offsets, users)
        return Dislikes(offsets, self.items[flat], self.times[flat])

    def where(self, kept: Mask) -> "Dislikes":
        """Those that `kept` (n,) marks."""
        lengths = np.bincount(self.owners[kept], minlength=len(self.offsets) - 1)
        return Dislikes(ragged.offsets_of(lengths), self.items[kept], self.times[kept])

    def before(self, moments: Array | int) -> "Dislikes":
        """Those before a moment, which may be one for each user (b,)."""
        return self.where(self.times < self._of_each(moments))

    def until(self, moments: Array | int) -> "Dislikes":
        """Those at a moment or before it."""
        return self.where(self.times <= self._of_each(moments))

    def counts(self, n_items: int) -> Array:
        """(n_items,) how many users disliked each item."""
        pairs = np.unique(self.owners.astype(np.int64) * n_items + self.items)
        return np.bincount(pairs % n_items, minlength=n_items)

    def cover(self, owners: Array, items: Rows, times: Times) -> Mask:
        """(m,) is the user's (position) item disliked at this time or later?

        What was of interest once is none any more; an event after the dislike counts again.
        """
        if not len(self) or not len(items):
            return np.zeros(len(items), np.bool_)
        span = 1 + max(int(self.items.max()), int(items.max()))
        keys = self.owners.astype(np.int64) * span + self.items
        order = np.lexsort((self.times, keys))
        newest = np.append(keys[order][1:] != keys[order][:-1], True)
        keys, latest = keys[order][newest], self.times[order][newest]
        asked = owners.astype(np.int64) * span + items
        place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        covered: Mask = (keys[place] == asked) & (times <= latest[place])
        return covered

    def save(self, path: Path) -> None:
        """Write an npz file."""
        npz.write(path, offsets=self.offsets, items=self.items, times=self.times)

    @classmethod
    def load(cls, path: Path, sizes: Sizes = NO_SIZES) -> "Dislikes":
        """What was saved; raises ArtifactError where the file is damaged."""
        offsets, items, times = npz.read(path, _SCHEMAS, sizes)
        if offsets[-1] != len(items):
            raise ArtifactError(f"{path}: offsets must end at {len(items)}; got {offsets[-1]}")
        return cls(offsets, items, times)

    def _of_each(self, moments: Array | int) -> Array | int:
        return moments[self.owners] if isinstance(moments, np.ndarray) else moments


_SCHEMAS = {
    "offsets": starts("users"),
    "items": rows("items", "n"),
    "times": ArraySchema("int64", ("n",)),
}


def disliked(columns: LogColumns, events: Mapping[str, EventType]) -> pl.Expr | None:
    """Whether a row is a dislike, by its event or its rating; never null, None where none can be.

    Of a rating that is missing or no number it cannot be said: it is none.
    """
    said = []
    names = [name for name, event in events.items() if event.dislike]
    if columns.event is not None and names:
        said.append(pl.col(columns.event).cast(pl.String).is_in(names))
    if columns.rating is not None:
        rating = pl.col(columns.rating).cast(pl.Float64, strict=False).fill_nan(None)
        said.append(rating < columns.dislike_below)
    return pl.any_horizontal(each.fill_null(False) for each in said) if said else None
