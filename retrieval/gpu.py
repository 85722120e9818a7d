"""FAISS on a GPU: exact, cells or a graph of cuVS, its answers ranked by the vectors.

No machine with a GPU was at hand when this was written: tests marked `gpu` run where there is one.
"""

import threading
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from recsys.features.arrays import Floats, Rows
from recsys.features.errors import SettingsError
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.nearest import Held
from recsys.retrieval.refill import refilled

_FIRST_PROBES = 8
_TURN = threading.Lock()  # indexes on a GPU are not thread-safe, not even for reading


@dataclass(frozen=True, slots=True)
class OnGpu:
    """An index on a GPU, asked for more than k and refilled: selectors are not relied on there."""

    held: Held  # rows ascend
    index: Any  # faiss.GpuIndex of the vectors, by position
    effort: int  # cells to read, or times k to fetch of a graph; 0 where all is read
    cells: int  # 0 where there are none

    @classmethod
    def of(cls, faiss: Any, resources: Any, kind: str, rows: Rows, vectors: Floats) -> Self:
        """The vectors (n, d) on the first GPU; `kind` is "exact", "ivf" or "hnsw" (CAGRA)."""
        dimension, metric = vectors.shape[1], faiss.METRIC_INNER_PRODUCT
        held, cells = Held.of(rows, vectors), int(4 * np.sqrt(len(vectors)))
        if kind == "hnsw":
            graph = faiss.GpuIndexCagra(resources, dimension, metric, faiss.GpuIndexCagraConfig())
            graph.train(vectors)
            return cls(held, graph, 1, 0)
        if kind == "ivf":
            lists = faiss.GpuIndexIVFFlat(resources, dimension, cells, metric)
            lists.train(vectors)
            lists.add(vectors)
            return cls(held, lists, min(_FIRST_PROBES, cells), cells)
        flat = faiss.GpuIndexFlatIP(resources, dimension)
        flat.add(vectors)
        return cls(held, flat, 0, 0)

    def with_effort(self, effort: int) -> "OnGpu":
        return replace(self, effort=effort)

    def stronger(self) -> "OnGpu | None":
        most = self.cells // 2 if self.cells else 16
        more = 2 * self.effort
        return self.with_effort(more) if 0 < more <= most else None

    def block(self, k: int) -> int:
        """Queries at once."""
        return 4096

    def search(self, queries: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """Rows and scores (b, k)."""

        def find(asked: Floats, fetch: int) -> Rows:
            with _TURN:
                if self.cells:
                    self.index.nprobe = self.effort
                return np.asarray(self.index.search(asked, fetch)[1], np.int32)

        over = self.effort if self.effort and not self.cells else 1
        return refilled(find, queries, self.held, k, allowed, over)


def gpu_resources(faiss: Any, device: str) -> Any:
    """What FAISS needs to use a GPU; None where there is none or none is wanted."""
    gpus = faiss.get_num_gpus()
    if device.startswith("cuda") and not gpus:
        raise SettingsError(
            f"device {device!r} was asked for, but faiss finds no GPU: "
            "pip install 'recsys[gpu]' with CUDA 13, or choose 'cpu'"
        )
    return faiss.StandardGpuResources() if gpus and device != "cpu" else None
