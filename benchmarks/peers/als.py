"""Matrix factorization by alternating least squares, as implicit fits and serves it."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from benchmarks.peers import lists
from recsys.features.arrays import Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed


@dataclass
class Als:
    """Hu, Koren & Volinsky 2008 with the confidence 1 + `alpha` x weight.

    A list comes from the factors that a user has since `fit`: it fits a history only where that is
    what the past has of this user, and users without a past get none (there is no fold-in).
    """

    name: str = "als"
    factors: int = 128
    alpha: float = 10.0
    regularization: float = 0.01
    iterations: int = 15
    seed: int = 0
    _model: Any = field(init=False, repr=False)
    _known: lists.Known = field(init=False, repr=False)

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        confidence = lists.pairs(past)
        confidence.data = 1 + np.float32(self.alpha) * confidence.data
        with threadpool_limits(1, user_api="blas"):  # implicit brings threads of its own
            self._model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=1.0,
                iterations=self.iterations,
                random_state=self.seed,
            )
            self._model.fit(confidence, show_progress=False)
        self._known = lists.Known(past)
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return lists.of_implicit(self._model, histories.users, self._known, allowed, k)
