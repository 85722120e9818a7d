"""The linear model EASE: a closed form over the items' Gram matrix."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from benchmarks.peers import lists
from recsys.features.arrays import Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.inverse import inverse_of_gram


@dataclass
class Ease:
    """Steck 2019, equations 5 to 8, on pairs that all count the same.

    With P the inverse of X'X + `regularization` I the weight of item i for item j is
    -P[i, j] / P[j, j], and 0 for itself. P is of the items that somebody had, takes 4 bytes for
    each pair of them (6.7 GB for 40,981 items); where users are fewer, a matrix of them is held
    beside it while it is made. `fit` refuses a P of more than `most_bytes`.
    Any history will do, also that of somebody whom `fit` has not seen.
    """

    name: str = "ease"
    regularization: float = 500.0
    most_bytes: int = 8 << 30
    _rows: Array = field(init=False, repr=False)  # (n,) the items that somebody had
    _inverse: Floats = field(init=False, repr=False)  # (n, n) P
    _scale: Floats = field(init=False, repr=False)  # (n,) its diagonal

    def __post_init__(self) -> None:
        if not self.regularization > 0:
            raise SettingsError(f"regularization must be above 0; got {self.regularization}")

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        self._rows = np.flatnonzero(past.item_counts)
        needed = 4 * len(self._rows) ** 2
        if needed > self.most_bytes:
            raise DataError(
                f"EASE holds a matrix of items x items: {len(self._rows):,} items take "
                f"{needed / 1e9:.3g} GB; most_bytes allows {self.most_bytes / 1e9:.3g} GB"
            )
        taken = lists.ones(lists.pairs(past))[:, self._rows]
        # Symmetric, and its rows lie together this way.
        self._inverse = inverse_of_gram(taken, self.regularization).T
        self._scale = self._inverse.diagonal().copy()
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        n_items = len(allowed.mask)
        taken = lists.ones(histories.matrix(n_items))[:, self._rows]

        def score(queries: Array) -> Floats:
            own = taken[queries]
            told = own @ self._inverse
            told -= own.multiply(self._scale).toarray()  # an item says nothing of itself
            told /= -self._scale
            told[own.getnnz(axis=1) == 0] = -np.inf
            scores = np.full((len(queries), n_items), -np.inf, np.float32)
            scores[:, self._rows] = told
            return scores

        return lists.of_scores(score, allowed, k)
