"""The vectors with the largest inner product with each query, found exactly."""

from collections.abc import Callable

import numpy as np
import torch
from numba import njit

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.dots import dot
from recsys.retrieval.topk import top_k, worse

_SPARE = 8  # fetched beyond k, so that ties at the end are broken by position, not by rounding
_FEW = 4  # queries up to which reading the vectors once beats BLAS and its waiting threads
_ALONE = 1 << 23  # numbers that one core reads in less time than another takes to wake up
_MOST_OF_GPU = 2048  # the largest k that FAISS takes on a GPU


def nearest(queries: Floats, held: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
    """Positions (b, k) and scores (b, k), best first, by the products with all of `held`."""
    if len(queries) <= _FEW:
        products = np.empty((len(queries), len(held)), np.float32)
        if held.size <= _ALONE:
            _products(0, len(held), held, queries, products)
        else:
            over_rows(_products, len(held), held, queries, products)
        return top_k(products, k, allowed)
    fetch = min(k + _SPARE, len(held))
    every = torch.from_numpy(queries) @ torch.from_numpy(held).T
    found, _ = top_k(every.numpy(), fetch, allowed)
    return _settled(queries, held, found, k)


def refilled(
    search: Callable[[Floats, int], Rows], queries: Floats, held: Floats, k: int, allowed: Allowed
) -> tuple[Rows, Floats]:
    """As `nearest`, by a `search` (queries, f) -> positions (b, f) that knows no exclusions.

    More is fetched than asked for, and twice as much again for the queries that come out short.
    """
    want = min(k + _SPARE, len(held))
    found = np.full((len(queries), want), PAD, np.int32)
    short, fetch = np.arange(len(queries)), min(2 * want, len(held))
    while len(short) and fetch <= _MOST_OF_GPU:
        near = search(queries[short], fetch)
        kept = _permitted(near, allowed.take(short))
        order = np.argsort(~kept, axis=1, kind="stable")[:, :want]
        found[short] = np.where(
            np.take_along_axis(kept, order, axis=1), np.take_along_axis(near, order, axis=1), PAD
        )
        everything = fetch == len(held)
        short, fetch = short[(kept.sum(axis=1) < want) & (not everything)], 2 * fetch
        fetch = min(fetch, len(held))
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


def _settled(queries: Floats, held: Floats, found: Rows, k: int) -> tuple[Rows, Floats]:
    """The best `k` of the positions `found` (b, f), sorted by their own product, then position.

    What BLAS or a GPU says of a pair hangs on its place in the batch; what this says does not.
    """
    items = found.copy()
    scores = np.full(found.shape, -np.inf, np.float32)
    over_rows(_settle, len(found), queries, held, items, scores)
    return items[:, :k], scores[:, :k]


@njit(nogil=True, cache=True)
def _products(start: int, stop: int, held: Array, queries: Array, products: Array) -> None:
    for item in range(start, stop):
        for row in range(len(queries)):
            products[row, item] = dot(queries[row], held[item])


@njit(nogil=True, cache=True)
def _settle(
    start: int, stop: int, queries: Array, held: Array, items: Array, scores: Array
) -> None:
    # An insertion sort: the lists come sorted but for the last digits of their scores.
    for row in range(start, stop):
        for filled in range(items.shape[1]):
            item = items[row, filled]
            if item < 0:
                break
            score, place = dot(queries[row], held[item]), filled
            while place > 0 and worse(scores[row, place - 1], items[row, place - 1], score, item):
                items[row, place], scores[row, place] = (
                    items[row, place - 1],
                    scores[row, place - 1],
                )
                place -= 1
            items[row, place], scores[row, place] = item, score
