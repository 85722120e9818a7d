"""The best k of many scores, as compiled kernels."""

from typing import Any

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed

_GROUPS = 4  # per item of a list: more cost more to compare, fewer leave more items to look at


def top_k(scores: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
    """The `k` best allowed items of each row of `scores` (b, items), best first.

    Returns items (b, k) and scores (b, k), PAD and -inf where fewer are allowed. Scores that are
    -inf or NaN are never offered; equal scores come in the order of their rows. While it runs
    `scores` holds -inf where a query's own exclusions are; afterwards it is as it was.
    """
    items = np.full((len(scores), k), PAD, np.int32)
    best = np.full((len(scores), k), -np.inf, np.float32)
    if not allowed.mask.all():
        scores = np.where(allowed.mask, scores, np.float32(-np.inf))
    over_rows(_top_k, len(scores), scores, allowed.offsets, allowed.excluded, items, best)
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


@compiled
def worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Whether an item comes after another in a list."""
    return score < other_score or (score == other_score and item > other_item)


@compiled
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


@compiled
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


@compiled
def unheap(items: Array, scores: Array, filled: int) -> None:
    """Turn a heap into a list, best first."""
    for size in range(filled - 1, 0, -1):
        item, score = items[size], scores[size]
        items[size], scores[size] = items[0], scores[0]
        _sink(items, scores, size, item, score)


@compiled
def _top_k(
    start: int, stop: int, scores: Array, offsets: Array, excluded: Array, items: Array,
    best: Array,
) -> None:  # fmt: skip
    """Item i is in group i % groups; only the k groups with the best maxima can hold the k best."""
    n, k = scores.shape[1], items.shape[1]
    if k == 0:  # a heap of none has no root
        return
    maxima = np.empty(min(n, _GROUPS * k), np.float32)
    for row in range(start, stop):
        own, own_items, own_best = scores[row], items[row], best[row]
        barred = excluded[offsets[row] : offsets[row + 1]]
        kept = own[barred]
        own[barred] = -np.inf
        floor = _floor(own, maxima, own_items, own_best)
        filled = 0
        for group in range(len(maxima)):
            if maxima[group] >= floor:
                for item in range(group, n, len(maxima)):
                    if own[item] >= floor and own[item] > -np.inf:
                        filled = offer(own_items, own_best, filled, item, own[item])
        unheap(own_items, own_best, filled)
        own[barred] = kept


@compiled
def _floor(scores: Array, maxima: Array, items: Array, best: Array) -> Any:
    """The k-th best of the groups' maxima, which k items reach at least; the heap stays empty."""
    maxima[:] = -np.inf
    for start in range(0, len(scores), len(maxima)):
        for group in range(min(len(maxima), len(scores) - start)):
            if scores[start + group] > maxima[group]:  # never true of NaN
                maxima[group] = scores[start + group]
    filled = 0
    for group in range(len(maxima)):
        filled = offer(items, best, filled, group, maxima[group])
    floor = best[0] if filled == len(items) else np.float32(-np.inf)
    items[:], best[:] = PAD, -np.inf
    return floor


@compiled
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
