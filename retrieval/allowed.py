"""Which items each query may be offered."""

from dataclasses import dataclass

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import Array, Mask, Offsets, Rows


@dataclass(frozen=True, slots=True)
class Allowed:
    """A mask that all queries share, and the items that each query leaves out besides."""

    mask: Mask  # (items,) False: offered to nobody
    offsets: Offsets  # (b + 1,)
    excluded: Rows  # (n,) items that each query may not be offered, ascending within a query

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def everything(cls, queries: int, items: int) -> "Allowed":
        """All items for all queries."""
        return cls(np.ones(items, bool), np.zeros(queries + 1, np.int64), np.zeros(0, np.int32))

    def take(self, queries: Array) -> "Allowed":
        """Some of the queries, by position."""
        offsets, flat = ragged.gather(self.offsets, queries)
        return Allowed(self.mask, offsets, self.excluded[flat])

    def available(self) -> Array:
        """(b,) how many items each query may be offered at the most."""
        kept = ragged.owners(self.offsets)[self.mask[self.excluded]]
        return int(self.mask.sum()) - np.bincount(kept, minlength=len(self))
