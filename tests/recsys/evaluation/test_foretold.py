"""Probabilities against what came: on the same stretch of time, or with the next choice."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from recsys.calibrating import calibrate
from recsys.engine import Engine
from recsys.evaluation.evaluate import Evaluation, evaluate, evaluate_fitted
from recsys.evaluation.foretold import Foretold, foretell
from recsys.evaluation.protocols import Window, windows
from recsys.evaluation.result import mean_of
from recsys.features.errors import TrainingError
from recsys.features.interactions import Interactions
from recsys.judging import judge
from recsys.reporting.outcome import Outcome
from recsys.reporting.report import render
from recsys.trial import Trial
from tests.shops import quick_settings, small_shop


@cache
def evaluated(**changes: object) -> Evaluation:
    settings = quick_settings(evaluation={"protocol": "time", "draws": 10, **changes})
    engine = Engine(settings)
    log, catalog = engine.read(small_shop().events, small_shop().items)
    return evaluate(engine, log, catalog, settings.evaluation)


def test_the_calibration_of_each_event_is_told_and_shown() -> None:
    told = evaluated().as_dict("shop")["calibration"]
    assert told["event"] == "view"
    assert told["error"] == told["errors"]["view"]
    # Of 5 held-out lists it may be off by any amount; what it is must be what the bins say.
    counts = np.array([each["count"] for each in told["bins"]])
    gaps = [abs(each["predicted"] - each["observed"]) for each in told["bins"]]
    assert told["error"] == pytest.approx(np.average(gaps, weights=counts))
    page = render(Outcome.parse(evaluated().as_dict("shop")))
    assert "Predicted and true shares of “view” or more are " in page


def test_only_some_events_as_targets_leave_it_out() -> None:
    assert "calibration" not in evaluated(targets=("purchase",)).as_dict("shop")


def test_several_seeds_keep_it() -> None:
    one = evaluated()
    assert mean_of([one, one]).calibration == one.calibration


def test_windows_are_pooled_where_they_foretell_the_same() -> None:
    part = Foretold(("view",), np.array([[0.2]], np.float32), np.array([[True]]))
    joined = Foretold.joined([part, None, part])
    assert joined is not None
    assert len(joined.probabilities) == 2
    assert joined.by_event()["view"].error == pytest.approx(0.8)
    assert Foretold.joined([part, replace(part, events=("cart",))]) is None
    assert Foretold.joined([None]) is None


def test_a_stretch_that_the_log_does_not_cover_tells_nothing() -> None:
    settings = quick_settings(evaluation={"protocol": "time"})
    engine = Engine(settings)
    log, catalog = engine.read(small_shop().events, small_shop().items)
    (window,) = windows(log, settings.evaluation)
    engine.fit(window.moment.past, catalog)
    ranker = engine.learnt.fitted.ranker
    assert ranker is not None
    assert ranker.stretch_ is not None
    assert foretell(engine, log, window, settings.evaluation) is not None
    ranker.stretch_ *= 100
    assert foretell(engine, log, window, settings.evaluation) is None


@cache
def fitted_before_a_window() -> tuple[Engine, Interactions, Window]:
    settings = quick_settings(evaluation={"protocol": "time", "draws": 10})
    engine = Engine(settings)
    log, catalog = engine.read(small_shop().events, small_shop().items)
    (window,) = windows(log, settings.evaluation)
    return engine.fit(window.moment.past, catalog), log, window


def no_room(*_: object) -> None:
    raise MemoryError("no room")


@pytest.mark.parametrize("step", ["retrieve", "score"])
def test_where_a_source_fails_all_else_is_evaluated(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, (engine, log, window) = evaluated().as_dict("shop"), fitted_before_a_window()
    monkeypatch.setattr(f"recsys.retrieval.popular.Popular.{step}", no_room)
    found = evaluate_fitted(engine, window, log, engine.settings.evaluation, fit_seconds=1.0)
    told = found.as_dict("shop")
    assert told.keys() == whole.keys() - {"calibration", "importance"}
    assert told["systems"].keys() == whole["systems"].keys()
    assert any("failed in 1 blocks of users" in note for note in found.notes)


def test_a_ranker_is_not_tried_on_what_a_failing_source_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, _, window = fitted_before_a_window()
    monkeypatch.setattr("recsys.retrieval.popular.Popular.retrieve", no_room)
    learnt = engine.learnt
    assert learnt.fitted.ranker is not None
    trial = Trial(window.moment, learnt.fitted, learnt.policy)
    for step in (judge, calibrate):
        with pytest.raises(TrainingError, match=r"while the ranker was tried: \['popular'\]"):
            step(learnt.fitted.ranker, trial, engine.settings)
