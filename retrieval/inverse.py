"""The inverse of a symmetric positive definite matrix, in the memory that the matrix takes."""

from typing import Any

import numpy as np
from scipy.linalg import lapack

from recsys.features.arrays import Array
from recsys.features.errors import DataError

_TILE = 2048  # items to a side that are mirrored at once: 16 MB stay in the cache


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
