"""What several sources offer, as one list that keeps what each of them thought."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from recsys.features.arrays import PAD, Array
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.features.values import frozen
from recsys.retrieval.candidates import Candidates

OFFSET = 60.0
"""Of reciprocal rank fusion, as in Cormack, Clarke & Büttcher 2009."""


@cache
def reciprocal(depth: int, offset: float = OFFSET) -> Array:
    """(depth,) what a source's ranks are worth: 1 / (offset + 1), 1 / (offset + 2), ..."""
    return frozen(1 / (offset + np.arange(depth) + 1))


def union(lists: Sequence[Candidates], worths: Sequence[Array] | None = None) -> Candidates:
    """Merge the lists of several sources for the same queries, ordered by what ranks are worth.

    `worths` has for every list what each of its ranks is worth, (w,); by default the reciprocal
    ranks of `reciprocal`. The score and the rank of every source stay with every item; the width is
    that of the longest list of distinct items, and equal sums keep the order of the sources.
    """
    worths = worths or [reciprocal(each.items.shape[1]) for each in lists]
    users = lists[0].users
    items = np.concatenate([each.items for each in lists], axis=1)
    scores = np.concatenate([each.scores[:, :, 0] for each in lists], axis=1)
    source_of = np.repeat(np.arange(len(lists)), [each.items.shape[1] for each in lists])
    rank_of = np.concatenate([np.arange(each.items.shape[1]) for each in lists]).astype(np.int32)
    shape = (*items.shape, len(lists))
    merged = Candidates(
        users=users,
        items=np.full(items.shape, PAD, np.int32),
        scores=np.full(shape, -np.inf, np.float32),
        ranks=np.full(shape, PAD, np.int32),
        sources=tuple(each.sources[0] for each in lists),
    )
    no_slots = np.full(int(items.max(initial=PAD)) + 1, PAD, np.int32)
    over_rows(
        _merge, len(users), items, scores, source_of, rank_of, np.concatenate(worths), no_slots,
        merged.items, merged.scores, merged.ranks,
    )  # fmt: skip
    return merged.top(max(1, int(merged.filled.sum(axis=1).max(initial=1))))


@compiled
def _merge(
    start: int, stop: int, items: Array, scores: Array, source_of: Array, rank_of: Array,
    worth: Array, slot_of: Array, items_out: Array, scores_out: Array, ranks_out: Array,
) -> None:  # fmt: skip
    width = items.shape[1]
    slot_of = slot_of.copy()  # (items,) the slot of each item of this list, PAD for the others
    fused = np.empty(width, np.float64)
    final = np.empty(width, np.int32)
    for row in range(start, stop):
        slots = 0
        for place in range(width):
            item = items[row, place]
            if item == PAD:
                continue
            if slot_of[item] == PAD:
                slot_of[item] = slots
                fused[slots] = 0
                slots += 1
            fused[slot_of[item]] -= worth[place]
        best = np.argsort(fused[:slots], kind="mergesort")
        for position in range(slots):
            final[best[position]] = position
        for place in range(width):
            item = items[row, place]
            if item != PAD:
                position = final[slot_of[item]]
                items_out[row, position] = item
                scores_out[row, position, source_of[place]] = scores[row, place]
                ranks_out[row, position, source_of[place]] = rank_of[place]
        for place in range(width):
            if items[row, place] != PAD:
                slot_of[items[row, place]] = PAD
