"""What the catalogue says of each item, as one dense row of numbers."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from recsys.features.arrays import Floats
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError
from recsys.features.labels import labels_of


def content_of(catalog: Catalog, vectors: str, dimensions: int, seed: int) -> Floats:
    """(items, c): the principal axes of the text vectors, beside those of categories and tags.

    At most `dimensions` of each; a zero row where nothing is known, and no column where the
    catalogue has neither. Each part has rows of length about 1. Raises DataError where a vector is
    not finite.
    """
    parts = [np.zeros((len(catalog), 0), np.float32)]
    if vectors in catalog.vectors:
        parts.append(_text(catalog.vectors[vectors], dimensions))
    attributes = _attributes(catalog)
    if min(attributes.shape) > 1:
        parts.append(_axes(attributes, dimensions, seed))
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)


def _text(vectors: Floats, dimensions: int) -> Floats:
    """Centred and turned to the principal axes, the largest `dimensions` kept."""
    if not np.isfinite(vectors).all():
        raise DataError("the catalogue's vectors must be finite")
    known = vectors.any(axis=1)
    if not known.any():
        return np.zeros((len(vectors), 0), np.float32)
    units = np.zeros(vectors.shape, np.float32)
    units[known] = vectors[known] / np.linalg.norm(vectors[known], axis=1, keepdims=True)
    units[known] -= units[known].mean(axis=0)
    _, axes = np.linalg.eigh(units.T @ units)  # ascending
    return _scaled(units @ axes[:, -dimensions:])


def _attributes(catalog: Catalog) -> sp.csr_matrix:
    """(items, values) what categories and tags each item has, rare ones weighing more."""
    every = labels_of(catalog)
    holders = np.bincount(every.indices, minlength=every.shape[1])
    every.data = np.log(1 + len(catalog) / holders[every.indices]).astype(np.float32)
    return every


def _axes(matrix: sp.csr_matrix, dimensions: int, seed: int) -> Floats:
    """The rows of unit length on the matrix's largest singular axes."""
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1 if matrix.nnz else 1.0
    units = sp.diags(1 / np.where(lengths == 0, 1, lengths)) @ matrix
    rank = min(dimensions, min(units.shape) - 1)
    start = np.random.default_rng(seed).random(min(units.shape)).astype(np.float32)
    left, sizes, right = svds(units.astype(np.float32), k=rank, v0=start)
    signs = np.sign(right[np.arange(rank), np.abs(right).argmax(axis=1)])
    return _scaled(left * (sizes * signs))


def _scaled(rows: Floats) -> Floats:
    """So that known rows have length 1 on average."""
    lengths = np.linalg.norm(rows, axis=1)
    known = lengths > 0
    return (rows / lengths[known].mean() if known.any() else rows).astype(np.float32)
