"""Items with the tags and categories of what the history holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.kernels import compiled
from recsys.features.labels import labels_of
from recsys.features.settings import check_at_most
from recsys.features.threads import over_rows
from recsys.retrieval import contributions
from recsys.retrieval.item_to_item import SumsOfLinks
from recsys.retrieval.links import Links, Steps
from recsys.retrieval.topk import offer

_BLOCK = 256  # items whose products with all others are held at once


@dataclass
class Tagged(SumsOfLinks):
    """The sum of how alike an item's labels are to those of the newest items.

    Labels are the catalogue's tags and categories, each worth the logarithm of how rare it is; two
    items are as alike as the cosine of their labels, times the offered item's users to the power
    of `popularity`: of equals, people take the known one. An item that nobody had counts as one of
    a single user. Labels of more than `common` items link nothing: they tell little, and their
    number of links is the square of it.
    """

    reason: ClassVar[str] = "of the same kind as {item}"

    name: str = "tagged"
    last: int = 5  # how many of the newest events count
    decay: float = 0.7  # the weight of each event against the next newer one
    popularity: float = 0.25
    common: int = 2_000  # items
    neighbours: int = 200  # links kept of each item
    _links: Links | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(self, last=10_000, common=1_000_000, neighbours=100_000, popularity=100)
        for name in ("last", "common", "neighbours"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 < self.decay <= 1:
            raise SettingsError(f"decay must be above 0 and at most 1; got {self.decay}")
        if not self.popularity >= 0:
            raise SettingsError(f"popularity must be at least 0; got {self.popularity}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Link items by labels; raises DataError where there are none that tell them apart."""
        labels = _units(labels_of(catalog), self.common)
        if not labels.nnz:
            raise DataError(
                f"the source {self.name!r} needs tags or categories that at most "
                f"{self.common:,} items and not all of them have"
            )
        worth = np.maximum(interactions.item_users, 1).astype(np.float32) ** self.popularity
        blocks = _blocks(labels, worth, self.neighbours)
        self._links = Links.of(sp.csr_matrix(sp.vstack(list(blocks))))
        return self

    def _steps(self, histories: Histories) -> Steps:
        return Steps.newest(histories, self._by_age)

    def _worths(self, histories: Histories) -> Floats:
        return contributions.by_age(histories, self._by_age)

    @property
    def _by_age(self) -> Floats:
        """(last,) what the newest items weigh, the newest first."""
        return np.float32(self.decay) ** np.arange(self.last, dtype=np.float32)


def _units(labels: sp.csr_matrix, common: int) -> sp.csr_matrix:
    """Each item's labels weighed by rarity, at length 1; without those of too many items."""
    items = np.bincount(labels.indices, minlength=labels.shape[1])
    worth = np.log(labels.shape[0] / np.maximum(items, 1)) * (items <= common)
    weighed = labels @ sp.diags_array(worth.astype(np.float32))
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    units = sp.csr_matrix(sp.diags_array(1 / np.where(lengths == 0, 1, lengths)) @ weighed)
    units.eliminate_zeros()
    return units.astype(np.float32)


def _blocks(units: sp.csr_matrix, worth: Floats, k: int) -> Iterator[sp.csr_matrix]:
    """The `k` strongest links of each item, blocks of items one after the other."""
    turned = units.T.tocsr()
    for start in range(0, units.shape[0], _BLOCK):
        both = sp.csr_matrix(units[start : start + _BLOCK] @ turned)
        n = both.shape[0]
        near, strengths = np.full((n, k), PAD, np.int32), np.zeros((n, k), np.float32)
        over_rows(
            _strongest, n, start, both.indptr, both.indices, both.data, worth, near, strengths
        )
        filled = near != PAD
        offsets = ragged.offsets_of(filled.sum(axis=1))
        yield sp.csr_matrix((strengths[filled], near[filled], offsets), (n, units.shape[0]))


@compiled
def _strongest(
    start: int, stop: int, first: int, offsets: Array, items: Array, cosines: Array,
    worth: Array, near: Array, strengths: Array,
) -> None:  # fmt: skip
    for row in range(start, stop):
        filled = 0
        for place in range(offsets[row], offsets[row + 1]):
            other = items[place]
            if other != first + row and cosines[place] > 0:
                strength = cosines[place] * worth[other]
                filled = offer(near[row], strengths[row], filled, other, strength)
