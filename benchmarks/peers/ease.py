"""The linear model EASE: a closed form over the items' Gram matrix."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from scipy.linalg import lapack

from benchmarks.peers import lists
from recsys.features.arrays import Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed

_TILE = 2048  # items to a side that are mirrored at once: 16 MB stay in the cache


@dataclass
class Ease:
    """Steck 2019, equations 5 to 8, on pairs that all count the same.

    With P the inverse of X'X + `regularization` I the weight of item i for item j is
    -P[i, j] / P[j, j], and 0 for itself. P is of the items that somebody had, takes 4 bytes for
    each pair of them (6.7 GB for 40,981 items) and is made in place. `fit` refuses what would take
    more than `most_bytes`.
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
        gram = (taken.T @ taken).toarray(order="F")
        np.fill_diagonal(gram, gram.diagonal() + np.float32(self.regularization))
        self._inverse = inverted(gram).T  # symmetric, and its rows lie together this way
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


def inverted(matrix: Array) -> Any:
    """The inverse of a symmetric positive definite float32 matrix in Fortran order, in its place.

    By LAPACK's Cholesky; raises DataError where the matrix is not positive definite.
    """
    factor, failed = lapack.spotrf(matrix, lower=1, clean=0, overwrite_a=1)
    if not failed:
        factor, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise DataError(
            f"the Gram matrix is not positive definite in float32 (LAPACK says {failed}): "
            "raise the regularization"
        )
    _mirror(factor)
    return factor


def _mirror(matrix: Array) -> None:
    """Write the lower half of a square matrix over its upper half, tile by tile."""
    size = len(matrix)
    for low in range(0, size, _TILE):
        own = slice(low, min(low + _TILE, size))
        tile = matrix[own, own]
        tile[...] = np.tril(tile) + np.tril(tile, -1).T
        for start in range(low + _TILE, size, _TILE):
            below = slice(start, min(start + _TILE, size))
            matrix[own, below] = matrix[below, own].T
