"""The best k of many scores, as compiled kernels."""

import numpy as np
from numba import njit

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed


def top_k(scores: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
    """The `k` best allowed items of each row of `scores` (b, items), best first.

    Returns items (b, k) and scores (b, k), PAD and -inf where fewer are allowed. Scores that are
    -inf or NaN are never offered; equal scores come in the order of their rows.
    """
    items = np.full((len(scores), k), PAD, np.int32)
    best = np.full((len(scores), k), -np.inf, np.float32)
    over_rows(
        _top_k, len(scores), scores, allowed.mask, allowed.offsets, allowed.excluded, items, best
    )
    return items, best


def first_k(order: Rows, scores: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
    """The first `k` allowed items of one `order` (items,) that all queries share; as `top_k`."""
    items = np.full((len(allowed), k), PAD, np.int32)
    best = np.full((len(allowed), k), -np.inf, np.float32)
    over_rows(
        _first_k, len(items), order, scores, allowed.mask, allowed.offsets, allowed.excluded,
        items, best,
    )  # fmt: skip
    return items, best


@njit(nogil=True, cache=True)
def worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Whether an item comes after another in a list."""
    return score < other_score or (score == other_score and item > other_item)


@njit(nogil=True, cache=True)
def offer(items: Array, scores: Array, filled: int, item: int, score: float) -> int:
    """Offer an item to a heap whose root is its worst; returns how many the heap holds now."""
    size = len(items)
    if filled < size:
        place = filled
        while place > 0:
            parent = (place - 1) >> 1
            if not worse(score, item, scores[parent], items[parent]):
                break
            items[place], scores[place] = items[parent], scores[parent]
            place = parent
        items[place], scores[place] = item, score
        return filled + 1
    if worse(scores[0], items[0], score, item):
        _sink(items, scores, size, item, score)
    return filled


@njit(nogil=True, cache=True)
def _sink(items: Array, scores: Array, size: int, item: int, score: float) -> None:
    """Replace the root of a heap of `size` and restore its order."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and worse(scores[right], items[right], scores[child], items[child]):
            child = right
        if not worse(scores[child], items[child], score, item):
            break
        items[place], scores[place] = items[child], scores[child]
        place = child
    items[place], scores[place] = item, score


@njit(nogil=True, cache=True)
def unheap(items: Array, scores: Array, filled: int) -> None:
    """Turn a heap into a list, best first."""
    for size in range(filled - 1, 0, -1):
        item, score = items[size], scores[size]
        items[size], scores[size] = items[0], scores[0]
        _sink(items, scores, size, item, score)


@njit(nogil=True, cache=True)
def _top_k(
    start: int, stop: int, scores: Array, mask: Array, offsets: Array, excluded: Array,
    items: Array, best: Array,
) -> None:  # fmt: skip
    barred = ~mask
    k = items.shape[1]
    if k == 0:  # a heap of none has no root
        return
    for row in range(start, stop):
        own = excluded[offsets[row] : offsets[row + 1]]
        barred[own] = True
        own_items, own_best = items[row], best[row]  # a view in the loop would cost more
        filled, worst = 0, np.float32(-np.inf)
        for item in range(scores.shape[1]):
            score = scores[row, item]
            if score > worst and not barred[item]:
                filled = offer(own_items, own_best, filled, item, score)
                if filled == k:
                    worst = own_best[0]
        unheap(own_items, own_best, filled)
        barred[own] = ~mask[own]


@njit(nogil=True, cache=True)
def _first_k(
    start: int, stop: int, order: Array, scores: Array, mask: Array, offsets: Array,
    excluded: Array, items: Array, best: Array,
) -> None:  # fmt: skip
    barred = ~mask
    for row in range(start, stop):
        own = excluded[offsets[row] : offsets[row + 1]]
        barred[own] = True
        filled = 0
        for item in order:
            if filled == items.shape[1]:
                break
            if not barred[item]:
                items[row, filled], best[row, filled] = item, scores[item]
                filled += 1
        barred[own] = ~mask[own]
