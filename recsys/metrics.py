"""How good lists are: plain functions over arrays of hits."""

import numpy as np

from recsys.features.arrays import Array, Floats, Rows


def recall(hits: Array, positives: Array) -> Floats:
    """(b,) the share of each user's positives (b,) > 0 that are on the list, hits (b, k)."""
    return hits.sum(axis=1) / positives


def hit_rate(hits: Array) -> Floats:
    """(b,) 1 where at least one positive is on the list, hits (b, k)."""
    return hits.any(axis=1).astype(np.float64)


def ndcg(hits: Array, positives: Array) -> Floats:
    """(b,) discounted gain over that of the best list of k, binary relevance.

    Järvelin & Kekäläinen 2002, with 1 / log2(1 + rank). For hits [0, 1] and one positive it is
    1 / log2(3).
    """
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0], np.cumsum(discounts)])
    best = ideal[np.minimum(positives, hits.shape[1])]
    return (hits @ discounts) / best


def coverage(items: Rows, of: int) -> float:
    """The share of `of` items that is on at least one list, items (b, k) with PAD."""
    return len(np.unique(items[items >= 0])) / of
