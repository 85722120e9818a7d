"""The vectors with the largest inner product with each query, found exactly."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.dots import dot
from recsys.retrieval.sieve import Sieve
from recsys.retrieval.topk import top_k

FEW = 4
"""Queries up to which reading the vectors once beats BLAS and its waiting threads."""

_ALONE = 1 << 23  # numbers that one core reads in less time than another takes to wake up
_TILE = 1 << 18  # products at once: 1 MB, which the next step finds in the core's cache


@dataclass(frozen=True, slots=True)
class Held:
    """Vectors by position, and the rows that they are known by."""

    rows: Rows  # (n,) distinct
    vectors: Floats  # (n, d)
    longest: float  # the largest length of a vector
    order: Array | None  # positions by row; None where rows ascend

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, rows: Rows, vectors: Floats) -> Self:
        """These vectors (n, d) under these rows (n,)."""
        squares = np.einsum("nd,nd->n", vectors, vectors)
        order = None if (np.diff(rows) > 0).all() else np.argsort(rows)
        return cls(rows, vectors, float(np.sqrt(squares.max(initial=0))), order)

    @property
    def last(self) -> int:
        """The highest row, PAD where there is none."""
        if not len(self):
            return PAD
        return int(self.rows[-1 if self.order is None else self.order[-1]])

    def take(self, positions: Array) -> "Held":
        """Some of them, by position."""
        return Held.of(self.rows[positions], self.vectors[positions])

    def positions(self, rows: Rows) -> Rows:
        """Where each of these rows (m,) stands, PAD where it is not held."""
        if not len(self) or not len(rows):
            return np.full(len(rows), PAD, np.int32)
        place = np.searchsorted(self.rows, rows, sorter=self.order)
        place = np.minimum(place, len(self) - 1)
        if self.order is not None:
            place = self.order[place]
        return np.where(self.rows[place] == rows, place, PAD).astype(np.int32)


def nearest(queries: Floats, held: Held, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
    """Rows (b, k) and scores (b, k), best first, by the products with all that is held.

    `held.rows` ascend; `allowed` speaks of positions. PAD and -inf where there are fewer.
    """
    if len(queries) > FEW:
        return swept(queries, held, k, allowed)
    products = np.empty((len(queries), len(held)), np.float32)
    if held.vectors.size <= _ALONE:
        _products(0, len(held), held.vectors, queries, products)
    else:
        over_rows(_products, len(held), held.vectors, queries, products)
    found, scores = top_k(products, k, allowed)
    return np.where(found == PAD, PAD, held.rows[found]), scores


def swept(queries: Floats, held: Held, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
    """As `nearest`, in whatever order the rows are, by blocks of products that BLAS computes."""
    sieve = Sieve.of(queries, held.vectors, held.rows, held.longest, k)
    asked = np.arange(len(queries), dtype=np.int32)
    left, right = torch.from_numpy(queries), torch.from_numpy(held.vectors)
    width = max(64, _TILE // len(queries))
    products = torch.empty(len(queries) * min(width, len(held)))
    for start in range(0, len(held), width):
        tile = right[start : start + width]
        out = products[: len(queries) * len(tile)].view(len(queries), len(tile))
        torch.mm(left, tile.T, out=out)
        sieve.add(out.numpy(), asked, start, allowed.mask, allowed.offsets, allowed.excluded)
    return sieve.best()


@compiled
def _products(start: int, stop: int, held: Array, queries: Array, products: Array) -> None:
    for item in range(start, stop):
        for row in range(len(queries)):
            products[row, item] = dot(queries[row], held[item])
