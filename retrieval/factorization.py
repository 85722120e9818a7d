"""Weighted matrix factorization: the factors of users and items by alternating least squares."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.features.arrays import Array, Floats
from recsys.features.device import pick
from recsys.features.errors import TrainingError
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.least_squares import Ridge
from recsys.retrieval.opposites import facing, turned, wanted

STEPS = 3
"""Conjugate-gradient steps of each row in each half of an iteration."""

_NOTHING = 1e-30  # a residual below it is 0, and float32 could not divide by its square


@dataclass(frozen=True, slots=True)
class Objective:
    """What a factorization makes least, over all pairs of users and items.

    sum over observed pairs of (a + w) (1 - x.y)^2, over all others of a (x.y)^2, and d (x.y)^2 more
    where a user said no, plus the ridges of users and items. With exponents of 0 it is that of Hu,
    Koren & Volinsky 2008 divided by alpha.
    """

    unobserved: float  # a
    users: Ridge
    items: Ridge

    @classmethod
    def of(
        cls, matrix: sp.csr_matrix, unobserved: float, regularization: float, exponent: float
    ) -> "Objective":
        """The objective of the weights (users, items), in terms that hold for any size of log.

        `unobserved` is the weight of all pairs together, as a multiple of the observed weight;
        users and items without events are none. Multiplying all weights changes no factors.
        """
        users, items = _sums(matrix)
        pairs = max(int((users > 0).sum()) * int((items > 0).sum()), 1)
        return cls(
            unobserved * float(users.sum()) / pairs,
            Ridge.of(regularization, exponent, users),
            Ridge.of(regularization, exponent, items),
        )

    def turned(self) -> "Objective":
        """The same with users and items in each other's place."""
        return Objective(self.unobserved, self.items, self.users)

    def loss(self, matrix: sp.csr_matrix, factors: "Factors") -> float:
        """Its value for weights (users, items)."""
        users, items = factors.users.astype(np.float64), factors.items.astype(np.float64)
        total = self.unobserved * float(((users.T @ users) * (items.T @ items)).sum())
        owners, block = np.repeat(np.arange(len(users)), np.diff(matrix.indptr)), 1 << 17
        for start in range(0, matrix.nnz, block):
            part = slice(start, start + block)
            own, other = users[owners[part]], items[matrix.indices[part]]
            score, weight = np.einsum("ij,ij->i", own, other), matrix.data[part].astype(np.float64)
            missed = (self.unobserved + weight) * (1 - score) ** 2 - self.unobserved * score**2
            total += float(missed.sum())
        sides = zip((users, items), (self.users, self.items), _sums(matrix), strict=True)
        for rows, ridge, weights in sides:
            total += float(ridge.at(weights).astype(np.float64) @ (rows**2).sum(axis=1))
        return total


@dataclass(frozen=True, slots=True)
class Factors:
    """A vector for each user and each item; zeros for those without events."""

    users: Floats  # (users, d)
    items: Floats  # (items, d)

    @classmethod
    def drawn(cls, matrix: sp.csr_matrix, size: int, seed: int) -> "Factors":
        """Where a fit begins: normal, of length .1 on average (Rendle et al. 2021)."""
        rng = np.random.default_rng(seed)
        users, items = (
            rng.normal(0, 0.1 / np.sqrt(size), (n, size)).astype(np.float32) for n in matrix.shape
        )
        for factors, weights in zip((users, items), _sums(matrix), strict=True):
            factors[weights == 0] = 0
        return cls(users, items)

    def turned(self) -> "Factors":
        """Users and items in each other's place."""
        return Factors(self.items, self.users)

    def along_items(self) -> "tuple[Factors, Array]":
        """The same in axes in which items'items is diagonal, and that diagonal (d,).

        A rotation of both leaves every product as it is.
        """
        exact = self.items.astype(np.float64)
        _, axes = np.linalg.eigh(exact.T @ exact)
        users, items = self.users @ axes.astype(np.float32), exact @ axes
        return Factors(users, items.astype(np.float32)), (items**2).sum(axis=0)


def factorize(
    matrix: sp.csr_matrix, objective: Objective, factors: Factors, iterations: int, device: str
) -> Factors:
    """Factors that make the objective of the weights (users, items) small, from given ones.

    The weights may have the items' opposites behind the items (see `opposites`). An iteration
    betters first all users, then all items. Raises TrainingError where the result is not finite,
    SettingsError where the device is not there.
    """
    where = pick(device)
    if where != "cpu":
        from recsys.retrieval.factorization_gpu import factorize_there

        factors = factorize_there(matrix, objective, factors, iterations, where)
    else:
        by_item = turned(matrix, len(factors.items))
        for _ in range(iterations):
            factors = bettered(matrix, objective, factors)
            factors = bettered(by_item, objective.turned(), factors.turned()).turned()
    if not (np.isfinite(factors.users).all() and np.isfinite(factors.items).all()):
        raise TrainingError("the factors are not finite; a larger regularization may help")
    return factors


def bettered(
    matrix: sp.csr_matrix, objective: Objective, factors: Factors, steps: int = STEPS
) -> Factors:
    """Better the users by `steps` of conjugate gradients each, the items as they are.

    In axes in which items'items is diagonal a step costs no (d, d) product, and what all events but
    the user's own contribute is a preconditioner that costs d divisions: at 128 factors half the
    time of the plain steps of Takacs, Pilaszy & Tikk 2011 for a smaller loss.
    """
    factors, spectrum = factors.along_items()
    ridges = objective.users.at(wanted(matrix, len(factors.items)))
    items, matrix = facing(factors.items, matrix)
    over_rows(
        _better, len(factors.users), items,
        (objective.unobserved * spectrum).astype(np.float32), ridges, matrix.indptr,
        matrix.indices, matrix.data, np.float32(objective.unobserved), steps, factors.users,
    )  # fmt: skip
    return factors


def _sums(matrix: sp.csr_matrix) -> tuple[Array, Array]:
    """The weight of each row and of each column, float64."""
    rows, columns = (matrix.sum(axis=axis, dtype=np.float64) for axis in (1, 0))
    return np.asarray(rows).ravel(), np.asarray(columns).ravel()


@compiled(fastmath=True)
def _better(
    start: int, stop: int, factors: Array, held: Array, ridges: Array, offsets: Array,
    columns: Array, weights: Array, unobserved: float, steps: int, out: Array,
) -> None:  # fmt: skip
    """Preconditioned conjugate gradients (Hestenes & Stiefel 1952) from where each row stands."""
    size = factors.shape[1]
    diagonal, rest = np.empty(size, np.float32), np.empty(size, np.float32)
    toward, image = np.empty(size, np.float32), np.empty(size, np.float32)
    for row in range(start, stop):
        met, weight, user = (
            columns[offsets[row] : offsets[row + 1]],
            weights[offsets[row] : offsets[row + 1]],
            out[row],
        )
        if len(met) == 0:
            continue
        for c in range(size):
            diagonal[c] = held[c] + ridges[row]
            rest[c] = -diagonal[c] * user[c]
        _add(factors, met, weight, unobserved, True, user, rest)
        left = np.float32(0)
        for c in range(size):
            toward[c] = rest[c] / diagonal[c]
            left += rest[c] * toward[c]
        for _ in range(steps):
            if not left > _NOTHING:
                break
            for c in range(size):
                image[c] = diagonal[c] * toward[c]
            _add(factors, met, weight, unobserved, False, toward, image)
            left = _step(user, rest, toward, image, diagonal, left)


@compiled(fastmath=True, forceinline=True)
def _step(
    user: Array, rest: Array, toward: Array, image: Array, diagonal: Array, left: np.float32
) -> np.float32:
    """Go along `toward`, whose image is known, and turn it; returns what is left, squared."""
    curvature, after = np.float32(0), np.float32(0)
    for c in range(len(user)):
        curvature += toward[c] * image[c]
    length = left / curvature
    for c in range(len(user)):
        user[c] += length * toward[c]
        rest[c] -= length * image[c]
        after += rest[c] * rest[c] / diagonal[c]
    ratio = after / left
    for c in range(len(user)):
        toward[c] = rest[c] / diagonal[c] + ratio * toward[c]
    return after


@compiled(fastmath=True, forceinline=True)
def _add(
    factors: Array, met: Array, weights: Array, unobserved: float, first: bool, vector: Array,
    out: Array,
) -> None:  # fmt: skip
    """Add Y'(w + a - W Y v) to `out` where `first`, else Y'W Y v.

    Four rows of Y at a time, so that `vector` and `out` are read once for all of them.
    """
    size, n = len(vector), len(met)
    four = n - n % 4
    for i in range(0, four, 4):
        p, q, r, s = met[i], met[i + 1], met[i + 2], met[i + 3]
        a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for x in range(size):
            value = vector[x]
            a += factors[p, x] * value
            b += factors[q, x] * value
            c += factors[r, x] * value
            d += factors[s, x] * value
        a, b = weights[i] * a, weights[i + 1] * b
        c, d = weights[i + 2] * c, weights[i + 3] * d
        if first:
            a, b = unobserved + weights[i] - a, unobserved + weights[i + 1] - b
            c, d = unobserved + weights[i + 2] - c, unobserved + weights[i + 3] - d
        for x in range(size):
            out[x] += a * factors[p, x] + b * factors[q, x] + c * factors[r, x] + d * factors[s, x]
    for i in range(four, n):
        p, a = met[i], np.float32(0)
        for x in range(size):
            a += factors[p, x] * vector[x]
        a = weights[i] * a
        if first:
            a = unobserved + weights[i] - a
        for x in range(size):
            out[x] += a * factors[p, x]
