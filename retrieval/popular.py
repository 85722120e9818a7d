"""What most people choose now: the fallback when nothing is known of a user."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from recsys.features.arrays import DAY, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, Sizes
from recsys.features.settings import check_at_most
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.boards import (
    Board,
    By,
    check_segments,
    make_board,
    read_board,
    write_board,
)
from recsys.retrieval.candidates import Candidates


@dataclass
class Popular:
    """Counts users, each by the weight of their newest event of a kind with the item; with a clock
    it halves in `half_life` days. Who has it again and again counts no more than others.

    `by` lays the counts out by segment: the categories that the history holds, or the day of the
    week or the month that it is. `prior` is how many events a segment needs to count as much as
    everybody does. Histories have no attributes of users, so there are no segments by those.
    """

    reason: ClassVar[str] = "popular now"

    name: str = "popular"
    half_life: float = 30.0
    by: By = "everybody"
    category: str | None = None  # which category column; by default the first
    prior: float = 5.0
    _board: Board = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(self, half_life=1e6, prior=1e9)
        if not self.half_life > 0:
            raise SettingsError(f"half_life must be above 0 days; got {self.half_life}")
        check_segments(self.by, self.prior)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Count; raises DataError where the data know no segments of the kind `by`."""
        counts = decayed_counts(interactions, self.half_life).astype(np.float32)
        self._board = make_board(self.by, self.category, self.prior, counts, interactions, catalog)
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        items, scores = self._board.best(histories, k, allowed)
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        return self._board.score(histories, items)

    def save(self, folder: Path) -> None:
        write_board(self._board, folder / "popular.npz")

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        self._board = read_board(self.by, folder / "popular.npz", sizes)
        return self


def decayed_counts(log: Interactions, half_life: float) -> Array:
    """(items,) float64: the weights of each user's newest events of every kind with each item,
    halved every `half_life` days."""
    newest = log.repeats.newest
    worth = log.weights[newest].astype(np.float64)
    if log.clock == "time" and len(log):
        age = (log.times.max() - log.times[newest]) / DAY
        worth = worth * 0.5 ** (age / half_life)
    return np.bincount(log.item_rows[newest], worth, minlength=len(log.items))
