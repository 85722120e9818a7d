"""What most people choose now: the fallback when nothing is known of a user."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from recsys.features import npz
from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.topk import first_k

_DAY = 86_400_000_000  # microseconds


@dataclass
class Popular:
    """Counts weighted events; with a clock, an event's worth halves in `half_life` days."""

    reason: ClassVar[str] = "popular now"

    name: str = "popular"
    half_life: float = 30.0
    _scores: Floats = field(init=False, repr=False)  # (items,)
    _order: Rows = field(init=False, repr=False)  # (items,) best first

    def __post_init__(self) -> None:
        if not self.half_life > 0:
            raise SettingsError(f"half_life must be above 0 days; got {self.half_life}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        worth = interactions.weights.astype(np.float64)
        if interactions.clock == "time" and len(interactions):
            age = (interactions.times.max() - interactions.times) / _DAY
            worth = worth * 0.5 ** (age / self.half_life)
        counts = np.bincount(interactions.item_rows, worth, minlength=len(interactions.items))
        self._keep(counts.astype(np.float32))
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        items, scores = first_k(self._order, self._scores, k, allowed)
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        return np.where(items == PAD, np.float32(0), self._scores[items])

    def save(self, folder: Path) -> None:
        npz.write(folder / "popular.npz", scores=self._scores)

    def load(self, folder: Path) -> Self:
        self._keep(*npz.read(folder / "popular.npz", "scores"))
        return self

    def _keep(self, scores: Floats) -> None:
        self._scores = scores
        self._order = np.argsort(-scores, kind="stable").astype(np.int32)
