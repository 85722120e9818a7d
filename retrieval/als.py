"""Matrix factorization by alternating least squares, fitted by implicit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.threads import over_rows
from recsys.retrieval.topk import top_k


@dataclass
class Als:
    """Implicit-feedback ALS (Hu, Koren & Volinsky 2008).

    A history is folded in by one least-squares step over its items, so a new user or a session
    needs no refit. Confidence of a pair is 1 + `alpha` times the weight of its events.
    """

    reason: ClassVar[str] = "chosen by people of similar taste"

    name: str = "als"
    factors: int = 64
    regularization: float = 0.01
    alpha: float = 1.0
    iterations: int = 15
    seed: int = 0
    item_factors_: Floats | None = field(default=None, init=False, repr=False)  # (items, factors)
    model_: Any = field(default=None, init=False, repr=False)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        from threadpoolctl import threadpool_limits

        matrix = Histories.of(interactions, np.arange(len(interactions.users), dtype=np.int32)).matrix(
            len(interactions.items)
        )
        self.model_ = self._model()
        with threadpool_limits(1, user_api="blas"):
            self.model_.fit(matrix, show_progress=False)
        self._keep(self.model_.item_factors)
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        scores = self.users_of(histories) @ self._fitted().T
        scores[histories.lengths == 0] = -np.inf
        items, best = top_k(scores, k, allowed)
        return Candidates.of_one(histories.users, items, best, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        scores = np.zeros(items.shape, np.float32)
        over_rows(_dots, len(items), self.users_of(histories), self._fitted(), items, scores)
        return scores

    def users_of(self, histories: Histories) -> Floats:
        """The factors (b, factors) that histories fold in to; zeros for an empty one."""
        matrix = histories.matrix(len(self._fitted()))
        return self.model_.recalculate_user(np.arange(len(histories)), matrix)

    def save(self, folder: Path) -> None:
        np.savez(folder / "als.npz", item_factors=self._fitted())

    def load(self, folder: Path) -> Self:
        with np.load(folder / "als.npz", allow_pickle=False) as arrays:
            self._keep(arrays["item_factors"])
        self.model_ = self._model()
        self.model_.item_factors = self.item_factors_
        return self

    def _model(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=self.seed,
        )

    def _keep(self, factors: Floats) -> None:
        self.item_factors_ = np.ascontiguousarray(factors, np.float32)

    def _fitted(self) -> Floats:
        if self.item_factors_ is None:
            raise RuntimeError(f"{self.name} is not fitted; call fit() or load() first")
        return self.item_factors_


@njit(nogil=True, cache=True, fastmath=True)
def _dots(
    start: int, stop: int, users: Array, factors: Array, items: Array, scores: Array
) -> None:
    for row in range(start, stop):
        for place in range(items.shape[1]):
            item = items[row, place]
            if item == PAD:
                continue
            total = np.float32(0)
            for factor in range(factors.shape[1]):
                total += users[row, factor] * factors[item, factor]
            scores[row, place] = total
