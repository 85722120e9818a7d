"""Factors of items in an index, and the users that histories fold in to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp

from recsys.features import npz
from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.errors import TrainingError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, Sizes, floats
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.dots import dots
from recsys.retrieval.index import VectorIndex

DIVERGED = "the factors of {!r} are not finite; choose a lower learning_rate"

_RIDGE = 1e-3  # of the mean square of the profiles' numbers


@dataclass(frozen=True)
class FactorSpace:
    """Item vectors with their bias as one number more, and what each adds to a history's factors.

    The factors of a history are the mean of its distinct items' `contexts`, with a 1 for the bias.
    """

    vectors: Floats  # (items, d + 1) the last number is the bias; zeros where an item has no place
    contexts: Floats  # (items, d)
    index: VectorIndex

    @classmethod
    def of(cls, vectors: Floats, contexts: Floats, device: str) -> Self:
        index = VectorIndex(vectors.shape[1], device)
        rows = np.flatnonzero(vectors.any(axis=1)).astype(np.int32)
        index.add(rows, vectors[rows])
        return cls(vectors, contexts, index)

    @classmethod
    def learnt(
        cls, vectors: Floats, users: Floats, happened: sp.csr_matrix, device: str, name: str
    ) -> Self:
        """From fitted factors: those of items (items, d + 1), and of users (users, d).

        The contexts are the item vectors, mapped so that the mean over what a user had is as near
        as it can be to the user's own factors: ridge regression over all users. Raises
        TrainingError where a number is not finite.
        """
        if not (np.isfinite(vectors).all() and np.isfinite(users).all()):
            raise TrainingError(DIVERGED.format(name))
        exact = vectors.astype(np.float64)
        known = np.flatnonzero(np.diff(happened.indptr))
        profiles = (_means(happened) @ exact)[known]
        square = profiles.T @ profiles
        square += _RIDGE * max(np.trace(square) / len(square), 1e-12) * np.eye(len(square))
        mapped = exact @ np.linalg.solve(square, profiles.T @ users[known].astype(np.float64))
        return cls.of(np.ascontiguousarray(vectors, np.float32), mapped.astype(np.float32), device)

    def users_of(self, histories: Histories) -> Floats:
        """(b, d + 1) factors of histories, the last number 1; zeros where no item has a place."""
        matrix = happened_in(histories, len(self.vectors))
        placed = self.vectors.any(axis=1)
        matrix = (matrix @ sp.diags_array(placed.astype(np.float32))).tocsr()
        matrix.eliminate_zeros()
        users = np.zeros((len(histories), self.vectors.shape[1]), np.float32)
        users[:, :-1] = _means(matrix) @ self.contexts
        users[:, -1] = np.diff(matrix.indptr) > 0
        return users

    def retrieve(self, histories: Histories, k: int, allowed: Allowed, name: str) -> Candidates:
        """The `k` items with the largest product with each history's factors."""
        users = histories.once(self, self.users_of)
        items, scores = self.index.search(users, k, allowed)
        silent = ~users.any(axis=1)
        items[silent], scores[silent] = PAD, -np.inf
        return Candidates.of_one(histories.users, items, scores, name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        """The products (b, w) with given items; 0 for PAD."""
        each = np.arange(len(histories), dtype=np.int32)[:, None]
        users = histories.once(self, self.users_of)
        return dots(users, each, self.vectors, items)[:, :, 0]

    def save(self, path: Path) -> None:
        npz.write(path, vectors=self.vectors, contexts=self.contexts)

    @classmethod
    def load(cls, path: Path, device: str, sizes: Sizes = NO_SIZES) -> Self:
        """Read what `save` wrote; raises ArtifactError where it is damaged or of other items."""
        contexts, vectors = npz.read(path, _SCHEMAS, sizes)
        return cls.of(vectors, contexts, device)


_SCHEMAS = {"contexts": floats("items", "factors"), "vectors": floats("items", "factors+1")}


def happened(log: Interactions) -> sp.csr_matrix:
    """(users, items) 1 for each pair that the log holds."""
    everyone = np.arange(len(log.users), dtype=np.int32)
    return happened_in(Histories.of(log, everyone), len(log.items))


def happened_in(histories: Histories, items: int) -> sp.csr_matrix:
    """(b, items) 1 for each item that a history holds."""
    matrix = histories.matrix(items)
    matrix.data = np.ones(len(matrix.data), np.float32)
    return matrix


def _means(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same with rows that sum to 1."""
    lengths = np.diff(matrix.indptr)
    weights = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    return sp.csr_matrix((weights, matrix.indices, matrix.indptr), matrix.shape)
