"""Nearest neighbours among items, found by implicit."""

import warnings
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp

from benchmarks.peers import lists
from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import top_k

_ROWS = 1024  # items whose similarities to all are held at once


@dataclass
class Knn:
    """The sum of the similarities of an item to those of a history, which all count the same.

    Only the `neighbours` nearest items are kept: of each item of the history (Deshpande & Karypis
    2004, and implicit's own lists), or of each item that might be offered (Sarwar et al. 2001,
    `of="offered"`). What is no neighbour of the history is not offered. Any history will do, also
    that of somebody whom `fit` has not seen.
    """

    name: str = "knn"
    neighbours: int = 100
    similarity: Literal["cosine", "bm25", "tfidf"] = "cosine"
    shrinkage: float = 0.0  # added to the product of the norms: the rare are less alike
    of: Literal["history", "offered"] = "history"
    _near: sp.csr_matrix = field(init=False, repr=False)  # (items had, items offered)

    def __post_init__(self) -> None:
        if self.similarity not in ("cosine", "bm25", "tfidf"):
            raise SettingsError(
                f"similarity must be cosine, bm25 or tfidf; got {self.similarity!r}"
            )
        if self.shrinkage and (self.shrinkage < 0 or self.similarity != "cosine"):
            raise SettingsError(
                f"shrinkage must not be below 0, and 0 but for cosine; got {self.shrinkage} for "
                f"{self.similarity}"
            )
        if self.of not in ("history", "offered"):
            raise SettingsError(f"of must be history or offered; got {self.of!r}")

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        taken = lists.ones(lists.pairs(past))
        if self.shrinkage:
            near = shrunk_cosines(taken, self.neighbours, self.shrinkage)
        else:
            near = self._by_implicit(taken)
        self._near = near if self.of == "history" else near.T.tocsr()
        return self

    def _by_implicit(self, taken: sp.csr_matrix) -> sp.csr_matrix:
        from implicit import nearest_neighbours as models
        from implicit.utils import ParameterWarning

        kinds = {
            "cosine": models.CosineRecommender,
            "bm25": models.BM25Recommender,
            "tfidf": models.TFIDFRecommender,
        }
        # An item is its own nearest neighbour, which would take the place of another one.
        model = kinds[self.similarity](K=self.neighbours + 1)
        with warnings.catch_warnings():  # of its own matrix not being of the kind that it wants
            warnings.simplefilter("ignore", ParameterWarning)
            model.fit(taken, show_progress=False)
        near = model.similarity.tocsr().astype(np.float32)
        near.setdiag(0)
        near.eliminate_zeros()
        return near

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        taken = lists.ones(histories.matrix(len(allowed.mask)))

        def score(queries: Array) -> Floats:
            scores: Floats = (taken[queries] @ self._near).toarray()
            scores[scores == 0] = -np.inf
            return scores

        return lists.of_scores(score, allowed, k)


def shrunk_cosines(taken: sp.csr_matrix, k: int, shrinkage: float) -> sp.csr_matrix:
    """The `k` nearest of each item (items, items) by n_ij / (sqrt(n_i n_j) + `shrinkage`).

    n_ij counts the users of `taken` (users, items) who had both items, n_i those who had i.
    """
    n_items = taken.shape[1]
    users, norms = taken.T.tocsr(), np.sqrt(np.asarray(taken.sum(axis=0), np.float32))
    found, alike = [], []
    for start in range(0, n_items, _ROWS):
        rows = np.arange(start, min(start + _ROWS, n_items))
        scores = (users[rows] @ taken).toarray() / (norms[:, rows].T * norms + shrinkage)
        scores[np.arange(len(rows)), rows] = 0
        scores[scores == 0] = -np.inf
        items, best = top_k(scores, min(k, n_items), Allowed.everything(len(rows), n_items))
        found.append(items)
        alike.append(best)
    items = np.concatenate(found)
    offsets = ragged.offsets_of((items != PAD).sum(axis=1))
    return sp.csr_matrix(
        (np.concatenate(alike)[items != PAD], items[items != PAD], offsets), (n_items, n_items)
    )
