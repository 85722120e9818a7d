"""How good lists are: plain functions over arrays of hits."""

import numpy as np

from recsys.features.arrays import Array, Rows


def recall(hits: Array, positives: Array) -> Array:
    """(b,) the share of each user's positives (b,) > 0 that are on the list, hits (b, k)."""
    shares: Array = hits.sum(axis=1) / positives
    return shares


def hit_rate(hits: Array) -> Array:
    """(b,) 1 where at least one positive is on the list, hits (b, k)."""
    return np.asarray(hits.any(axis=1), np.float64)


def ndcg(hits: Array, positives: Array) -> Array:
    """(b,) discounted gain over that of the best list of k, binary relevance.

    Järvelin & Kekäläinen 2002, with 1 / log2(1 + rank). For hits [0, 1] and one positive it is
    1 / log2(3).
    """
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0], np.cumsum(discounts)])
    best = ideal[np.minimum(positives, hits.shape[1])]
    gains: Array = (hits @ discounts) / best
    return gains


def coverage(items: Rows, of: int) -> float:
    """The share of `of` items that is on at least one list, items (b, k) with PAD."""
    return len(np.unique(items[items >= 0])) / of
