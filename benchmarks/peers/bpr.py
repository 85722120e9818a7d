"""Matrix factorization by Bayesian personalized ranking, as implicit fits and serves it."""

from dataclasses import dataclass, field
from typing import Any, Self

from benchmarks.peers import lists
from recsys.features.arrays import Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed


@dataclass
class Bpr:
    """Rendle et al. 2009 on pairs that all count the same; one thread, so that a seed says all.

    As with `Als` a list comes from the factors of the user, not from the history.
    """

    name: str = "bpr"
    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 100
    seed: int = 0
    _model: Any = field(init=False, repr=False)
    _known: lists.Known = field(init=False, repr=False)

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        self._model = BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            num_threads=1,
            random_state=self.seed,
        )
        self._model.fit(lists.ones(lists.pairs(past)), show_progress=False)
        self._model.num_threads = 0  # serving is the same with any number
        self._known = lists.Known(past)
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return lists.of_implicit(self._model, histories.users, self._known, allowed, k)
