"""One source of the engine alone, as a peer among peers."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from recsys.features.arrays import Array, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.threads import side_by_side
from recsys.fitted import block_size
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.als import Als
from recsys.retrieval.retriever import Retriever


@dataclass
class OneSource:
    """Fits a source and answers with what it retrieves."""

    source: Retriever

    @property
    def name(self) -> str:
        return f"recsys-{self.source.name}"

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        self.source.fit(past, catalog)
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        def block(queries: Array) -> Rows:
            return self.source.retrieve(histories.take(queries), k, allowed.take(queries)).items

        size, everyone = block_size(len(allowed.mask)), np.arange(len(histories))
        blocks = [everyone[start : start + size] for start in range(0, max(len(everyone), 1), size)]
        return np.concatenate(list(side_by_side(block, blocks)))


def als(**settings: Any) -> OneSource:
    """The source `als` with these settings."""
    return OneSource(Als(**settings))
