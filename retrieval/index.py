"""Vectors by row, and the nearest of them to a query by inner product, over FAISS."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat

from recsys.features import npz, ragged
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.device import check
from recsys.features.errors import DataError, MissingDependency, SettingsError
from recsys.features.schema import ArraySchema, Mismatch, floats
from recsys.features.stored import Stored, reading
from recsys.features.threads import cores, is_worker, side_by_side
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.cells import Cells
from recsys.retrieval.gpu import gpu_resources
from recsys.retrieval.index_settings import IndexSettings
from recsys.retrieval.nearest import FEW, Held
from recsys.retrieval.searchers import Exact, Measured, Searcher, kind_of, make, stepped_up

_LEAST_BLOCK = 32  # queries that are worth a thread of their own
_NARROW = 10  # a filter that leaves one in so many is searched by reading what it leaves
_TAIL = 1024  # changes below which nothing is built anew

_Lists = tuple[Rows, Floats]
"""Rows and scores (b, k), best first; PAD and -inf where there are fewer."""


_SCHEMAS = {
    "rows": ArraySchema("int32", ("n",), least=0),
    "vectors": floats("n", "numbers"),
    "centroids": floats("cells", "numbers"),
    "about": ArraySchema("uint8", ("length",)),
}


class _About(Stored):
    """What is said of an index beside its arrays."""

    settings: dict[str, Any]
    effort: Annotated[int, Field(ge=0, lt=1 << 20)]
    measured: tuple[Literal["exact", "ivf", "hnsw", "sq", "pq"], FiniteFloat, str | None]


def import_faiss() -> ModuleType:
    """The module faiss; raises MissingDependency that says what to install."""
    try:
        import faiss
    except ImportError:
        raise MissingDependency(
            "faiss is not installed: pip install 'recsys[cpu]' (or 'recsys[gpu]' with CUDA 13)"
        ) from None
    return faiss


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the index holds at one moment; a change makes a new one, so searches need no lock."""

    base: Searcher
    alive: Mask  # (n,) of the base by position: False once a row is removed or replaced
    tail: Held  # added since the base was built; read as a whole
    measured: Measured

    @property
    def last(self) -> int:
        """The highest row, PAD where there is none."""
        return max(self.base.held.last, self.tail.last)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.alive)) + len(self.tail)

    def parts(self) -> list[tuple[Searcher, Mask]]:
        """What is searched, each with what of it is alive."""
        parts = [(self.base, self.alive), (Exact(self.tail), np.ones(len(self.tail), bool))]
        return [part for part in parts if len(part[1])]

    def without(self, rows: Rows) -> _Stored:
        """The same, these rows forgotten."""
        alive = self.alive & ~np.isin(self.base.held.rows, rows)
        kept = np.flatnonzero(~np.isin(self.tail.rows, rows))
        return replace(self, alive=alive, tail=self.tail.take(kept))

    def every(self) -> tuple[Rows, Floats]:
        """All rows, ascending, and their vectors."""
        kept = np.flatnonzero(self.alive)
        rows = np.concatenate([self.base.held.rows[kept], self.tail.rows])
        vectors = np.concatenate([self.base.held.vectors[kept], self.tail.vectors])
        order = np.argsort(rows)
        return rows[order], vectors[order]


class VectorIndex:
    """Inner-product search, exact or as near to it as asked; searches are thread-safe.

    What is added or removed later is seen at once: a tail is read beside what was built, and all
    is built anew when a tenth has changed. `measured` says which kind it is and what it finds.
    """

    def __init__(
        self, dimension: int, device: str = "auto", settings: IndexSettings | None = None
    ) -> None:
        if dimension < 1:
            raise SettingsError(f"dimension must be at least 1; got {dimension}")
        self.dimension = dimension
        self.device = check(device)
        self.settings = settings or IndexSettings()
        self._faiss = import_faiss()
        self._gpu = gpu_resources(self._faiss, device)
        self._change = threading.Lock()
        self._queries: Floats | None = None
        self._build(np.zeros(0, np.int32), np.zeros((0, dimension), np.float32))

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def measured(self) -> Measured:
        """The kind in use, how far it looks, its recall against the exact answer, and a note."""
        return self._stored.measured

    def add(self, rows: Rows, vectors: Floats, queries: Floats | None = None) -> None:
        """Hold `vectors` (n, d) under `rows` (n,), replacing what stood there.

        Recall is measured with `queries` (m, d) like those to come; without any, with what is held.
        Raises DataError where shapes do not match, a row comes twice or a value is not finite.
        """
        rows, vectors = np.array(rows, np.int32), np.array(self._checked(vectors))
        if len(rows) != len(vectors):
            raise DataError(f"one row per vector is needed; got {len(rows)} and {len(vectors)}")
        if len(np.unique(rows)) != len(rows) or (len(rows) and rows.min() < 0):
            raise DataError("rows of an index must be distinct and not negative")
        if not np.isfinite(vectors).all():
            raise DataError("vectors of an index must be finite")
        with self._change:
            self._queries = self._queries if queries is None else self._checked(queries)
            stored = self._stored.without(rows)
            tail = np.concatenate([stored.tail.rows, rows])
            every = np.concatenate([stored.tail.vectors, vectors])
            order = np.argsort(tail)
            self._swap(replace(stored, tail=Held.of(tail[order], every[order])))

    def remove(self, rows: Rows) -> None:
        """Forget these rows (n,); those that are not held are ignored."""
        with self._change:
            self._swap(self._stored.without(rows))

    def search(self, vectors: Floats, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """The `k` allowed rows with the largest inner product with each query (b, d), best first.

        Returns rows (b, k), PAD where there are fewer, and scores (b, k), -inf there. Ties go to
        the lower row. Raises DataError where shapes do not match.
        """
        queries, stored = self._checked(vectors), self._stored
        if len(allowed) != len(queries):
            raise DataError(f"{len(queries)} queries, but `allowed` speaks of {len(allowed)}")
        if stored.last >= len(allowed.mask):
            raise DataError(
                f"row {stored.last} is held, but the mask covers {len(allowed.mask)} items"
            )
        if not len(queries) or k < 1:
            return _nothing(len(queries), max(k, 0))
        parts = [_Part.of(searcher, allowed, alive) for searcher, alive in stored.parts()]
        lists = [part.search(queries, k) for part in parts if part.left]
        return reduce(_merged, lists) if lists else _nothing(len(queries), k)

    def save(self, path: Path) -> None:
        """Write rows, vectors and how they are searched to one npz file."""
        stored = self._stored
        rows, vectors = stored.every()
        about = {"settings": self.settings.model_dump(mode="json"), "effort": stored.base.effort}
        about["measured"] = [stored.measured.kind, stored.measured.recall, stored.measured.note]
        npz.write(
            path,
            rows=rows,
            vectors=vectors,
            centroids=_centroids(stored.base, self.dimension),
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        )

    @classmethod
    def load(cls, path: Path, device: str = "auto") -> VectorIndex:
        """Read what `save` wrote; raises ArtifactError where the file is damaged.

        Centroids are read and recall is as it was measured; graphs and codes are built anew.
        """
        rows, vectors, centroids, text = npz.read(path, _SCHEMAS)
        with reading(path):
            if (rows[1:] <= rows[:-1]).any():
                raise Mismatch("'rows' must ascend")
            about = _About.model_validate_json(text.tobytes())
            index = cls(vectors.shape[1], device, IndexSettings.parse(about.settings))
            kind, recall, note = about.measured
            known = centroids if len(centroids) else None
            base = make(index._faiss, index._gpu, kind, rows, vectors, index.settings, known)
            base = base.with_effort(about.effort)
            index._stored = _fresh(base, Measured(kind, base.effort, recall, note))
        return index

    def _swap(self, stored: _Stored) -> None:
        """Take over a change; build anew where much has changed since."""
        size = len(stored.alive)
        changed = len(stored.tail) + size - np.count_nonzero(stored.alive)
        if size < _TAIL or changed > max(_TAIL, size // 10):
            self._build(*stored.every(), stored.base)
        else:
            self._stored = stored

    def _build(self, rows: Rows, vectors: Floats, before: Searcher | None = None) -> None:
        kind, known = kind_of(self.settings, len(rows)), None
        if isinstance(before, Cells) and len(rows) < 2 * len(before.held):
            known = before.centroids.vectors
        made = make(self._faiss, self._gpu, kind, rows, vectors, self.settings, known)
        self._stored = _fresh(*stepped_up(made, kind, self.settings, self._queries))

    def _checked(self, vectors: Floats) -> Floats:
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise DataError(f"vectors must be (n, {self.dimension}); got {vectors.shape}")
        return vectors


@dataclass(frozen=True, slots=True)
class _Part:
    """Base or tail, and what may be offered of it, said in positions."""

    searcher: Searcher
    allowed: Allowed
    left: int  # positions that may be offered

    @classmethod
    def of(cls, searcher: Searcher, asked: Allowed, alive: Mask) -> _Part:
        """`asked` speaks of rows, `alive` (n,) of positions."""
        times = _NARROW if searcher.effort else 2
        if np.count_nonzero(asked.mask) * times < len(searcher.held):
            return cls._narrow(searcher.held, asked, alive)
        allowed = _within(asked, searcher.held, alive)
        return cls(searcher, allowed, int(np.count_nonzero(allowed.mask)))

    @classmethod
    def _narrow(cls, held: Held, asked: Allowed, alive: Mask) -> _Part:
        """Only what may be offered, to be read as a whole."""
        kept = held.positions(np.flatnonzero(asked.mask).astype(np.int32))
        kept = kept[kept != PAD]
        few = held.take(kept[alive[kept]])
        return cls(Exact(few), _within(asked, few, np.ones(len(few), bool)), len(few))

    def search(self, queries: Floats, k: int) -> _Lists:
        """The best `k` of this part."""
        width = min(k, self.left)
        items, scores = _nothing(len(queries), k)
        for block, (rows, best) in self._answers(queries, width):
            items[block, :width], scores[block, :width] = rows, best
        return items, scores

    def _answers(self, queries: Floats, width: int) -> Iterator[tuple[Array, _Lists]]:
        """Some queries at a time, as many side by side as there are cores."""
        every = np.arange(len(queries))
        if len(queries) <= FEW:
            yield every, self.searcher.search(queries, width, self.allowed)
            return
        share = len(queries) if is_worker() else -(-len(queries) // cores())
        size = min(max(_LEAST_BLOCK, share), self.searcher.block(width))
        blocks = [every[start : start + size] for start in range(0, len(every), size)]

        def answer(block: Array) -> tuple[Array, _Lists]:
            own = self.allowed if len(blocks) == 1 else self.allowed.take(block)
            return block, self.searcher.search(queries[block], width, own)

        yield from side_by_side(answer, blocks)


def _nothing(queries: int, k: int) -> _Lists:
    """Empty lists (b, k)."""
    return np.full((queries, k), PAD, np.int32), np.full((queries, k), -np.inf, np.float32)


def _merged(one: _Lists, other: _Lists) -> _Lists:
    """The best of two lists (b, k) of each query, ties to the lower row."""
    both, best = np.hstack([one[0], other[0]]), np.hstack([one[1], other[1]])
    order = np.lexsort((both, -best))[:, : one[0].shape[1]]
    return np.take_along_axis(both, order, axis=1), np.take_along_axis(best, order, axis=1)


def _fresh(base: Searcher, measured: Measured) -> _Stored:
    dimension = base.held.vectors.shape[1]
    empty = Held.of(np.zeros(0, np.int32), np.zeros((0, dimension), np.float32))
    return _Stored(base, np.ones(len(base.held), bool), empty, measured)


def _centroids(base: Searcher, dimension: int) -> Floats:
    return base.centroids.vectors if isinstance(base, Cells) else np.zeros((0, dimension), "f4")


def _within(allowed: Allowed, held: Held, alive: Mask) -> Allowed:
    """`allowed` said in positions of what is held, where it is alive (n,), instead of rows."""
    mask = alive if allowed.mask.all() else allowed.mask[held.rows] & alive
    place, offsets = held.positions(allowed.excluded), allowed.offsets
    there = place != PAD
    if held.order is not None or not there.all():
        owner, place = ragged.owners(offsets)[there], place[there]
        if held.order is not None:
            order = np.lexsort((place, owner))
            owner, place = owner[order], place[order]
        offsets = ragged.offsets_of(np.bincount(owner, minlength=len(allowed)))
    return Allowed(mask, offsets, place)
