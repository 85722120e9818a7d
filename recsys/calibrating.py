"""A trained ranker's log-odds made probabilities, by users whom it has not learnt from."""

import numpy as np

from recsys.features.arrays import Array, Mask, Rows
from recsys.ranking.calibration import LEAST
from recsys.ranking.grades import Grades, reached
from recsys.ranking.lists import Chosen
from recsys.ranking.neural import NeuralRanker
from recsys.settings import EngineSettings
from recsys.trial import Trial, event_grades


def calibrate(ranker: NeuralRanker, trial: Trial, settings: EngineSettings) -> list[str]:
    """Calibrate each event that the ranker foretells on whole lists, and say on how many.

    They are the candidates as they would be served, drawn from neither by what was chosen nor by
    what was not; lists without a chosen candidate are among them.
    """
    if not ranker.events_:
        return ["no probabilities: too few candidates were chosen, or not, by any event"]
    grades = event_grades(trial.moment.past.events, settings.events)
    log_odds: list[Array] = [np.zeros((0, len(ranker.events_)), np.float32)]
    outcomes: list[Array] = [log_odds[0] > 0]
    lists = 0
    for block, candidates in trial.blocks():
        features, names = trial.fitted.features(block.histories, candidates)
        filled = candidates.filled
        log_odds.append(ranker.log_odds(features, names)[filled])
        outcomes.append(outcomes_of(ranker, grades, block.chosen, candidates.items)[filled])
        lists += len(candidates)
    came = np.concatenate(outcomes)
    ranker.calibrate(np.concatenate(log_odds), came, lists, trial.moment.stretch)
    return [_note(ranker, came, lists)]


def outcomes_of(ranker: NeuralRanker, grades: Grades, chosen: Chosen, items: Rows) -> Mask:
    """(b, k, h) whether each item of lists (b, k) was chosen by each event that is foretold."""
    heads = [grades.names.index(name) for name in ranker.events_]
    return reached(grades.graded(chosen.codes(items)), len(grades.names))[..., heads]


def _note(ranker: NeuralRanker, came: Mask, lists: int) -> str:
    counts = zip(ranker.events_, came.sum(axis=0).tolist(), strict=True)
    told = [
        f"{name} ({count:,})" if count >= LEAST else f"{name} (only {count}: not calibrated)"
        for name, count in counts
    ]
    return (
        f"probabilities are calibrated on {len(came):,} candidates of {lists:,} held-out lists, by "
        f"those chosen: {', '.join(told)}"
    )
