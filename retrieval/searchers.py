"""Ways to search held vectors, chosen by kind and made to find enough of the exact answer."""

import logging
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recsys.features.arrays import Array, Floats, Rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.cells import Cells
from recsys.retrieval.codes import Codes
from recsys.retrieval.gpu import OnGpu
from recsys.retrieval.index_settings import IndexSettings
from recsys.retrieval.nearest import Held, nearest, swept

_log = logging.getLogger("recsys")

_LEAST = 1000  # vectors below which codes and cells cannot be learnt, and reading all is as fast


class Searcher(Protocol):
    """A way to find the largest products; frozen, so that many threads may search."""

    @property
    def held(self) -> Held: ...

    @property
    def effort(self) -> int:
        """How far it looks; 0 where it reads all."""
        ...

    def search(self, queries: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """Rows and scores (b, k); `allowed` speaks of positions in `held`."""
        ...

    def block(self, k: int) -> int:
        """How many queries it takes at once."""
        ...

    def stronger(self) -> "Searcher | None":
        """One that looks further; None where it might as well read all."""
        ...

    def with_effort(self, effort: int) -> "Searcher":
        """One that looks as far as this."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """Reads every vector."""

    held: Held  # rows ascend
    effort: int = 0

    def search(self, queries: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """Rows and scores (b, k)."""
        return nearest(queries, self.held, k, allowed)

    def block(self, k: int) -> int:
        return 512

    def stronger(self) -> None:
        return None

    def with_effort(self, effort: int) -> "Exact":
        return self


@dataclass(frozen=True, slots=True)
class Measured:
    """What an index was found to find."""

    kind: str
    effort: int
    recall: float  # of the exact answer, over the sample; 1 for an exact index
    note: str | None = None  # where the target was not met at first


def kind_of(settings: IndexSettings, vectors: int) -> str:
    """The kind for so many vectors."""
    if vectors < _LEAST or settings.kind == "exact":
        return "exact"
    if settings.kind == "auto":
        return "exact" if vectors < settings.exact_below else "ivf"
    return settings.kind


def make(
    faiss: Any, resources: Any, kind: str, rows: Rows, vectors: Floats, settings: IndexSettings,
    known: Array | None = None,
) -> Searcher:  # fmt: skip
    """A searcher of these vectors (n, d), rows ascending; `known` centroids are not learnt anew."""
    if resources is not None and kind in ("exact", "ivf", "hnsw") and len(rows):
        return OnGpu.of(faiss, resources, kind, rows, vectors)
    if kind == "ivf":
        return Cells.of(faiss, rows, vectors, settings.seed, known)
    if kind in ("hnsw", "sq", "pq"):
        return Codes.of(faiss, kind, rows, vectors, settings.seed)
    return Exact(Held.of(rows, vectors))


def stepped_up(
    searcher: Searcher, kind: str, settings: IndexSettings, queries: Floats | None = None
) -> tuple[Searcher, Measured]:
    """The searcher, made to look further until it finds `settings.recall` of the exact answer.

    It is asked `queries` (m, d), or where there are none held vectors and points halfway between
    two, of which the worse counts. Where even its furthest look is too short all is read. What was
    done is logged and kept.
    """
    if isinstance(searcher, Exact) or not searcher.effort:
        return searcher, Measured(kind, 0, 1.0)
    samples = _samples(searcher, settings, queries)
    first = recall = min(sample.recall(searcher) for sample in samples)
    used: Searcher = searcher
    while recall < settings.recall:
        more = used.stronger()
        if more is None:
            order = np.argsort(used.held.rows)
            note = (
                f"index: {kind} finds {recall:.3f} of the exact answer at its furthest, below "
                f"{settings.recall}: every vector is read instead"
            )
            _log.warning(note)
            return Exact(used.held.take(order)), Measured("exact", 0, 1.0, note)
        used, recall = more, min(sample.recall(more) for sample in samples)
    told: str | None = None
    if used.effort != searcher.effort:
        told = (
            f"index: {kind} finds {first:.3f} of the exact answer at an effort of "
            f"{searcher.effort}, below {settings.recall}; at {used.effort} it finds {recall:.3f}"
        )
        _log.info(told)
    return used, Measured(kind, used.effort, recall, told)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Queries and their exact answers."""

    queries: Floats  # (s, d)
    allowed: Allowed  # in positions
    best: Rows  # (s, k)

    @classmethod
    def of(cls, held: Held, queries: Floats, own: Array | None, depth: int) -> "_Sample":
        """Queries (s, d), each kept from finding the position `own` (s,)."""
        allowed = Allowed.everything(len(queries), len(held))
        if own is not None:
            offsets = np.arange(len(queries) + 1, dtype=np.int64)
            allowed = Allowed(allowed.mask, offsets, own.astype(np.int32))
        return cls(queries, allowed, swept(queries, held, min(depth, len(held) - 1), allowed)[0])

    def recall(self, searcher: Searcher) -> float:
        """The share of the exact answers that are found."""
        found, _ = searcher.search(self.queries, self.best.shape[1], self.allowed)
        each = np.arange(len(found))[:, None] * np.int64(searcher.held.rows.max() + 2)
        return float(np.isin(each + self.best, each + found).mean())


def _samples(searcher: Searcher, settings: IndexSettings, queries: Floats | None) -> list[_Sample]:
    held, rng = searcher.held, np.random.default_rng(settings.seed)
    if queries is not None:
        drawn = rng.choice(len(queries), min(settings.sample, len(queries)), replace=False)
        return [_Sample.of(held, np.ascontiguousarray(queries[drawn]), None, settings.depth)]
    size = min(settings.sample, len(held))
    drawn, others = (rng.choice(len(held), size, replace=False) for _ in range(2))
    halfway = np.float32(0.5) * (held.vectors[drawn] + held.vectors[others])
    return [
        _Sample.of(held, held.vectors[drawn], drawn, settings.depth),
        _Sample.of(held, halfway, None, settings.depth),
    ]
