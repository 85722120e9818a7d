"""A low-pass filter on the graph of users and items."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recsys.features import npz, ragged
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError, TrainingError
from recsys.features.histories import Histories, anonymous
from recsys.features.interactions import Interactions
from recsys.features.schema import (
    NO_SIZES,
    ArraySchema,
    Mismatch,
    Sizes,
    check_lists,
    floats,
    offsets,
)
from recsys.features.settings import check_at_most
from recsys.features.stored import reading
from recsys.features.threads import side_by_side
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.contributions import once_each
from recsys.retrieval.dots import dots
from recsys.retrieval.ease import ones_of
from recsys.retrieval.topk import top_k

_BLOCK = 64  # histories at once: 10 MB for 40,000 items
_SPARE = 8  # fetched beyond k, so that ties at the end are broken by item, not by rounding
_SWEEPS = 5  # of the subspace iteration
_ORDER = 4  # of the Runge-Kutta method
_BESIDE = 40  # directions that it carries beside those that are kept


@dataclass
class GraphFilter:
    """Smooths a history over the normalised graph and sharpens what comes out.

    With R~ = Du^-1/2 R Di^-1/2 of ones and P = R~'R~, a history r (1 where it has an item) becomes
    r P + `ideal` r Di^-1/2 V V' Di^1/2, V being the first `factors` right singular vectors of R~
    (GF-CF, Shen et al. 2021). That is sharpened by dy/dt = -y P from 0 to `sharpening` (BSPM, Choi
    et al. 2023), in `steps` of the Runge-Kutta method of order 4. Nothing here is of a user, so a
    history of anybody is answered as one of the log. The log's graph is held, not P.

    An item of which nothing is known scores 0; what sharpening leaves below that is not offered.
    """

    reason: ClassVar[str] = "near to what you chose, such as {item}"

    name: str = "graph-filter"
    factors: int = 256
    ideal: float = 0.2
    sharpening: float = 2.5
    steps: int = 1
    seed: int = 0
    _graph: sp.csr_matrix | None = field(default=None, init=False, repr=False)  # R~
    _turned: sp.csr_matrix = field(init=False, repr=False)  # R~'
    _known: Mask = field(init=False, repr=False)  # (items,) somebody had it
    _from: Floats = field(init=False, repr=False)  # (items, factors) Di^-1/2 V
    _to: Floats = field(init=False, repr=False)  # (items, factors) ideal Di^1/2 V, sharpened

    def __post_init__(self) -> None:
        check_at_most(self, factors=4_096, steps=100, ideal=1e3, sharpening=1e3)
        for name in ("factors", "steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("ideal", "sharpening"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} must be at least 0; got {getattr(self, name)}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        taken = ones_of(interactions)
        per_user = np.maximum(np.diff(taken.indptr), 1).astype(np.float32)
        per_item = np.bincount(taken.indices, minlength=taken.shape[1])
        root = np.sqrt(np.maximum(per_item, 1)).astype(np.float32)
        graph = sp.diags_array(per_user**-0.5) @ taken @ sp.diags_array(1 / root)
        self._hold(sp.csr_matrix(graph, dtype=np.float32))
        axes = right_singular(self._fitted(), self.factors, self.seed)
        self._from = axes / root[:, None]
        self._to = self._sharpened(np.float32(self.ideal) * axes * root[:, None])
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        n_items = self._fitted().shape[1]
        fetch = min(k + _SPARE, n_items)
        allowed = replace(allowed, mask=allowed.mask & self._known)
        items = np.full((len(histories), k), PAD, np.int32)
        scores = np.full((len(histories), k), -np.inf, np.float32)

        def answer(queries: Array) -> tuple[Array, Rows, Floats]:
            smooth, low = self._smoothed(histories.take(queries))
            found, _ = top_k(smooth + low @ self._to.T, fetch, allowed.take(queries))
            return queries, *_sorted(found, self._exact(smooth, low, found))

        for queries, found, best in side_by_side(answer, _blocks(len(histories))):
            items[queries, :fetch], scores[queries, :fetch] = found[:, :k], best[:, :k]
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        self._fitted()
        scores = np.zeros(items.shape, np.float32)

        def answer(queries: Array) -> tuple[Array, Floats]:
            smooth, low = self._smoothed(histories.take(queries))
            return queries, self._exact(smooth, low, items[queries])

        for queries, own in side_by_side(answer, _blocks(len(histories))):
            scores[queries] = own
        return scores

    def contributions(self, histories: Histories, items: Rows) -> Floats:
        """Every step is linear, so a history scores as its distinct items do one by one."""
        singles = anonymous(histories.items, np.arange(len(histories.items) + 1))
        scores = self.score(singles, items[ragged.owners(histories.offsets)])
        return scores * once_each(histories)[:, None]

    def save(self, folder: Path) -> None:
        graph = self._fitted()
        npz.write(
            folder / "graph.npz",
            offsets=graph.indptr, items=graph.indices, weights=graph.data,
            shape=np.array(graph.shape), left=self._from, right=self._to,
        )  # fmt: skip

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        path = folder / "graph.npz"
        left, starts, items, weights, shape, right = npz.read(path, _SCHEMAS, sizes)
        with reading(path):
            check_lists(("offsets", "items"), starts, items)
            if shape.tolist() != [len(starts) - 1, len(left)]:
                raise Mismatch(f"'shape' must be [{len(starts) - 1}, {len(left)}]; got {shape}")
        self._from, self._to = left, right
        self._hold(sp.csr_matrix((weights, items, starts), tuple(shape.tolist())))
        return self

    def _hold(self, graph: sp.csr_matrix) -> None:
        self._graph, self._turned = graph, graph.T.tocsr()
        self._known = np.diff(self._turned.indptr) > 0

    def _fitted(self) -> sp.csr_matrix:
        if self._graph is None:
            raise TrainingError(f"{self.name} is not fitted; call fit() or load() first")
        return self._graph

    def _smoothed(self, histories: Histories) -> tuple[Floats, Floats]:
        """Of each history the sharpened r P (b, items) and its place on the axes.

        Sparse products go row by row and column by column: none depends on the rest of the block.
        """
        graph = self._fitted()
        taken = histories.matrix(graph.shape[1])
        taken.data = np.ones(taken.nnz, np.float32)
        smooth = self._turned @ (graph @ taken.T.toarray())  # (items, b)
        return np.ascontiguousarray(self._sharpened(smooth).T), taken @ self._from

    def _sharpened(self, columns: Floats) -> Floats:
        """`columns` (items, n) after all steps; 0 of sharpening leaves them as they are."""
        graph, step = self._fitted(), self.sharpening / self.steps
        for _ in range(self.steps if step else 0):
            term = columns
            for power in range(1, _ORDER + 1):  # of a linear equation the step is Taylor's sum
                term = np.float32(-step / power) * (self._turned @ (graph @ term))
                columns = columns + term
        return columns

    def _exact(self, smooth: Floats, low: Floats, items: Rows) -> Floats:
        """The scores of items (b, w), by products that no BLAS has a say in; 0 for PAD."""
        each = np.arange(len(items), dtype=np.int32)[:, None]
        own = np.take_along_axis(smooth, np.maximum(items, 0), axis=1)
        scores: Floats = np.where(items == PAD, 0, own + dots(low, each, self._to, items)[:, :, 0])
        return scores.astype(np.float32)


_INDEX = ("int32", "int64")  # scipy chooses by the number of entries

_SCHEMAS = {
    "left": floats("items", "factors"),
    "offsets": offsets("users", _INDEX),
    "items": ArraySchema(_INDEX, ("n",), least=0, below="items"),
    "weights": floats("n"),
    "shape": ArraySchema("int64", (2,), least=0),
    "right": floats("items", "factors"),
}


def right_singular(matrix: sp.csr_matrix, n: int, seed: int) -> Floats:
    """The first `n` right singular vectors (columns, n) of a sparse matrix; fewer if it has fewer.

    By subspace iteration with a Gaussian start (Halko, Martinsson & Tropp 2011, algorithm 4.4).
    """
    columns = matrix.shape[1]
    width = min(n + _BESIDE, *matrix.shape)
    turned = matrix.T.tocsr()
    basis = np.random.default_rng(seed).standard_normal((columns, width)).astype(np.float32)
    for _ in range(_SWEEPS):
        basis = _orthonormal(turned @ (matrix @ basis))
    image = matrix @ basis
    _, turn = np.linalg.eigh(image.T @ image)  # ascending
    axes: Floats = np.ascontiguousarray(basis @ turn[:, ::-1][:, :n], np.float32)
    return axes


def _orthonormal(basis: Floats) -> Floats:
    """Orthonormal columns that span those of `basis`, fewer where these depend on each other.

    By the Gram matrix, which is products of matrices: of (40,981, 488) in 1.0 CPU-seconds, where
    a QR decomposition takes 3.0.
    """
    for _ in range(2):  # what rounding leaves of the first time is gone after the second
        basis = basis / np.maximum(np.linalg.norm(basis, axis=0), np.finfo(np.float32).tiny)
        squares, axes = np.linalg.eigh((basis.T @ basis).astype(np.float64))
        least = squares.max(initial=0) * len(squares) * np.finfo(np.float32).eps
        kept = squares > least
        basis = basis @ (axes[:, kept] / np.sqrt(squares[kept])).astype(np.float32)
    return basis


def _blocks(n: int) -> list[Array]:
    return [np.arange(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]


def _sorted(items: Rows, scores: Floats) -> tuple[Rows, Floats]:
    """Lists (b, w) of scores above 0, best first, equal ones by item, PAD / -inf at the end."""
    items = np.where(scores > 0, items, PAD)
    scores = np.where(items == PAD, np.float32(-np.inf), scores)
    order = np.lexsort((items, -scores), axis=1)
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
