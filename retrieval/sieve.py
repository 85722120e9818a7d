"""The items that may be among the best of each query, kept while products are computed."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Offsets, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.dots import dot
from recsys.retrieval.topk import worse

_CHUNK = 32  # products compared at once; where none is good enough all are passed over
_FEW = 8  # of a chunk where one is good enough, looked at one by one
_HALVINGS = 24  # of a range of scores: as many as a float32 has digits
_ROUNDING = 2.0**-24  # of one operation in float32
_LEAST = np.finfo(np.float32).min  # below every product that is offered


@dataclass(frozen=True, slots=True)
class Sieve:
    """For each query (b,) the items that may be among its `k` best of all that went through.

    BLAS rounds a product by its place in the batch. An item is kept while its product is no further
    below the k-th best than rounding can bring two products: 4 gamma_d |q| |v|, where either way to
    add up d terms errs by at most gamma_d |q| |v| (Higham 2002, equation 3.5). So what is kept
    holds the `k` best by `dot`, which does not depend on the batch.
    """

    queries: Floats  # (b, d)
    held: Floats  # (n, d)
    rows: Rows  # (n,) what the items are named by; of equal products the lower row is better
    k: int
    items: Rows  # (b, 2k + 4 chunks) positions in `held`, `filled` of each query
    scores: Floats  # (b, 2k + 4 chunks)
    filled: Rows  # (b,)
    floors: Floats  # (b,) what a product must reach to be kept
    slack: Floats  # (b,) how far rounding can bring two products of a query

    @classmethod
    def of(cls, queries: Floats, held: Floats, rows: Rows, longest: float, k: int) -> Self:
        """An empty sieve; `longest` is the largest length of a vector in `held`."""
        b, d = queries.shape
        shape = (b, 2 * k + 4 * _CHUNK)
        slack = 4.1 * (d + 4) * _ROUNDING * np.linalg.norm(queries, axis=1) * longest
        return cls(
            queries,
            held,
            rows,
            k,
            items=np.empty(shape, np.int32),
            scores=np.empty(shape, np.float32),
            filled=np.zeros(b, np.int32),
            floors=np.full(b, _LEAST, np.float32),
            slack=np.where(np.isfinite(slack), slack, 0).astype(np.float32),
        )

    def add(
        self, products: Floats, asked: Rows, first: int, mask: Mask, offsets: Offsets, barred: Rows
    ) -> None:
        """Products (r, t) of the queries `asked` (r,) with the items from `first` on.

        Items outside `mask` (n,), or among the query's own of `offsets` (b + 1,) and `barred`, are
        passed over. The products may be overwritten.
        """
        _sift(
            products, asked, first, mask, offsets, barred, self.k, self.queries, self.held,
            self.rows, self.items, self.scores, self.filled, self.floors, self.slack,
        )  # fmt: skip

    def best(self) -> tuple[Rows, Floats]:
        """Rows (b, k) and scores (b, k) of the best, PAD and -inf where there are fewer."""
        found = np.full((len(self.queries), self.k), PAD, np.int32)
        scores = np.full(found.shape, -np.inf, np.float32)
        over_rows(
            _finish, len(found), self.queries, self.held, self.rows, self.items, self.scores,
            self.filled, self.slack, found, scores,
        )  # fmt: skip
        return np.where(found == PAD, PAD, self.rows[found]), scores


@compiled
def settle(
    query: Array, held: Array, rows: Array, items: Array, found: Array, scores: Array
) -> int:
    """Sort `items`, ended by PAD, by their own product, then by row, into `found`, which is empty.

    Returns how many there are. An insertion sort: the lists come all but sorted, or are short.
    """
    filled, products = 0, np.empty(len(items), np.float32)
    for place in range(len(items)):  # on their own: waits for memory overlap
        products[place] = dot(query, held[items[place]])
    for rank in range(len(items)):
        item, score = items[rank], products[rank]
        if item < 0:
            break
        if filled < len(found):
            place, filled = filled, filled + 1
        elif worse(scores[filled - 1], rows[found[filled - 1]], score, rows[item]):
            place = filled - 1
        else:
            continue
        while place > 0 and worse(scores[place - 1], rows[found[place - 1]], score, rows[item]):
            found[place], scores[place] = found[place - 1], scores[place - 1]
            place -= 1
        found[place], scores[place] = item, score
    return filled


@compiled
def _sift(
    products: Array, asked: Array, first: int, mask: Array, offsets: Array, barred: Array, k: int,
    queries: Array, held: Array, rows: Array, items: Array, scores: Array, filled: Array,
    floors: Array, slack: Array,
) -> None:  # fmt: skip
    width, size = products.shape[1], items.shape[1]
    for row in range(len(products)):
        own, query = products[row], asked[row]
        _bar(own, first, barred[offsets[query] : offsets[query + 1]])
        own_items, own_scores = items[query], scores[query]
        floor, n = floors[query], filled[query]
        for start in range(0, width, _CHUNK):
            chunk, good = own[start : start + _CHUNK], np.int32(0)
            for place in range(len(chunk)):
                good += np.int32(chunk[place] >= floor)
            if good == 0:
                continue
            if n + good > size:
                n, floor = _tighten(
                    queries[query], held, rows, own_items, own_scores, n, k, slack[query]
                )
            for begin in range(0, len(chunk), _FEW):
                few, good = chunk[begin : begin + _FEW], np.int32(0)
                for place in range(len(few)):
                    good += np.int32(few[place] >= floor)
                if good == 0:
                    continue
                for place in range(len(few)):
                    item = first + start + begin + place
                    if few[place] >= floor and mask[item]:
                        own_items[n], own_scores[n] = item, few[place]
                        n += 1
        floors[query], filled[query] = floor, n


@compiled
def _bar(own: Array, first: int, barred: Array) -> None:
    """Put out of reach what this query may not be offered, `barred` ascending."""
    low, high = 0, len(barred)
    while low < high:
        middle = (low + high) >> 1
        if barred[middle] < first:
            low = middle + 1
        else:
            high = middle
    while low < len(barred) and barred[low] < first + len(own):
        own[barred[low] - first] = -np.inf
        low += 1


@compiled
def _tighten(
    query: Array, held: Array, rows: Array, items: Array, scores: Array, n: int, k: int,
    slack: float,
) -> tuple[int, Any]:  # fmt: skip
    """Drop what cannot be among the k best of n > k; returns how many are left and the new floor.

    Where too many are too near to be told apart, the k best are settled at once.
    """
    floor = _reached(scores[:n], k) - np.float32(slack)
    left = 0
    for place in range(n):
        item, score = items[place], scores[place]
        items[left], scores[left] = item, score
        left += int(score >= floor)
    if 2 * left <= len(items):
        return left, floor
    found, exact = np.empty(k, items.dtype), np.empty(k, scores.dtype)
    settle(query, held, rows, items[:left], found, exact)
    items[:k], scores[:k] = found, exact
    return k, np.float32(exact[k - 1] - slack)


@compiled
def _reached(scores: Array, k: int) -> Any:
    """A score that at least `k` of them reach, and hardly more.

    By halving and counting: a partition of as many random numbers stumbles over its branches.
    """
    low, high = scores[0], scores[0]
    for place in range(len(scores)):
        low, high = min(low, scores[place]), max(high, scores[place])
    for _ in range(_HALVINGS):
        middle, count = np.float32(0.5) * (low + high), np.int32(0)
        for place in range(len(scores)):
            count += np.int32(scores[place] >= middle)
        if count >= k:
            low = middle
            if count <= k + (k >> 4):
                break
        else:
            high = middle
    return low


@compiled
def _finish(
    start: int, stop: int, queries: Array, held: Array, rows: Array, items: Array, scores: Array,
    filled: Array, slack: Array, found: Array, best: Array,
) -> None:  # fmt: skip
    k = found.shape[1]
    for row in range(start, stop):
        n, query = filled[row], queries[row]
        if n > k:
            n, _ = _tighten(query, held, rows, items[row], scores[row], n, k, slack[row])
        order = np.argsort(-scores[row, :n])
        settle(query, held, rows, items[row, :n][order], found[row], best[row])
