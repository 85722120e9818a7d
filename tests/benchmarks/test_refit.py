"""One ranker on refitted sources and on those it learnt from: the gap is that of the same users."""

from typing import cast

import numpy as np
import pytest

from benchmarks.refit import ADDED, KEPT, REFITTED, SYSTEMS, Run, gaps, run
from benchmarks.tables import refit
from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.protocols import Window, windows
from recsys.features.catalog import Catalog
from recsys.features.errors import TrainingError
from recsys.features.interactions import Interactions
from recsys.fitted import FUSED, TWO_STAGE
from recsys.settings import EngineSettings
from tests.shops import quick_settings, small_shop

SETTINGS = quick_settings(evaluation={"protocol": "time", "share": 0.2})

Read = tuple[Interactions, Catalog, Window]


@pytest.fixture(scope="module")
def read() -> Read:
    log, catalog = Engine(SETTINGS).read(small_shop().events, small_shop().items)
    (window,) = windows(log, SETTINGS.evaluation)
    return log, catalog, window


@pytest.fixture(scope="module")
def measured(read: Read) -> Run:
    return run(SETTINGS, read[2], read[1], seed=0)


def test_the_refitted_half_is_what_an_evaluation_says(read: Read, measured: Run) -> None:
    log, catalog, _ = read
    systems = evaluate(Engine(SETTINGS), log, catalog, SETTINGS.evaluation).systems
    for name in (TWO_STAGE, FUSED):
        own = measured.values[REFITTED][name].mean()
        assert own == pytest.approx(systems[name]["ndcg@10"])


def test_the_gap_is_the_mean_difference_of_the_same_users(measured: Run) -> None:
    comparisons, told = gaps([measured], SETTINGS)
    assert [each.system for each in comparisons] == [REFITTED] * len(SYSTEMS)
    for system in SYSTEMS:
        refitted, kept = (measured.values[name][system] for name in (REFITTED, KEPT))
        gap = told["systems"][system]["gap"]
        assert gap["difference"] == pytest.approx(float((refitted - kept).mean()))
        assert gap["interval"][0] <= gap["difference"] <= gap["interval"][1]
    two_stage, fused, added = (
        told["systems"][name]["gap"]["difference"] for name in (TWO_STAGE, FUSED, ADDED)
    )
    assert added == pytest.approx(two_stage - fused)
    about = {"data": "tiny", "protocol": {"name": "time", "k": 10}, "seeds": [0], **told}
    assert len(refit([about]).splitlines()) == 2 + len(SYSTEMS)


def test_seeds_are_means_of_each_user(measured: Run) -> None:
    better = {name: np.minimum(own + 0.1, 1) for name, own in measured.values[REFITTED].items()}
    other = Run(measured.users, {**measured.values, REFITTED: better}, ())
    _, told = gaps([measured, other], SETTINGS)
    one, two = (each[TWO_STAGE] for each in told["gaps_by_seed"])
    assert told["systems"][TWO_STAGE]["gap"]["difference"] == pytest.approx((one + two) / 2)
    assert two > one


def test_without_a_ranker_there_is_nothing_to_compare(read: Read) -> None:
    training = SETTINGS.training.model_copy(update={"least_positives": 10**6})
    without = cast(EngineSettings, SETTINGS.model_copy(update={"training": training}))
    with pytest.raises(TrainingError, match="no ranker orders the lists"):
        run(without, read[2], read[1], seed=0)
