"""Matrix factorization by alternating least squares, fitted by implicit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numba import njit

from recsys.features import npz
from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.dots import dot, dots
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
    alpha: float = 3.0
    iterations: int = 15
    seed: int = 0
    device: str = "auto"
    _items: Floats = field(init=False, repr=False)  # (items, factors)
    _gram: Floats = field(init=False, repr=False)  # (factors, factors) of the normal equations
    _solved: Floats = field(init=False, repr=False)  # (items, factors) each times inverse gram
    _index: VectorIndex = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("factors", "regularization", "alpha", "iterations"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0; got {getattr(self, name)}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        everyone = np.arange(len(interactions.users), dtype=np.int32)
        matrix = Histories.of(interactions, everyone).matrix(len(interactions.items))
        # implicit takes c, not c - 1: its own alpha would leave the 1 out.
        matrix.data = 1 + np.float32(self.alpha) * matrix.data
        with threadpool_limits(1, user_api="blas"):  # implicit brings its own threads
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=1.0,
                iterations=self.iterations,
                random_state=self.seed,
            )
            model.fit(matrix, show_progress=False)
        self._hold(model.item_factors)
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The `k` items with the largest product with each history's factors."""
        users = self.users_of(histories)
        items, scores = self._index.search(users, k, allowed)
        silent = ~users.any(axis=1)  # an empty history, or one of items that nobody had
        items[silent], scores[silent] = PAD, -np.inf
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        each = np.arange(len(histories), dtype=np.int32)[:, None]
        return dots(self.users_of(histories), each, self._items, items)[:, :, 0]

    def users_of(self, histories: Histories) -> Floats:
        """The factors (b, factors) that histories fold in to; zeros for an empty one."""
        matrix = histories.matrix(len(self._items))
        users = np.zeros((len(histories), self.factors), np.float32)
        over_rows(
            _fold_in, len(users), self._gram, self._items, self._solved, matrix.indptr,
            matrix.indices, self.alpha * matrix.data, users,
        )  # fmt: skip
        return users

    def save(self, folder: Path) -> None:
        npz.write(folder / "als.npz", item_factors=self._items)

    def load(self, folder: Path) -> Self:
        self._hold(*npz.read(folder / "als.npz", "item_factors"))
        return self

    def _hold(self, factors: Floats) -> None:
        self._items = np.ascontiguousarray(factors, np.float32)
        exact = self._items.astype(np.float64)
        gram = exact.T @ exact + self.regularization * np.eye(self.factors)
        self._gram = gram.astype(np.float32)
        self._solved = (exact @ np.linalg.inv(gram)).astype(np.float32)
        self._index = VectorIndex(self.factors, self.device)
        rows = np.flatnonzero(self._items.any(axis=1)).astype(np.int32)
        self._index.add(rows, self._items[rows])


@njit(nogil=True, cache=True, fastmath=True)
def _fold_in(
    start: int, stop: int, gram: Array, factors: Array, solved: Array, offsets: Array,
    items: Array, confidences: Array, users: Array,
) -> None:  # fmt: skip
    """Solve (Y'Y + r + Y'DY) x = Y'(1 + d) for each user, Y of the user's own items in the sums.

    Equation 4 of Hu, Koren & Volinsky 2008; confidences d (n,) are c - 1, preferences are 1.
    """
    size = gram.shape[0]
    matrix, right = np.empty((size, size), np.float32), np.empty(size, np.float32)
    for row in range(start, stop):
        own = items[offsets[row] : offsets[row + 1]]
        weights = confidences[offsets[row] : offsets[row + 1]]
        if 0 < len(own) <= size:
            _fold_in_short(factors, solved, own, weights, matrix, right, users[row])
        elif len(own) > size:
            _fold_in_long(gram, factors, own, weights, matrix, users[row])


@njit(nogil=True, cache=True, fastmath=True)
def _fold_in_short(
    factors: Array, solved: Array, items: Array, weights: Array, matrix: Array, right: Array,
    user: Array,
) -> None:  # fmt: skip
    """With G = Y'Y + r and rows Z = Y inv(G): x = Z' s, where (1 / D + Y Z') s = (1 + d) / d.

    As many equations as items, by the push-through identity: 3 instead of 30 us for ten items.
    """
    size = len(items)
    for i in range(size):
        for j in range(i + 1):
            matrix[i, j] = dot(factors[items[i]], solved[items[j]])
        matrix[i, i] += 1 / weights[i]
        right[i] = (1 + weights[i]) / weights[i]
    _solve(matrix[:size, :size], right[:size])
    for i in range(size):
        for factor in range(len(user)):
            user[factor] += right[i] * solved[items[i], factor]


@njit(nogil=True, cache=True, fastmath=True)
def _fold_in_long(
    gram: Array, factors: Array, items: Array, weights: Array, matrix: Array, user: Array
) -> None:
    """As many equations as factors, with the items summed into the matrix."""
    size = len(user)
    matrix[:] = gram
    for place in range(len(items)):
        item, weight = items[place], weights[place]
        for i in range(size):
            scaled = weight * factors[item, i]
            user[i] += factors[item, i] + scaled
            for j in range(i + 1):
                matrix[i, j] += scaled * factors[item, j]
    _solve(matrix, user)


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
