"""The categories and tags of a catalogue as one sparse matrix."""

import numpy as np
import scipy.sparse as sp

from recsys.features.arrays import PAD, Array
from recsys.features.catalog import Catalog
from recsys.features.ragged import offsets_of


def labels_of(catalog: Catalog) -> sp.csr_matrix:
    """(items, labels) float32: 1 where an item is of a category or has a tag."""
    parts = []
    for codes in catalog.categories().values():
        known = codes[codes != PAD]
        parts.append(_ones(offsets_of(codes != PAD), known, int(codes.max(initial=PAD)) + 1))
    for offsets, codes, names in catalog.tags().values():
        parts.append(_ones(offsets, codes, len(names)))
    if not parts:
        return sp.csr_matrix((len(catalog), 0), dtype=np.float32)
    return sp.csr_matrix(sp.hstack(parts), dtype=np.float32)


def _ones(offsets: Array, codes: Array, n: int) -> sp.csr_matrix:
    shape = (len(offsets) - 1, n)
    ones = sp.csr_matrix((np.ones(len(codes), np.float32), codes, offsets), shape, copy=True)
    ones.sum_duplicates()
    ones.data[:] = 1
    return ones
