"""Items said no to, as halves of which one pulls towards the item and one towards its opposite.

Least squares over what was wanted know a row's weights w alone: (w + a) (1 - x.y)^2 for what it
has. A pair of the target 0 and the weight d (Hu, Koren & Volinsky 2008: preference 0, confidence
a + d) is two such pairs, one of y and one of -y, of the weight d / 2 each: (d / 2 + a) ((1 - x.y)^2
+ (1 + x.y)^2) differs from d (x.y)^2 by a constant and the 2 a (x.y)^2 that all pairs have anyway.
So no kernel has to know of it, and without any all is as it was.
"""

import numpy as np
import scipy.sparse as sp

from recsys.features import ragged
from recsys.features.arrays import Array, Floats, Mask
from recsys.features.dislikes import Dislikes


def with_opposites(
    matrix: sp.csr_matrix, dislikes: Dislikes | None, weight: float, known: Mask
) -> sp.csr_matrix:
    """Weights (b, n) with those of what the same rows (b) disliked, as (b, 2 n): the items, then
    their opposites. The same as it was where no row that has anything disliked a `known` (n,) item.

    An event after the dislike counts again, so what has a weight is not disliked. Who has nothing
    has no factors, which a no does not change.
    """
    if not weight or dislikes is None or not len(dislikes):
        return matrix
    n = matrix.shape[1]
    owners, items = dislikes.owners.astype(np.int64), dislikes.items
    inside = items < n
    inside[inside] = known[items[inside]]
    inside &= np.diff(matrix.indptr)[owners] > 0
    had = ragged.owners(matrix.indptr).astype(np.int64) * n + matrix.indices
    pairs = np.setdiff1d(owners[inside] * n + items[inside], had)
    if not len(pairs):
        return matrix
    rows, columns = pairs // n, pairs % n
    half = np.full(len(pairs), weight / 2, np.float32)
    places = (
        np.concatenate([had // n, rows, rows]),
        np.concatenate([matrix.indices, columns, columns + n]),
    )
    data = np.concatenate([matrix.data, half, half])
    return sp.csr_matrix((data, places), (matrix.shape[0], 2 * n))


def turned(matrix: sp.csr_matrix, n: int) -> sp.csr_matrix:
    """(n, b), or (n, 2 b) of (b, 2 n): a row's opposites of items are items' opposites of rows."""
    if matrix.shape[1] == n:
        return matrix.T.tocsr()
    return sp.csr_matrix(sp.hstack([matrix[:, :n].T, matrix[:, n:].T], "csr"))


def wanted(matrix: sp.csr_matrix, n: int, dtype: type[np.floating] = np.float64) -> Array:
    """(b,) what a row of (b, n) or (b, 2 n) weighs without what it said no to."""
    total: Array = np.asarray(matrix.sum(axis=1, dtype=dtype)).ravel()
    if matrix.shape[1] != n:
        total = total - 2 * np.asarray(matrix[:, n:].sum(axis=1, dtype=dtype)).ravel()
    return total


def facing(factors: Floats, matrix: sp.csr_matrix) -> tuple[Floats, sp.csr_matrix]:
    """The rows of factors (n, d) that the columns of a matrix (b, n) or (b, 2 n) stand for.

    Of few entries only those that they need, so that a request copies no table.
    """
    n = len(factors)
    if matrix.shape[1] == n:
        return factors, matrix
    if matrix.nnz > n:
        return np.concatenate([factors, -factors]), matrix
    columns, places = np.unique(matrix.indices, return_inverse=True)
    rows = factors[columns % n]
    rows[columns >= n] *= -1
    shape = matrix.shape[0], len(columns)
    return rows, sp.csr_matrix((matrix.data, places.astype(np.int32), matrix.indptr), shape)


def refused_of(matrix: sp.csr_matrix, n: int) -> sp.csr_matrix:
    """(b, n) the weights of what was disliked, of a matrix (b, n) or (b, 2 n)."""
    if matrix.shape[1] == n:
        return sp.csr_matrix(matrix.shape, dtype=np.float32)
    return sp.csr_matrix(2 * matrix[:, n:])
