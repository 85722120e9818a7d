"""What most people choose now: the fallback when nothing is known of a user."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.topk import first_k

DAY = 86_400_000_000  # microseconds


@dataclass
class Popular:
    """Counts weighted events; where the log has a clock an event's worth halves in `half_life` days."""

    reason: ClassVar[str] = "popular now"

    name: str = "popular"
    half_life: float = 30.0
    scores_: Floats | None = field(default=None, init=False, repr=False)  # (items,)
    order_: Rows | None = field(default=None, init=False, repr=False)  # (items,) best first

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        worth = interactions.weights.astype(np.float64)
        if interactions.clock == "time" and len(interactions):
            age = (interactions.times.max() - interactions.times) / DAY
            worth = worth * 0.5 ** (age / self.half_life)
        counts = np.bincount(interactions.item_rows, worth, minlength=len(interactions.items))
        self._keep(counts.astype(np.float32))
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        if self.order_ is None or self.scores_ is None:
            raise RuntimeError(f"{self.name} is not fitted; call fit() or load() first")
        items, scores = first_k(self.order_, self.scores_, k, allowed)
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        if self.scores_ is None:
            raise RuntimeError(f"{self.name} is not fitted; call fit() or load() first")
        return np.where(items == PAD, np.float32(0), self.scores_[items])

    def save(self, folder: Path) -> None:
        np.savez(folder / "popular.npz", scores=self.scores_)

    def load(self, folder: Path) -> Self:
        with np.load(folder / "popular.npz", allow_pickle=False) as arrays:
            self._keep(arrays["scores"])
        return self

    def _keep(self, scores: Floats) -> None:
        self.scores_ = scores
        self.order_ = np.argsort(-scores, kind="stable").astype(np.int32)
