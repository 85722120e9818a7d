"""Lists out of scores, or out of a model of implicit: PAD where a list is short."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import top_k

_CELLS = 1 << 26  # scores held at once: 256 MB


def pairs(past: Interactions) -> sp.csr_matrix:
    """(users, items) float32: the summed weight of each pair that happened."""
    everyone = np.arange(len(past.users), dtype=np.int32)
    return Histories.of(past, everyone).matrix(len(past.items))


def ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same with 1 wherever there is something."""
    return sp.csr_matrix(
        (np.ones(len(matrix.data), np.float32), matrix.indices, matrix.indptr), matrix.shape
    )


def of_scores(score: Callable[[Array], Floats], allowed: Allowed, k: int) -> Rows:
    """The best `k` (b, k) by `score(queries) -> (queries, items)`; -inf is never offered."""
    step = max(1, _CELLS // max(1, len(allowed.mask)))
    items = np.full((len(allowed), k), PAD, np.int32)
    for start in range(0, len(items), step):
        queries = np.arange(start, min(start + step, len(items)))
        items[queries] = top_k(score(queries), k, allowed.take(queries))[0]
    return items


def of_implicit(model: Any, users: Rows, past: "Known", allowed: Allowed, k: int) -> Rows:
    """What a factor model of implicit recommends (b, k); users without a past get nothing.

    Three traps of implicit 0.7 are sprung here: beyond the catalogue it answers item 0, filtered
    items come back at the tail with the lowest number of float32, and users and items that it was
    not fitted on are an IndexError or keep the random factors that they began with.
    """
    items = np.full((len(users), k), PAD, np.int32)
    asked = np.flatnonzero(past.users[users] & (users != PAD))
    if not len(asked):
        return items
    some = allowed.take(asked)
    barred = np.flatnonzero(~(some.mask & past.items)).astype(np.int32)
    n_items, width = len(some.mask), min(k, len(some.mask))
    own = np.ones(len(some.excluded), np.float32)
    hidden = sp.csr_matrix((own, some.excluded, some.offsets), (len(asked), n_items))
    found, scores = model.recommend(
        users[asked], hidden, N=width, filter_items=barred if len(barred) else None
    )
    items[asked, :width] = np.where(scores > np.finfo(np.float32).min, found, PAD)
    return items


class Known:
    """Whom and what a model has learnt of."""

    def __init__(self, past: Interactions) -> None:
        self.users: Mask = past.counts > 0  # (users,)
        self.items: Mask = past.item_counts > 0  # (items,)
