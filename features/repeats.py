"""Which events of a log repeat what their user did before, so that a customer can count once."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows
from recsys.features.kernels import compiled


@dataclass(frozen=True, slots=True)
class Repeats:
    """Of each event, the others of its user with the same item and of the same kind."""

    earlier: Array  # (n,) the place of the one before, PAD of a first
    shares: Floats  # (n,) 1 / how many there are: those of a user, an item and a kind sum to 1

    @classmethod
    def of(cls, offsets: Offsets, items: Rows, codes: Array, n_items: int, kinds: int) -> "Repeats":
        """Of events (n,) user by user, each with an item below `n_items` and a kind."""
        keys = items.astype(np.int64) * kinds + codes
        earlier, counts = np.full(len(keys), PAD), np.ones(len(keys), np.int32)
        _find(offsets, keys, np.full(n_items * kinds, PAD), earlier, counts)
        return cls(earlier, (1 / counts).astype(np.float32))

    @property
    def newest(self) -> Array:
        """(n,) whether no later event repeats it."""
        newest = np.ones(len(self.earlier), np.bool_)
        newest[self.earlier[self.earlier != PAD]] = False
        return newest


@compiled
def _find(offsets: Array, keys: Array, last: Array, earlier: Array, counts: Array) -> None:
    """`last` (keys,) is the place at which each key stood last, of whatever user."""
    for user in range(len(offsets) - 1):
        start, stop = offsets[user], offsets[user + 1]
        for place in range(start, stop):
            before = last[keys[place]]
            if before >= start:
                earlier[place] = before
                counts[place] = counts[before] + 1
            last[keys[place]] = place
        for place in range(start, stop):  # the last of them has counted them all
            counts[place] = counts[last[keys[place]]]
