"""Vectors in cells around centroids (IVF): a query reads the cells nearest to it."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from recsys.features.arrays import Array, Floats, Mask, Offsets, Rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.nearest import Held, nearest, swept
from recsys.retrieval.sieve import Sieve

_TILE = 1 << 18  # products at once: 1 MB
_LIST_NUMBERS = 1 << 24  # what the lists of a block of queries may hold: 128 MB with the scores
_FIRST_PROBES = 8
_PER_CELL = 64  # vectors that a centroid is learnt from
_MOST_READ = 8  # who reads more than one cell in so many is served sooner by one product with all


@dataclass(frozen=True, slots=True)
class Cells:
    """An inverted file (Jegou, Douze & Schmid 2011), its vectors as they are.

    All queries that read a cell meet it in one product: a block of 8192 queries reads each cell of
    a million vectors once, not once per query as a search by lists does.
    """

    held: Held  # in the order of cells, within a cell by row
    centroids: Held
    offsets: Offsets  # (cells + 1,) where each cell begins and ends
    probes: int  # cells that a query reads

    @classmethod
    def of(
        cls, faiss: Any, rows: Rows, vectors: Floats, seed: int, centroids: Floats | None = None
    ) -> Self:
        """Cells of these vectors (n, d); `centroids` (cells, d) are learnt where none are given."""
        if centroids is None:
            centroids = _learnt(faiss, vectors, seed)
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(centroids)
        cell = index.search(vectors, 1)[1][:, 0]
        order = np.lexsort((rows, cell))
        counts = np.bincount(cell, minlength=len(centroids))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        every = np.arange(len(centroids), dtype=np.int32)
        held = Held.of(rows[order], vectors[order])
        return cls(held, Held.of(every, centroids), offsets, min(_FIRST_PROBES, len(every)))

    @property
    def effort(self) -> int:
        """How many cells a query reads."""
        return self.probes

    def with_effort(self, effort: int) -> "Cells":
        return replace(self, probes=min(effort, len(self.centroids)))

    def stronger(self) -> "Cells | None":
        """The same with half as many cells read again; None where that is too much of them all."""
        probes = self.probes + (self.probes + 1) // 2
        return self.with_effort(probes) if _MOST_READ * probes <= len(self.centroids) else None

    def block(self, k: int) -> int:
        """Queries at once: many, so that many meet in a cell."""
        return max(512, min(8192, _LIST_NUMBERS // (2 * k + 128)))

    def search(self, queries: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """Rows and scores (b, k) from the nearest cells; from all where these hold too few."""
        left = max(1, int(np.count_nonzero(allowed.mask)))
        probes = min(len(self.centroids), -(-self.probes * len(self.held) // left))
        everything = Allowed.everything(len(queries), len(self.centroids))
        cells, _ = nearest(queries, self.centroids, probes, everything)
        sieve = Sieve.of(queries, self.held.vectors, self.held.rows, self.held.longest, k)
        order = np.argsort(cells, axis=None, kind="stable")
        asked, bounds = (order // probes).astype(np.int32), self._bounds(cells)
        for cell in np.flatnonzero(np.diff(bounds)):
            self._read(sieve, int(cell), asked[bounds[cell] : bounds[cell + 1]], allowed)
        items, scores = sieve.best()
        short = self._short(items, k, allowed)
        if len(short):
            some = swept(queries[short], self.held, k, allowed.take(short))
            items[short], scores[short] = some
        return items, scores

    def _bounds(self, cells: Rows) -> Array:
        counts = np.bincount(cells.ravel(), minlength=len(self.centroids))
        return np.concatenate([[0], np.cumsum(counts)])

    def _read(self, sieve: Sieve, cell: int, asked: Rows, allowed: Allowed) -> None:
        start, stop = self.offsets[cell], self.offsets[cell + 1]
        if not _any(allowed.mask[start:stop]):
            return
        vectors = torch.from_numpy(self.held.vectors[start:stop]).T
        step = max(1, _TILE // int(stop - start))
        for first in range(0, len(asked), step):
            some = asked[first : first + step]
            products = torch.from_numpy(sieve.queries[some]) @ vectors
            sieve.add(
                products.numpy(), some, int(start), allowed.mask, allowed.offsets, allowed.excluded
            )

    def _short(self, items: Rows, k: int, allowed: Allowed) -> Array:
        lacking = items[:, -1] < 0
        if not lacking.any():
            return np.zeros(0, np.int64)
        return np.flatnonzero((items >= 0).sum(axis=1) < np.minimum(k, allowed.available()))


def _any(mask: Mask) -> bool:
    return bool(mask.any())


def _learnt(faiss: Any, vectors: Floats, seed: int) -> Floats:
    """Centroids (cells, d) by k-means: about four times the root of n, as FAISS advises."""
    count = max(1, min(int(4 * np.sqrt(len(vectors))), len(vectors) // 40))
    means = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=8,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=_PER_CELL,
    )
    means.train(vectors)
    return np.ascontiguousarray(means.centroids, np.float32)
