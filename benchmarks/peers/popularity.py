"""What most people had, the same for everybody."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from recsys.features.arrays import Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import first_k


@dataclass
class Popularity:
    """Items by the number of their events; of equals the first row goes first."""

    name: str = "popularity"
    _counts: Floats = field(init=False, repr=False)  # (items,)
    _order: Rows = field(init=False, repr=False)  # items that somebody had, most events first

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        self._counts = past.item_counts.astype(np.float32)
        order = np.argsort(-self._counts, kind="stable").astype(np.int32)
        self._order = order[self._counts[order] > 0]
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        return first_k(self._order, self._counts, k, allowed)[0]
