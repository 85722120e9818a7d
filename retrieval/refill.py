"""Searches of FAISS, which know no exclusions of single queries, asked until lists are full."""

from collections.abc import Callable

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.nearest import Held, nearest
from recsys.retrieval.sieve import settle

SPARE = 8  # fetched beyond k, so that ties at the end are broken by row, not by rounding
MOST_OF_GPU = 2048  # the largest k that FAISS takes on a GPU


def refilled(
    search: Callable[[Floats, int], Rows],
    queries: Floats,
    held: Held,
    k: int,
    allowed: Allowed,
    over: int = 1,
) -> tuple[Rows, Floats]:
    """The best of what a `search` (queries, f) -> positions (b, f) finds, ranked by the vectors.

    `over` times k are fetched, and twice as much again for the queries that come out short; those
    that stay short are answered exactly. `held.rows` ascend.
    """
    want = min(over * k + SPARE, len(held))
    found = np.full((len(queries), want), PAD, np.int32)
    full = np.minimum(k, allowed.available())
    short, fetch = np.arange(len(queries)), min(2 * want, len(held))
    while len(short) and fetch <= max(MOST_OF_GPU, 2 * want):
        near = search(queries[short], fetch)
        kept = _permitted(near, allowed.take(short))
        order = np.argsort(~kept, axis=1, kind="stable")[:, :want]
        found[short] = np.where(
            np.take_along_axis(kept, order, axis=1), np.take_along_axis(near, order, axis=1), PAD
        )
        everything = fetch == len(held)
        short = short[kept.sum(axis=1) < full[short]]
        if everything:
            break
        fetch = min(2 * fetch, len(held))
    items, scores = _settled(queries, held, found, k)
    if len(short):
        items[short], scores[short] = nearest(queries[short], held, k, allowed.take(short))
    return items, scores


def _permitted(near: Rows, allowed: Allowed) -> Mask:
    """(b, f) which of the positions `near` (b, f) each query may be offered."""
    items = len(allowed.mask)
    barred = np.sort(ragged.owners(allowed.offsets) * np.int64(items) + allowed.excluded)
    keys = np.arange(len(near))[:, None] * items + near
    place = np.minimum(np.searchsorted(barred, keys), len(barred) - 1)
    free = barred[place] != keys if len(barred) else np.ones(near.shape, bool)
    permitted: Mask = (near != PAD) & allowed.mask[near] & free
    return permitted


def _settled(queries: Floats, held: Held, found: Rows, k: int) -> tuple[Rows, Floats]:
    """The best `k` of the positions `found` (b, f), sorted by their own product, then by row."""
    items = np.full((len(found), k), PAD, np.int32)
    scores = np.full(items.shape, -np.inf, np.float32)
    over_rows(_settle, len(found), queries, held.vectors, held.rows, found, items, scores)
    return np.where(items == PAD, PAD, held.rows[items]), scores


@compiled
def _settle(
    start: int, stop: int, queries: Array, held: Array, rows: Array, found: Array, items: Array,
    scores: Array,
) -> None:  # fmt: skip
    for row in range(start, stop):
        settle(queries[row], held, rows, found[row], items[row], scores[row])
