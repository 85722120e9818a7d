"""Probabilities that an engine gave of what it offered, and what came true of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recsys.calibrating import outcomes_of
from recsys.evaluation.calibration import Reliability, reliability
from recsys.evaluation.protocols import Window
from recsys.features.arrays import Array, Floats, Mask
from recsys.features.interactions import Interactions
from recsys.learning import Moment, chosen_by
from recsys.ranking.neural import NeuralRanker
from recsys.settings import EvaluationSettings
from recsys.trial import Trial, event_grades

if TYPE_CHECKING:
    from recsys.engine import Engine

USERS = 1_500
"""Of a window, whose lists are asked for once more, with their probabilities."""


@dataclass(frozen=True)
class Foretold:
    """Of every item that was offered, how probable each event was, and whether it came."""

    events: tuple[str, ...]  # (h,)
    probabilities: Floats  # (n, h)
    outcomes: Mask  # (n, h)

    @classmethod
    def joined(cls, parts: Sequence["Foretold | None"]) -> "Foretold | None":
        """Those of several windows, where all foretell the same events."""
        known = [part for part in parts if part is not None]
        if not known or len({part.events for part in known}) > 1:
            return None
        return cls(
            known[0].events,
            np.concatenate([part.probabilities for part in known]),
            np.concatenate([part.outcomes for part in known]),
        )

    def by_event(self) -> Mapping[str, Reliability]:
        """How far the probabilities of each event can be relied on."""
        pairs = zip(self.events, self.probabilities.T, self.outcomes.T, strict=True)
        return {name: reliability(odds, came) for name, odds, came in pairs}


def foretell(
    engine: "Engine", log: Interactions, window: Window, settings: EvaluationSettings
) -> Foretold | None:
    """The probabilities of the first `k` items of lists, and what users did in `log` afterwards.

    They are of users who choose something that may be offered, in the time that the engine
    foretells or with their next choice. None where that cannot be held against the window: without
    a ranker, with targets, where a source fails or nobody chose anything that may be offered, where
    the log ends too early, or where it is not cut by time or by the last item as the lists were
    that the ranker learnt from.
    """
    learnt, ranker = engine.learnt, engine.learnt.fitted.ranker
    if ranker is None or not ranker.events_ or settings.targets:
        return None
    moment = _followed(ranker, log, window.moment, settings.protocol)
    if moment is None:
        return None
    grades = event_grades(window.events, engine.settings.events)
    sample = moment.sample(USERS, np.random.default_rng(settings.seed))
    probabilities: list[Array] = [np.zeros((0, len(ranker.events_)), np.float32)]
    outcomes: list[Array] = [probabilities[0] > 0]
    for block, candidates, failed in Trial(sample, learnt.fitted, learnt.policy).asked():
        if failed:
            return None
        pairs = learnt.fitted.pairs(block.histories, candidates)
        ranked = learnt.fitted.ordered(block.histories, candidates, (), settings.k, pairs=pairs)
        own = learnt.fitted.probabilities(pairs, ranked)
        known = np.isfinite(own).all(axis=2)
        came = outcomes_of(ranker, grades, block.chosen, ranked.candidates.items)
        probabilities.append(own[known])
        outcomes.append(came[known])
    if not any(map(len, probabilities)):
        return None
    return Foretold(ranker.events_, np.concatenate(probabilities), np.concatenate(outcomes))


def _followed(
    ranker: NeuralRanker, log: Interactions, moment: Moment, protocol: str
) -> Moment | None:
    """The same users with what they chose in the time that the ranker foretells."""
    if ranker.stretch_ is None:
        return moment if protocol == "last-item" else None
    if protocol not in ("time", "walk-forward") or not len(moment.histories):
        return None
    start = int(moment.histories.now[0])
    if start + ranker.stretch_ > log.end + 1:
        return None
    soon = (log.times >= start) & (log.times < start + ranker.stretch_)
    return replace(moment, chosen=chosen_by(log.where(soon), moment.histories.users))
