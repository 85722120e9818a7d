"""Inverses of symmetric positive definite matrices, such as the items' Gram matrix."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from recsys.features.arrays import Array
from recsys.features.errors import DataError
from recsys.features.threads import side_by_side

_FEW_USERS = 0.8  # users per item below which the way round them is shorter
_BLOCK = 128  # items whose inverse is put together at once
_TILE = 2048  # items to a side that are mirrored at once: 16 MB stay in the cache


def inverse_of_gram(taken: sp.csr_matrix, ridge: float) -> Array:
    """The inverse of X'X + ridge I, (items, items) float32, for sparse X (users, items).

    Where users are fewer than items it goes by way of their kernel, which is smaller:
    (X'X + r I)^-1 = (I - X' (XX' + r I)^-1 X) / r (Woodbury); both matrices are held then.
    """
    users, items = taken.shape
    if users < _FEW_USERS * items:
        return _by_users(taken, np.float32(ridge))
    gram = (taken.T @ taken).toarray(order="F")
    np.fill_diagonal(gram, gram.diagonal() + np.float32(ridge))
    inverse: Array = inverted(gram)
    return inverse


def _by_users(taken: sp.csr_matrix, ridge: np.float32) -> Array:
    kernel = (taken @ taken.T).toarray(order="F")
    np.fill_diagonal(kernel, kernel.diagonal() + ridge)
    kernel = inverted(kernel).T  # symmetric, and its rows lie together this way
    by_item = taken.T.tocsr()
    n = by_item.shape[0]
    inverse = np.empty((n, n), np.float32, order="F")

    def put_together(start: int) -> None:
        own = slice(start, min(start + _BLOCK, n))
        of_users = np.ascontiguousarray((by_item[own] @ kernel).T)
        np.multiply(by_item @ of_users, -1 / ridge, out=inverse[:, own])

    for _ in side_by_side(put_together, range(0, n, _BLOCK)):
        pass
    np.fill_diagonal(inverse, inverse.diagonal() + 1 / ridge)
    return inverse


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
