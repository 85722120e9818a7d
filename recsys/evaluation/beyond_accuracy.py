"""What lists are like besides right: broad, novel, diverse, surprising, worth money.

`items` (b, k) are rows of the catalogue, PAD where a list is short. Functions of one list each
return (b,) float64 with NaN where the list leaves the value undefined (an empty list has no
novelty, one item no diversity): leave those users out of the mean.
"""

import numpy as np
from scipy import sparse

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.errors import DataError

_SUMS_AT_ONCE = 4_000_000  # floats of list vectors held at a time


def coverage(items: Rows, of: int) -> float:
    """The share of the `of` items of the catalogue that is on at least one list.

    Ge, Delgado-Battenfeld & Jannach 2010, catalogue coverage. NaN for a catalogue of none.
    """
    return float((_exposure(items, of) > 0).mean()) if of else np.nan


def gini(items: Rows, of: int) -> float:
    """How unevenly the places on all lists fall on all `of` items: 0 evenly, (of - 1) / of on one.

    sum_i (2 i - n - 1) x_i / (n sum_i x_i), where x_1 <= ... <= x_n are the places that each item
    has, those on no list included; half the mean difference between two items over their mean.
    Gini 1912; for recommenders Fleder & Hosanagar 2009. NaN where no list has an item.
    """
    places = np.sort(_exposure(items, of))
    total = places.sum()
    if not total:
        return np.nan
    return float((2 * np.arange(1, of + 1) - of - 1) @ places / (of * total))


def smoothed_popularity(users_of: Array, users: int) -> Array:
    """(items,) in (0, 1]: the share of `users` who chose each item, `users_of` (items,) of them.

    (users_of + 1) / (users + 1), as if one more user had chosen everything: an item that nobody
    chose is as novel as log2(users + 1) bits, and not infinitely so.
    """
    return np.asarray((users_of + 1) / (users + 1), np.float64)


def novelty(items: Rows, popularity: Array) -> Array:
    """(b,) bits: the mean of -log2(popularity) over the items of a list, popularity (items,).

    Zhou et al. 2010, mean self-information; Vargas & Castells 2011 without discount by rank.
    NaN for an empty list. Raises DataError for a popularity outside (0, 1]: smooth the zeros.
    """
    wrong = ~((popularity > 0) & (popularity <= 1))
    if wrong.any():
        raise DataError(
            f"popularity must be in (0, 1]; got {popularity[wrong][0]}: see smoothed_popularity"
        )
    return _mean_of_list(-np.log2(popularity), items)


def intra_list_diversity(items: Rows, vectors: Floats) -> Array:
    """(b,) 1 - the mean cosine of two items of a list, vectors (items, d) of unit length.

    Smyth & McClave 2001; from 0 (all alike) to k / (k - 1). An item with a zero vector is left
    out; NaN where fewer than two are left. The mean over pairs is (|sum v|^2 - sum |v|^2) /
    (n (n - 1)), so that no pair is formed.
    """
    squares = np.einsum("id,id->i", vectors, vectors, dtype=np.float64)
    step = max(1, _SUMS_AT_ONCE // max(1, vectors.shape[1]))
    answers = [
        _diversity(items[start : start + step], vectors, squares)
        for start in range(0, len(items), step)
    ]
    return np.concatenate([np.empty(0), *answers])


def category_diversity(items: Rows, codes: Rows) -> Array:
    """(b,) the share of the pairs of a list whose categories differ, codes (items,).

    One minus the index of Simpson 1949 of the list. An item without a category (PAD) is left out;
    NaN where fewer than two are left.
    """
    of_place = np.where(items == PAD, PAD, codes[items])
    users, places = np.nonzero(of_place != PAD)
    span = 1 + int(codes.max(initial=0))
    keys, counts = np.unique(users * span + of_place[users, places], return_counts=True)
    alike = np.bincount(keys // span, counts * (counts - 1), minlength=len(items))
    return 1 - _over_pairs(alike, np.bincount(users, minlength=len(items)))


def serendipity(items: Rows, hits: Mask, expected: Rows) -> Array:
    """(b,) hits that were not to be expected over k, hits (b, k).

    Ge, Delgado-Battenfeld & Jannach 2010: |useful and unexpected| / |list|, where `expected` is
    what a primitive recommender offers, such as the popular items: (b, m) with PAD for each user,
    or (m,) for all. It divides by k, as precision does: 0 for an empty list.
    """
    span = 1 + int(max(items.max(initial=0), expected.max(initial=0)))
    own = np.arange(len(items))[:, None] * span
    known = np.broadcast_to(expected, (len(items), expected.shape[-1]))
    plain = np.isin(own + items, np.where(known == PAD, PAD, own + known))
    return np.asarray((hits & ~plain).sum(axis=1) / max(1, items.shape[1]), np.float64)


def cold_share(items: Rows, cold: Mask) -> Array:
    """(b,) the share of the items of a list that are cold, cold (items,); NaN for an empty list."""
    return _mean_of_list(cold, items)


def revenue(items: Rows, hits: Mask, prices: Array) -> Array:
    """(b,) the sum of the prices (items,) of the hits (b, k), in the prices' currency.

    A hit whose price is unknown (NaN) adds nothing, so this is a lower bound; 0 without hits.
    """
    known = hits & (items != PAD) & ~np.isnan(prices)[items]
    return np.asarray(np.where(known, prices[items], 0).sum(axis=1, dtype=np.float64))


def _exposure(items: Rows, of: int) -> Array:
    """(of,) on how many places of all lists each item stands."""
    return np.bincount(items[items != PAD], minlength=of)


def _mean_of_list(values: Array, items: Rows) -> Array:
    """(b,) the mean of values (items,) over the items of each list, NaN for an empty one."""
    filled = items != PAD
    sums = np.where(filled, values[items], 0).sum(axis=1, dtype=np.float64)
    counts = filled.sum(axis=1)
    return _over(sums, counts)


def _diversity(items: Rows, vectors: Floats, squares: Array) -> Array:
    """(b,) of one block of lists; squares (items,) are the squared lengths of the vectors."""
    used = (items != PAD) & (squares > 0)[items]
    counts = used.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(offsets[-1], vectors.dtype)
    lists = sparse.csr_array((ones, items[used], offsets), shape=(len(items), len(vectors)))
    sums = lists @ vectors  # (b, d)
    lengths = np.einsum("bd,bd->b", sums, sums, dtype=np.float64)
    alike = _over_pairs(lengths - lists @ squares, counts)
    diversity: Array = 1 - np.clip(alike, -1, 1)
    return diversity


def _over_pairs(total: Array, counts: Array) -> Array:
    """(b,) the total over the ordered pairs of `counts` items, NaN where there is no pair."""
    return _over(total, counts * (counts - 1))


def _over(total: Array, counts: Array) -> Array:
    """(b,) total / counts, NaN where there is nothing to count."""
    out: Array = np.full(len(counts), np.nan)
    return np.divide(total, counts, out=out, where=counts > 0)
