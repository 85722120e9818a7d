"""The two-stage engine with its default settings, as a peer among peers."""

from pathlib import Path
from typing import Any, Self

import numpy as np

from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate_fitted
from recsys.evaluation.protocols import Window
from recsys.features.arrays import PAD, Array, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.threads import side_by_side
from recsys.fitted import block_size
from recsys.retrieval.allowed import Allowed
from recsys.settings import EngineSettings


class TwoStage:
    """Fits both stages and answers as `Engine.recommend` does, without ids and reasons."""

    name = "recsys"

    def __init__(self, settings: EngineSettings) -> None:
        self._settings, self._engine = settings, Engine(settings)

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        self._engine.fit(past, catalog)
        return self

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        fitted, least = self._engine.learnt.fitted, self._settings.evaluation.k

        def block(queries: Array) -> Rows:
            ranked = fitted.rank(histories.take(queries), allowed.take(queries), k, least)
            items = ranked.candidates.items
            return np.pad(items, [(0, 0), (0, k - items.shape[1])], constant_values=PAD)

        size, everyone = block_size(len(allowed.mask)), np.arange(len(histories))
        blocks = [everyone[start : start + size] for start in everyone[::size]]
        return np.concatenate(list(side_by_side(block, blocks)))

    def evaluation(
        self, window: Window, log: Interactions, data: str, fit_seconds: float
    ) -> dict[str, Any]:
        """All that an evaluation says of what was fitted on the past of this window, for JSON."""
        found = evaluate_fitted(self._engine, window, log, self._settings.evaluation, fit_seconds)
        return found.as_dict(data)

    def save(self, folder: Path) -> None:
        """Write the engine as one folder."""
        self._engine.save(folder)
