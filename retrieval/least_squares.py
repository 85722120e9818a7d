"""Exact factors of rows, each by one weighted least-squares problem over the rows it met."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.opposites import facing, wanted

_HEAVY = 1e3  # leverage of an event from which float32 would lose more than the fourth digit


@dataclass(frozen=True, slots=True)
class Ridge:
    """How strongly a row is held back: `scale` x (the weight of its events) ** `exponent`.

    With an exponent of 0 all rows alike, as in Hu, Koren & Volinsky 2008; with 1 by frequency, as
    in Zhou et al. 2008 and Rendle et al. 2021.
    """

    scale: float
    exponent: float

    @classmethod
    def of(cls, regularization: float, exponent: float, weights: Array) -> "Ridge":
        """`regularization` x the mean weight for a row of mean weight, of those (n,) above 0.

        So the exponent shifts the ridge between rows and leaves its size as it is.
        """
        above = weights[weights > 0]
        mean = float(above.mean()) if len(above) else 1.0
        return cls(regularization * mean ** (1 - exponent), exponent)

    def at(self, weights: Array) -> Floats:
        """(n,) for rows whose events weigh so much (n,)."""
        return np.asarray(self.scale * np.maximum(weights, 0) ** self.exponent, np.float32)


def solved(
    matrix: sp.csr_matrix, factors: Floats, spectrum: Array, unobserved: float, ridge: Ridge
) -> Floats:
    """The factors (b, d) of rows that met others with weights `matrix` (b, n) > 0; zeros for none.

    Row x of weights w is where sum_j (w_j + a) (1 - x.y_j)^2 over those it met, plus a (x.y_j)^2
    over all others, plus ridge |x|^2, is least: (a Y'Y + ridge + Y'WY) x = Y'(w + a), equation 4 of
    Hu, Koren & Volinsky 2008 where the unobserved weigh a. `factors` Y (n, d) have their axes so
    that Y'Y is diagonal; `spectrum` (d,) is that diagonal. `matrix` (b, 2 n) says no too: see
    `opposites`.
    """
    out = np.zeros((matrix.shape[0], factors.shape[1]), np.float32)
    held = (unobserved * spectrum).astype(np.float32)
    totals = np.zeros(0, np.float32)  # as the kernel sums them
    if matrix.shape[1] != len(factors):
        totals = wanted(matrix, len(factors)).astype(np.float32)
    factors, matrix = facing(factors, matrix)
    over_rows(
        _solve_rows, len(out), factors, held, ridge.scale, ridge.exponent, matrix.indptr,
        matrix.indices, matrix.data, totals, np.float32(unobserved), out,
    )  # fmt: skip
    return out


def explained(
    offsets: Offsets, met: Floats, weights: Floats, unobserved_of: Floats, factors: Floats,
    targets: Rows, spectrum: Array, unobserved: float, ridge: Ridge, refused: sp.csr_matrix,
) -> Floats:  # fmt: skip
    """(n, w) what each event adds to the products of the row that it is of with `targets` (b, w).

    Events have the factors `met` (n, d) and `weights` (n,); row i has those from `offsets[i]` on.
    `unobserved_of` (n,) is an event's share in the unobserved weight of its item, which counts once
    however often a row met it. The row is the x of `solved`, so y.x is the sum over events of
    y'(a Y'Y + ridge + Y'WY)^-1 y_j (w_j + a). `refused` (b, n) are the weights of what a row said
    no to: they stand in W and have the target 0, so that they add nothing themselves. In
    float64; 0 where a target is PAD.
    """
    out = np.zeros((len(met), targets.shape[1]), np.float32)
    for row in np.flatnonzero(np.diff(offsets)):
        own = slice(offsets[row], offsets[row + 1])
        theirs, weight = met[own].astype(np.float64), weights[own].astype(np.float64)
        of_no = slice(refused.indptr[row], refused.indptr[row + 1])
        no = factors[refused.indices[of_no]].astype(np.float64)
        against = refused.data[of_no].astype(np.float64)
        held = unobserved * spectrum + ridge.scale * weight.sum() ** ridge.exponent
        inner = np.diag(held) + (theirs.T * weight) @ theirs + (no.T * against) @ no
        wanted = np.where((targets[row] != PAD)[:, None], factors[targets[row]], 0)
        count = weight + unobserved * unobserved_of[own]
        out[own] = count[:, None] * (theirs @ np.linalg.solve(inner, wanted.T.astype(np.float64)))
    return out


@compiled(fastmath=True)
def _solve_rows(
    start: int, stop: int, factors: Array, held: Array, ridge: float, exponent: float,
    offsets: Array, columns: Array, weights: Array, totals: Array, unobserved: float, out: Array,
) -> None:  # fmt: skip
    """Each row in axes scaled so that all but its own events is the identity."""
    size, most = factors.shape[1], 0
    for row in range(start, stop):
        most = max(most, min(size, offsets[row + 1] - offsets[row]))
    scale, right = np.empty(size, np.float32), np.empty(most, np.float32)
    own, matrix = np.empty((most, size), np.float32), np.empty((most, most), np.float32)
    for row in range(start, stop):
        met, weight = (
            columns[offsets[row] : offsets[row + 1]],
            weights[offsets[row] : offsets[row + 1]],
        )
        if len(met) == 0:
            continue
        total = totals[row] if len(totals) else weight.sum()
        own_ridge = np.float32(ridge * total**exponent)
        for c in range(size):
            scale[c] = 1 / np.sqrt(held[c] + own_ridge)
        user = out[row]
        if not _solve_row(
            factors, scale, met, weight, unobserved, _HEAVY, own, matrix, right, user
        ):
            n = min(size, len(met))
            _solve_row(
                factors, scale, met, weight, unobserved, np.inf, np.empty((n, size), np.float64),
                np.empty((n, n), np.float64), np.empty(n, np.float64), user,
            )  # fmt: skip


@compiled(fastmath=True, forceinline=True)
def _solve_row(
    factors: Array, scale: Array, met: Array, weights: Array, unobserved: float, heavy: float,
    own: Array, matrix: Array, right: Array, out: Array,
) -> bool:  # fmt: skip
    """Solve one row in the precision of `matrix`; False where an event's leverage is too large.

    The leverage is weight x |y|^2 in scaled axes; the condition number grows with it.
    """
    if len(met) <= len(out):
        n = len(met)
        if not _fill_short(factors, scale, met, weights, unobserved, heavy, own, matrix, right):
            return False
        _cholesky(matrix[:n, :n], right[:n])
        for i in range(n):
            for c in range(len(out)):
                out[c] += right[i] * own[i, c]
    else:
        if not _fill_long(factors, scale, met, weights, unobserved, heavy, own[0], matrix, right):
            return False
        _cholesky(matrix, right)
        for c in range(len(out)):
            out[c] = right[c]
    for c in range(len(out)):
        out[c] *= scale[c]
    return True


@compiled(fastmath=True, forceinline=True)
def _fill_short(
    factors: Array, scale: Array, met: Array, weights: Array, unobserved: float, heavy: float,
    own: Array, matrix: Array, right: Array,
) -> bool:  # fmt: skip
    """With rows R = Y S of the scaled axes: x = S R' t, where (1 / W + R R') t = (w + a) / w.

    As many equations as events, by the push-through identity.
    """
    for i in range(len(met)):
        for c in range(len(scale)):
            own[i, c] = factors[met[i], c] * scale[c]
        for j in range(i + 1):
            total = matrix.dtype.type(0)
            for c in range(len(scale)):
                total += own[i, c] * own[j, c]
            matrix[i, j] = total
        if matrix[i, i] * weights[i] > heavy:
            return False
        matrix[i, i] += 1 / weights[i]
        right[i] = (unobserved + weights[i]) / weights[i]
    return True


@compiled(fastmath=True, forceinline=True)
def _fill_long(
    factors: Array, scale: Array, met: Array, weights: Array, unobserved: float, heavy: float,
    own: Array, matrix: Array, right: Array,
) -> bool:  # fmt: skip
    """x = S z, where (1 + R'WR) z = R'(w + a): as many equations as factors."""
    size = len(scale)
    for i in range(size):
        right[i] = 0
        for j in range(i):
            matrix[i, j] = 0
        matrix[i, i] = 1
    for place in range(len(met)):
        row, weight, square = met[place], matrix.dtype.type(weights[place]), 0.0
        for c in range(size):
            own[c] = factors[row, c] * scale[c]
            square += own[c] * own[c]
        if weight * square > heavy:
            return False
        for i in range(size):
            scaled = weight * own[i]
            right[i] += scaled + matrix.dtype.type(unobserved) * own[i]
            for j in range(i + 1):
                matrix[i, j] += scaled * own[j]
    return True


@compiled(fastmath=True, forceinline=True)
def _cholesky(matrix: Array, right: Array) -> None:
    """Solve matrix x = right in place; of the symmetric matrix only the lower half is read."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]
    for i in range(size):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]
