"""What is chosen more now than in the long run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from recsys.features import npz
from recsys.features.arrays import Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, Sizes, floats
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
from recsys.retrieval.popular import decayed_counts


@dataclass
class Trending:
    """Compares an item's recent events with those that its long run lets expect.

    Both are weighted counts, halved every `recent` and every `long_run` days. With r the recent
    count and e the long-run count scaled to as many events in all, the score is
    (r - e) / sqrt(e + smoothing): how far a Poisson count stands above its mean, an item without a
    past being expected to have `smoothing` events of spread. Only what rises is offered.
    """

    reason: ClassVar[str] = "chosen more and more"

    name: str = "trending"
    recent: float = 7.0
    long_run: float = 90.0
    smoothing: float = 5.0
    by: By = "everybody"
    category: str | None = None  # which category column; by default the first
    prior: float = 5.0
    _board: Board = field(init=False, repr=False)
    _rises: Floats = field(init=False, repr=False)  # (items,) 0 for what does not rise

    def __post_init__(self) -> None:
        check_at_most(self, recent=1e6, long_run=1e6, smoothing=1e9, prior=1e9)
        check_segments(self.by, self.prior)
        for name in ("recent", "smoothing"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0; got {getattr(self, name)}")
        if not self.long_run > self.recent:
            raise SettingsError(
                f"long_run must be more days than recent; got {self.long_run} and {self.recent}"
            )

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Compare; raises DataError where the log has no clock, or no segments of the kind `by`."""
        if interactions.clock != "time":
            raise DataError(f"the source {self.name!r} needs a log with a clock; this has none")
        now = decayed_counts(interactions, self.recent)
        past = decayed_counts(interactions, self.long_run)
        expected = past * (now.sum() / max(past.sum(), 1e-12))
        rises = np.maximum((now - expected) / np.sqrt(expected + self.smoothing), 0)
        self._rises = rises.astype(np.float32)
        self._board = make_board(
            self.by, self.category, self.prior, self._rises, interactions, catalog
        )
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The `k` items that rise most; PAD where fewer rise."""
        rising = Allowed(allowed.mask & (self._rises > 0), allowed.offsets, allowed.excluded)
        items, scores = self._board.best(histories, k, rising)
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        return self._board.score(histories, items)

    def save(self, folder: Path) -> None:
        npz.write(folder / "rises.npz", rises=self._rises)
        write_board(self._board, folder / "trending.npz")

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        schemas = {"rises": floats("items", least=0)}
        (self._rises,) = npz.read(folder / "rises.npz", schemas, sizes)
        own = {**sizes, "items": len(self._rises)}
        self._board = read_board(self.by, folder / "trending.npz", own)
        return self
