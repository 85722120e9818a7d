"""Matrix factorization by alternating least squares, fitted by implicit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numba import njit

from recsys.features import npz
from recsys.features.arrays import Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.dots import dots
from recsys.retrieval.index import VectorIndex


@dataclass
class Als:
    """Implicit-feedback ALS (Hu, Koren & Volinsky 2008), its item factors in a `VectorIndex`.

    A history is folded in by one least-squares step over its items, so a new user or a session
    needs no refit. The confidence in a pair is 1 + `alpha` times the weight of its events.
    """

    reason: ClassVar[str] = "chosen by people of similar taste"

    name: str = "als"
    factors: int = 64
    regularization: float = 0.01
    alpha: float = 10.0
    iterations: int = 15
    seed: int = 0
    device: str = "auto"
    _items: Floats = field(init=False, repr=False)  # (items, factors)
    _gram: Floats = field(init=False, repr=False)  # (factors, factors) of the normal equations
    _index: VectorIndex = field(init=False, repr=False)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        everyone = np.arange(len(interactions.users), dtype=np.int32)
        matrix = Histories.of(interactions, everyone).matrix(len(interactions.items))
        with threadpool_limits(1, user_api="blas"):  # implicit brings its own threads
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.seed,
            )
            model.fit(matrix, show_progress=False)
        self._hold(model.item_factors)
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The `k` items with the largest product with each history's factors."""
        items, scores = self._index.search(self.users_of(histories), k, allowed)
        empty = histories.lengths == 0
        items[empty], scores[empty] = -1, -np.inf
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        each = np.arange(len(histories), dtype=np.int32)[:, None]
        return dots(self.users_of(histories), each, self._items, items)[:, :, 0]

    def users_of(self, histories: Histories) -> Floats:
        """The factors (b, factors) that histories fold in to; zeros for an empty one."""
        matrix = histories.matrix(len(self._items))
        users = np.zeros((len(histories), self.factors), np.float32)
        over_rows(
            _fold_in, len(users), self._gram, self._items, matrix.indptr, matrix.indices,
            self.alpha * matrix.data, users,
        )  # fmt: skip
        return users

    def save(self, folder: Path) -> None:
        npz.write(folder / "als.npz", item_factors=self._items)

    def load(self, folder: Path) -> Self:
        self._hold(*npz.read(folder / "als.npz", "item_factors"))
        return self

    def _hold(self, factors: Floats) -> None:
        self._items = np.ascontiguousarray(factors, np.float32)
        ridge = self.regularization * np.eye(self.factors, dtype=np.float32)
        self._gram = self._items.T @ self._items + ridge
        self._index = VectorIndex(self.factors, self.device)
        rows = np.flatnonzero(self._items.any(axis=1)).astype(np.int32)
        self._index.add(rows, self._items[rows])


@njit(nogil=True, cache=True, fastmath=True)
def _fold_in(
    start: int, stop: int, gram: Array, factors: Array, offsets: Array, items: Array,
    confidences: Array, users: Array,
) -> None:  # fmt: skip
    """Solve (Y'Y + Y'(C - 1)Y + r) x = Y'c for each user, by Cholesky's decomposition.

    Equation 4 of Hu, Koren & Volinsky 2008; confidences (n,) are c - 1, preferences are 1.
    """
    size = gram.shape[0]
    matrix = np.empty((size, size), np.float32)
    for row in range(start, stop):
        if offsets[row] == offsets[row + 1]:
            continue
        right = users[row]
        matrix[:] = gram
        for place in range(offsets[row], offsets[row + 1]):
            own, confidence = factors[items[place]], confidences[place]
            for i in range(size):
                scaled = confidence * own[i]
                right[i] += own[i] + scaled
                for j in range(i + 1):
                    matrix[i, j] += scaled * own[j]
        _solve(matrix, right)


@njit(nogil=True, cache=True, fastmath=True)
def _solve(matrix: Array, right: Array) -> None:
    """Solve matrix x = right in place; of the symmetric matrix only the lower half is read."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]
    for i in range(size):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]
