"""Impressions in an engine: no source sees them, and the ranker's lists count by place."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from recsys.engine import Engine
from recsys.fitting import silent
from recsys.judging import judge
from recsys.ranking.position_bias import PositionBias
from recsys.settings import EngineSettings
from tests.shops import LOG, assert_same_lists, quick_settings, small_shop

PLACED = {**LOG, "position": "position"}
SOURCES = {name: {"use": False} for name in ("als", "content")}


@cache
def seen_events() -> pl.DataFrame:
    """The log of the small shop, each view from a list of 10 that was shown an hour before.

    Views come from place p of a list with a chance of p ** -1.
    """
    rng, events = np.random.default_rng(0), small_shop().events
    views = (events["event"] == "view").to_numpy()
    looks = 1 / np.arange(1, 11)
    places = rng.choice(10, len(events), p=looks / looks.sum()) + 1
    placed = events.with_columns(position=pl.Series(np.where(views, places, 0)).replace(0, None))
    items = small_shop().items["item_id"]
    shown = pl.concat(
        events.filter(pl.Series(views)).with_columns(
            pl.lit("impression").alias("event"),
            pl.col("time") - pl.duration(hours=1),
            item_id=items.gather(rng.integers(len(items), size=int(views.sum()))),
            position=pl.lit(place),
        )
        for place in range(1, 11)
    )
    return pl.concat([placed, shown], how="vertical_relaxed").sort("time", maintain_order=True)


def settings_of(**training: float) -> EngineSettings:
    return quick_settings(
        interactions=PLACED, sources=SOURCES, training={"least_positives": 20, **training}
    )


@cache
def placed_engine() -> Engine:
    return Engine(settings_of()).fit(seen_events(), small_shop().items)


def test_lists_count_for_the_looks_that_places_get() -> None:
    engine = placed_engine()
    (note,) = (each for each in engine.notes if each.startswith("place p of a list"))
    decay = float(note.split("-")[1].split()[0])
    assert 0.9 < decay < 1.1
    lists = Engine(settings_of()).training_lists(seen_events(), small_shop().items)
    assert lists.weights is not None
    assert 1 < lists.weights.mean() < lists.weights.max() <= 10 * (1 + 1e-6)
    for idle in (settings_of(most_place_weight=1), quick_settings(sources=SOURCES)):
        assert Engine(idle).training_lists(seen_events(), small_shop().items).weights is None


def test_what_was_only_shown_is_no_interaction() -> None:
    engine = placed_engine()
    plain = Engine(quick_settings(sources=SOURCES)).fit(small_shop().events, small_shop().items)
    log, other = engine.learnt.log, plain.learnt.log
    assert log.events == other.events
    np.testing.assert_array_equal(log.item_counts, other.item_counts)
    who = [*engine.users[:20], "nobody"]
    fused = [
        each.recommend(who, k=8).select("user_id", "item_id")
        for each in map(without_ranker, (engine, plain))
    ]
    assert fused[0].equals(fused[1])


def without_ranker(engine: Engine) -> Engine:
    events = seen_events() if engine is placed_engine() else small_shop().events
    settings = engine.settings.model_copy(
        update={"training": engine.settings.training.model_copy(update={"least_positives": 10**6})}
    )
    return Engine(settings).fit(events, small_shop().items)


def test_too_few_places_are_noted() -> None:
    few = seen_events().with_columns(
        position=pl.when((pl.col("event") == "impression") | (pl.int_range(pl.len()) < 60)).then(
            "position"
        )
    )
    engine = Engine(settings_of()).fit(few, small_shop().items)
    assert "places in lists count for nothing: too few choices have a place" in engine.notes


def test_saved_and_loaded_and_evaluated(tmp_path: Path) -> None:
    engine = placed_engine()
    engine.save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine")
    shown, again = engine.learnt.log.shown, loaded.learnt.log.shown
    assert shown is not None
    assert again is not None
    np.testing.assert_array_equal(again.totals(), shown.totals())
    users = engine.users[:10]
    assert_same_lists(loaded.recommend(users), engine.recommend(users))
    time = engine.settings.evaluation.model_copy(update={"protocol": "time"})
    tested = Engine(engine.settings.model_copy(update={"evaluation": time}))
    found = tested.evaluate(seen_events(), small_shop().items)
    assert any(note.startswith("place p of a list") for note in found.notes)


def test_the_trial_counts_as_the_lists_that_were_learnt_from() -> None:
    engine = Engine(settings_of())
    log, catalog = engine.read(seen_events(), small_shop().items)
    ranker = engine.fit(log, catalog).learnt.fitted.ranker
    assert ranker is not None
    fitting, *_ = engine._fitting(log, engine.learnt.catalog, silent)
    _, trial, _ = fitting._of(log)[0]._training_lists(log)
    assert trial is not None
    tried = trial.held_out(ranker)

    def said(bias: PositionBias | None) -> str:
        return judge(ranker, tried, engine.settings, bias).note

    assert said(None) == said(PositionBias(0.0, 10.0)) != said(PositionBias(1.0, 10.0))
