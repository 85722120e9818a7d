"""What every source has in common whose answers are sums of links from a history's items."""

from pathlib import Path
from typing import Self

import numpy as np

from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.errors import TrainingError
from recsys.features.histories import Histories
from recsys.features.schema import NO_SIZES, Sizes
from recsys.retrieval import contributions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.links import Links, Steps


class SumsOfLinks:
    """Answers from `_links`: by default each item of a history counts once, whenever it was."""

    name: str
    _links: Links | None

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        links = self._fitted()
        items, scores = links.best(histories.once(links, self._steps), k, allowed)
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        links = self._fitted()
        return links.score(histories.once(links, self._steps), items)

    def contributions(self, histories: Histories, items: Rows) -> Floats:
        return contributions.of_links(self._fitted(), histories, self._worths(histories), items)

    def links(self, sources: Rows, targets: Rows) -> Floats:
        return self._fitted().between(sources, targets)

    def similar(self, items: Rows, k: int, allowed: Allowed) -> Candidates:
        found, scores = self._fitted().best(Steps.single(items), k, allowed)
        return Candidates.of_one(np.full(len(items), PAD, np.int32), found, scores, self.name)

    def save(self, folder: Path) -> None:
        self._fitted().save(folder)

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        self._links = Links.load(folder, sizes)
        return self

    def _steps(self, histories: Histories) -> Steps:
        """What sums set out from."""
        return Steps.distinct(histories, len(self._fitted().offsets) - 1)

    def _worths(self, histories: Histories) -> Floats:
        """(n,) how much each event counts in those sums."""
        return contributions.once_each(histories)

    def _fitted(self) -> Links:
        if self._links is None:
            raise TrainingError(f"{self.name} is not fitted; call fit() or load() first")
        return self._links
