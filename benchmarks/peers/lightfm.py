"""Matrix factorization by the WARP loss, as LightFM fits it."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from benchmarks.peers import lists
from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import MissingDependency
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed


@dataclass
class LightFm:
    """Kula 2015 without features, on pairs that all count the same.

    One thread, as the threads of LightFM write over one another and no seed would hold. As with
    `Als` a list comes from the factors of the user, not from the history.
    """

    name: str = "lightfm"
    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.0
    epochs: int = 20
    most_tries: int = 10  # negatives drawn per positive before it is let go
    seed: int = 0
    _users: Floats = field(init=False, repr=False)  # (users, factors)
    _items: Floats = field(init=False, repr=False)  # (items, factors)
    _liking: Floats = field(init=False, repr=False)  # (items,) bias; -inf for one nobody had
    _known: lists.Known = field(init=False, repr=False)

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        try:
            from lightfm import LightFM
        except ModuleNotFoundError:
            raise MissingDependency(
                "the peer 'lightfm' needs LightFM: pip install lightfm-next"
            ) from None
        model = LightFM(
            no_components=self.factors,
            loss="warp",
            learning_rate=self.learning_rate,
            item_alpha=self.regularization,
            user_alpha=self.regularization,
            max_sampled=self.most_tries,
            random_state=self.seed,
        )
        happened = lists.ones(lists.pairs(past)).tocoo()
        model.fit(happened, epochs=self.epochs, num_threads=1)
        self._known = lists.Known(past)
        self._users, self._items = model.user_embeddings, model.item_embeddings
        self._liking = np.where(self._known.items, model.item_biases, np.float32(-np.inf))
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        stranger = (histories.users == PAD) | ~self._known.users[histories.users]

        def score(queries: Array) -> Floats:
            scores = self._users[histories.users[queries]] @ self._items.T + self._liking
            scores[stranger[queries]] = -np.inf
            return scores

        return lists.of_scores(score, allowed, k)
