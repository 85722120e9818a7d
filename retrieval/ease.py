"""The linear model EASE: exact where its matrix fits, from neighbourhoods beyond."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recsys.features import ragged
from recsys.features.arrays import PAD, Array
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.kernels import compiled
from recsys.features.settings import check_at_most
from recsys.features.threads import over_rows
from recsys.retrieval.inverse import inverse_of_gram
from recsys.retrieval.item_to_item import SumsOfLinks
from recsys.retrieval.links import Links
from recsys.retrieval.topk import offer

_RIDGE, _RIDGE_OF_FEW = 300.0, 25.0  # on all items; on a neighbourhood, which is a ridge by itself
_BLOCK = 1024  # items whose weights are pruned at once


@dataclass
class Ease(SumsOfLinks):
    """Each item as a ridge regression on all others, or on its likeliest ones.

    Exact (Steck 2019, equations 5 to 8): with P the inverse of X'X + `regularization` I the weight
    of item i for item j is -P[i, j] / P[j, j]. P is of the items that somebody had and takes
    4 bytes for each pair of them, and less than twice that while it is made. Of each item the
    `neighbours` largest weights are kept. Where that of all items would take more than
    `most_bytes`, each is regressed on the `neighbours` items that alone explain it best (the
    feature selection of fsSLIM, Ning & Karypis 2011, with EASE's ridge).
    `fit` raises DataError where X'X, of 8 bytes for each pair of items that a user had, could have
    more than `most_pairs`.
    All pairs of X count the same, and so do the items of a history.
    """

    reason: ClassVar[str] = "goes with what you chose, such as {item}"

    name: str = "ease"
    regularization: float | None = None  # None: 300, and 25 where items are regressed on a few
    neighbours: int = 300
    most_bytes: int = 2 << 30
    most_pairs: int = 1 << 30
    _links: Links | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(
            self,
            regularization=1e9,
            neighbours=100_000,
            most_bytes=1 << 40,
            most_pairs=1 << 40,
        )
        if self.regularization is not None and not self.regularization > 0:
            raise SettingsError(f"regularization must be above 0; got {self.regularization}")
        for name in ("neighbours", "most_bytes", "most_pairs"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1; got {getattr(self, name)}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        rows = np.flatnonzero(interactions.item_counts)
        taken = ones_of(interactions)[:, rows]
        self._check_room(np.diff(taken.indptr), len(rows))
        if self.is_exact(len(interactions.items)):  # not `rows`: at all moments alike
            ridge = _RIDGE if self.regularization is None else self.regularization
            weights = _pruned(_all_weights(taken, ridge), self.neighbours)
        else:
            ridge = _RIDGE_OF_FEW if self.regularization is None else self.regularization
            weights = _neighbourhoods(taken, ridge, self.neighbours)
        self._links = Links.of(_spread(weights, rows, len(interactions.items)))
        return self

    def _check_room(self, lengths: Array, n_items: int) -> None:
        """Raise DataError where the pairs of all histories (users,) would take too much memory."""
        pairs = min(int((lengths.astype(np.int64) ** 2).sum()), n_items**2)
        if pairs > self.most_pairs:
            raise DataError(
                f"the source {self.name!r} would count up to {pairs:,} pairs of items, more than "
                f"most_pairs = {self.most_pairs:,}; the kind 'knn' counts them block by block"
            )

    def is_exact(self, n_items: int) -> bool:
        """Whether the matrix of so many items may be held."""
        return 4 * n_items**2 <= self.most_bytes


def ones_of(log: Interactions) -> sp.csr_matrix:
    """(users, items) float32: 1 where a user had an item."""
    everyone = np.arange(len(log.users), dtype=np.int32)
    matrix = Histories.of(log, everyone).matrix(len(log.items))
    matrix.data = np.ones(matrix.nnz, np.float32)
    return matrix


def _all_weights(taken: sp.csr_matrix, regularization: float) -> Array:
    """(items, items): row j has the weights of all items for item j, 0 for itself."""
    weights = inverse_of_gram(taken, regularization).T  # symmetric, and its rows lie together so
    weights /= -weights.diagonal()[:, None].copy()
    np.fill_diagonal(weights, 0)
    return weights


def _pruned(weights: Array, k: int) -> sp.csr_matrix:
    """The `k` weights of each row that are farthest from 0."""
    n = len(weights)
    if k >= n:
        return sp.csr_matrix(weights)
    kept = []
    for start in range(0, n, _BLOCK):
        block = weights[start : start + _BLOCK]
        places = np.argpartition(-np.abs(block), k, axis=1)[:, :k]
        offsets = np.arange(len(block) + 1) * k
        values = np.take_along_axis(block, places, axis=1)
        kept.append(sp.csr_matrix((values.ravel(), places.ravel(), offsets), (len(block), n)))
    return sp.csr_matrix(sp.vstack(kept))


def _neighbourhoods(taken: sp.csr_matrix, regularization: float, k: int) -> sp.csr_matrix:
    """As `_pruned`, by a regression of each item on `k` chosen ones."""
    gram = sp.csr_matrix(taken.T @ taken)
    gram.sort_indices()
    n = gram.shape[0]
    chosen = np.full((n, k), PAD, np.int32)
    weights = np.zeros((n, k), np.float32)
    over_rows(
        _regress, n, gram.indptr, gram.indices, gram.data, gram.diagonal(),
        np.float32(regularization), chosen, weights,
    )  # fmt: skip
    filled = chosen != PAD
    offsets = ragged.offsets_of(filled.sum(axis=1))
    return sp.csr_matrix((weights[filled], chosen[filled], offsets), (n, n))


def _spread(weights: sp.csr_matrix, rows: Array, n_items: int) -> sp.csr_matrix:
    """Weights by target, of the items `rows` alone, as (items, items) by source."""
    entries = weights.tocoo()
    places = (rows[entries.col], rows[entries.row])
    return sp.csr_matrix((entries.data, places), (n_items, n_items))


@compiled
def _regress(
    start: int, stop: int, offsets: Array, items: Array, counts: Array, diagonal: Array,
    regularization: float, chosen: Array, weights: Array,
) -> None:  # fmt: skip
    """Solve (G + r) b = g over the neighbours of each item, G and g of their counts in common."""
    n, k = len(diagonal), chosen.shape[1]
    best = np.empty(k, np.float32)
    place_of = np.full(n, PAD, np.int32)
    right = np.zeros(n, np.float32)
    for item in range(start, stop):
        own, filled = chosen[item], 0
        for place in range(offsets[item], offsets[item + 1]):
            other = items[place]
            if other != item:  # what one regressor explains: g^2 / (G + r)
                gain = counts[place] ** 2 / (diagonal[other] + regularization)
                filled = offer(own, best, filled, other, gain)
                right[other] = counts[place]
        own[:filled].sort()
        weights[item, :filled] = _ridge(
            own[:filled], offsets, items, counts, regularization, place_of, right
        )
        right[items[offsets[item] : offsets[item + 1]]] = 0


@compiled
def _ridge(
    own: Array, offsets: Array, items: Array, counts: Array, regularization: float,
    place_of: Array, right: Array,
) -> Array:  # fmt: skip
    size = len(own)
    matrix = np.zeros((size, size), np.float32)
    for i in range(size):
        place_of[own[i]] = i
    for i in range(size):
        for place in range(offsets[own[i]], offsets[own[i] + 1]):
            j = place_of[items[place]]
            if j >= 0:
                matrix[i, j] = counts[place]
        matrix[i, i] += regularization
    place_of[own] = PAD
    return np.linalg.solve(matrix, right[own])
