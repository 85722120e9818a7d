"""Lists of different lengths, held as one flat array and the offsets between them."""

import numpy as np

from recsys.features.arrays import PAD, Array, Offsets, Rows


def offsets_of(lengths: Array) -> Offsets:
    """Offsets (n + 1,) of lists with these lengths (n,)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def gather(offsets: Offsets, lists: Array) -> tuple[Offsets, Array]:
    """Choose lists by number: their new offsets, and where their elements lie in the flat array.

    The list PAD is empty.
    """
    starts = offsets[np.maximum(lists, 0)]
    lengths = np.where(lists == PAD, 0, offsets[lists + 1] - starts)
    chosen = offsets_of(lengths)
    return chosen, np.arange(chosen[-1]) + np.repeat(starts - chosen[:-1], lengths)


def owners(offsets: Offsets) -> Array:
    """Which list each element of the flat array belongs to, (offsets[-1],)."""
    return np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))


def last(offsets: Offsets, values: Rows, n: int) -> Rows:
    """The last `n` elements of each list, newest first, (lists, n); short lists end in PAD."""
    position = offsets[1:, None] - 1 - np.arange(n)
    inside = position >= offsets[:-1, None]
    if not len(values):
        return np.full(position.shape, PAD, np.int32)
    return np.where(inside, values[np.where(inside, position, 0)], PAD).astype(np.int32)
