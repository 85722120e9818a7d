"""Nearest neighbours among items: those that the same users, or the same baskets, hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import numpy as np
import scipy.sparse as sp

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.interactions import Interactions
from recsys.features.kernels import compiled
from recsys.features.settings import check_at_most
from recsys.features.threads import over_rows
from recsys.retrieval.item_to_item import SumsOfLinks
from recsys.retrieval.links import Links
from recsys.retrieval.sessions import check_gap, sessions_of
from recsys.retrieval.topk import offer

_BLOCK = 1024  # items whose products with all others are held at once
_K1, _B = 1.2, 0.75  # of BM25, as Robertson & Zaragoza 2009 have them

Similarity = Literal["cosine", "bm25"]


@dataclass
class ItemKnn(SumsOfLinks):
    """The sum of the similarities of an item to those of a history, which all count the same.

    "cosine" is n_ij / (sqrt(n_i n_j) + `shrinkage`) of the users who had i, j and both: the rare
    are less alike (Deshpande & Karypis 2004). "bm25" weighs an item's users as a document's terms,
    by how much they had besides and how many the item has (Robertson & Zaragoza 2009), and takes
    products. The `neighbours` most alike are kept of each item of the history, or with
    `of="offered"` of each item that might be offered (Sarwar et al. 2001).
    With `session_gap`, in minutes, sessions take the place of users.
    """

    reason: ClassVar[str] = "chosen by those who chose {item}"

    name: str = "knn"
    similarity: Similarity = "cosine"
    shrinkage: float = 0.0
    neighbours: int = 200
    of: Literal["history", "offered"] = "history"
    session_gap: float | None = None
    _links: Links | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(self, shrinkage=1e9, neighbours=100_000)
        if self.similarity not in ("cosine", "bm25"):
            raise SettingsError(f"similarity must be cosine or bm25; got {self.similarity!r}")
        if self.of not in ("history", "offered"):
            raise SettingsError(f"of must be history or offered; got {self.of!r}")
        if not self.shrinkage >= 0 or (self.shrinkage and self.similarity != "cosine"):
            raise SettingsError(
                f"shrinkage must be at least 0, and 0 but for cosine; got {self.shrinkage} for "
                f"{self.similarity}"
            )
        if self.neighbours < 1:
            raise SettingsError(f"neighbours must be at least 1; got {self.neighbours}")
        check_gap(self.session_gap)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        taken = _taken(interactions, self.session_gap)
        norms = np.sqrt(interactions_per_item(taken))
        if self.similarity == "bm25":
            taken = _bm25(taken)
            norms, shrinkage = np.zeros_like(norms), np.float32(1)  # products as they are
        else:
            shrinkage = np.float32(self.shrinkage)
        blocks = _blocks(taken, norms, shrinkage, self.neighbours)
        near = sp.csr_matrix(sp.vstack(list(blocks)))
        self._links = Links.of(near if self.of == "history" else near.T.tocsr())
        return self


@dataclass
class Basket(ItemKnn):
    """`ItemKnn` over baskets: what one user had in one session, by default at one moment."""

    reason: ClassVar[str] = "often bought together with {item}"

    name: str = "basket"
    session_gap: float | None = 0.0


def interactions_per_item(taken: sp.csr_matrix) -> Floats:
    """(items,) the number of rows of ones that hold each item."""
    return np.bincount(taken.indices, minlength=taken.shape[1]).astype(np.float32)


def _taken(log: Interactions, session_gap: float | None) -> sp.csr_matrix:
    """(sessions, items) float32: 1 where a session holds an item."""
    sessions = sessions_of(log, session_gap)
    shape = (int(sessions.max(initial=-1)) + 1, len(log.items))
    taken = sp.csr_matrix((np.ones(len(log), np.float32), (sessions, log.item_rows)), shape)
    taken.data[:] = 1
    return taken


def _bm25(taken: sp.csr_matrix) -> sp.csr_matrix:
    """Ones weighed as a document's terms, the documents being the items, the terms the users."""
    lengths = interactions_per_item(taken)
    per_user = np.diff(taken.indptr)
    idf = np.log((taken.shape[1] + 1) / (per_user + 1))
    norm = 1 - _B + _B * lengths / (lengths.sum() / max(np.count_nonzero(lengths), 1))
    weights = np.repeat(idf, per_user) * (_K1 + 1) / (1 + _K1 * norm[taken.indices])
    return sp.csr_matrix((weights.astype(np.float32), taken.indices, taken.indptr), taken.shape)


def _blocks(
    taken: sp.csr_matrix, norms: Floats, shrinkage: np.float32, k: int
) -> Iterator[sp.csr_matrix]:
    """The `k` most alike of each item, blocks of items one after the other."""
    n_items = taken.shape[1]
    by_item = taken.T.tocsr()
    for start in range(0, n_items, _BLOCK):
        both = sp.csr_matrix(by_item[start : start + _BLOCK] @ taken)
        n = both.shape[0]
        near, alike = np.full((n, k), PAD, np.int32), np.zeros((n, k), np.float32)
        over_rows(
            _nearest, n, start, both.indptr, both.indices, both.data, norms, shrinkage, near, alike
        )
        filled = near != PAD
        offsets = ragged.offsets_of(filled.sum(axis=1))
        yield sp.csr_matrix((alike[filled], near[filled], offsets), (n, n_items))


@compiled
def _nearest(
    start: int, stop: int, first: int, offsets: Array, items: Array, products: Array,
    norms: Array, shrinkage: float, near: Array, alike: Array,
) -> None:  # fmt: skip
    for row in range(start, stop):
        own, filled = first + row, 0
        for place in range(offsets[row], offsets[row + 1]):
            other = items[place]
            if other != own and products[place] > 0:
                scaled = products[place] / (norms[own] * norms[other] + shrinkage)
                filled = offer(near[row], alike[row], filled, other, scaled)
