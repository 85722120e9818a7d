"""Indexes of FAISS that find a short list by codes or a graph; the vectors themselves rank it."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from recsys.features.arrays import Floats, Rows
from recsys.features.threads import is_worker
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.nearest import Held
from recsys.retrieval.refill import refilled

_LINKS = 16  # of a node of the graph, in either direction
_BUILD = 80  # nodes looked at to find the links of a new one
_FIRST_WALK, _LONGEST_WALK = 64, 4096  # nodes looked at for a query
_MOST_OVER = 32  # times k, of the short list


@dataclass(frozen=True, slots=True)
class Codes:
    """A short list of `over` x k by FAISS, re-ranked by the products that `dot` computes."""

    held: Held  # rows ascend
    kind: str
    index: Any  # faiss.Index of the vectors, by position
    faiss: Any
    effort: int  # nodes to look at ("hnsw"), or how many times k are fetched ("sq", "pq")

    @classmethod
    def of(cls, faiss: Any, kind: str, rows: Rows, vectors: Floats, seed: int) -> Self:
        """Codes of these vectors (n, d), rows ascending."""
        index = faiss.index_factory(
            vectors.shape[1], _recipe(kind, vectors.shape[1]), faiss.METRIC_INNER_PRODUCT
        )
        if kind == "hnsw":
            index.hnsw.efConstruction = _BUILD
        if kind == "pq":
            index.pq.cp.seed = seed
        index.train(vectors)
        index.add(vectors)
        effort = _FIRST_WALK if kind == "hnsw" else 1
        return cls(Held.of(rows, vectors), kind, index, faiss, effort)

    def with_effort(self, effort: int) -> "Codes":
        return replace(self, effort=effort)

    def stronger(self) -> "Codes | None":
        """The same with twice the effort; None where that is no better than reading all."""
        most = _LONGEST_WALK if self.kind == "hnsw" else _MOST_OVER
        return self.with_effort(2 * self.effort) if 2 * self.effort <= most else None

    def block(self, k: int) -> int:
        """Queries at once."""
        return 512

    def search(self, queries: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """Rows and scores (b, k); the mask acts inside FAISS where the index takes one."""
        left = max(1, int(np.count_nonzero(allowed.mask)))
        selector, bits = None, None
        if left < len(self.held) and self.kind != "pq":
            bits = np.packbits(allowed.mask, bitorder="little")
            selector = self.faiss.IDSelectorBitmap(bits)
        scarce = len(self.held) / left

        def find(asked: Floats, fetch: int) -> Rows:
            if is_worker():
                self.faiss.omp_set_num_threads(1)  # of this thread: blocks run side by side
            options = self._options(selector, fetch, scarce)
            found = self.index.search(asked, fetch, params=options)[1]
            return np.asarray(found, np.int32)

        over = 1 if self.kind == "hnsw" else self.effort
        return refilled(find, queries, self.held, k, allowed, over)

    def _options(self, selector: Any, fetch: int, scarce: float) -> Any:
        if self.kind == "hnsw":
            walk = max(fetch, int(self.effort * scarce))
            return self.faiss.SearchParametersHNSW(sel=selector, efSearch=walk)
        return None if selector is None else self.faiss.SearchParameters(sel=selector)


def _recipe(kind: str, dimension: int) -> str:
    """What FAISS calls the index."""
    if kind == "hnsw":
        return f"HNSW{_LINKS},SQfp16"
    if kind == "sq":
        return "SQ8"
    parts = dimension // 2 if dimension % 2 == 0 else dimension
    return f"PQ{parts}x4fs"
