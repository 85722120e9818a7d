"""Past moments: who had a past, what was chosen next, and that the two never mix."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recsys.engine import Engine
from recsys.features.catalog import Catalog
from recsys.features.columns import LogColumns
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.fitting import Fitting
from recsys.learning import (
    Moment,
    moment,
    moments_in_time,
    moments_of_drawn_items,
    moments_of_last_items,
)
from recsys.policy import Policy
from recsys.ranking.day_features import Told
from recsys.retrieval.als import Als
from recsys.retrieval.popular import Popular
from recsys.retrieval.sources import Older, Sources, named
from recsys.settings import EngineSettings
from recsys.shop import CLOSING
from tests.shops import ordered_settings, orders, quick_settings, small_shop

DAY = 86_400


def log_in_time(*events: tuple[str, str, int]) -> Interactions:
    """A log of (user, item, day)."""
    rows = pl.DataFrame(events, schema=["user_id", "item_id", "day"], orient="row")
    rows = rows.with_columns(at=1_600_000_000 + pl.col("day") * DAY)
    return read_interactions(rows, LogColumns(time="at"))[0]


def test_the_place_of_a_choice_is_the_first_that_is_known() -> None:
    rows = pl.DataFrame(
        {
            "user_id": ["ann"] * 6 + ["bob"] * 2,
            "item_id": ["a", "x", "x", "x", "y", "z", "b", "x"],
            "event": ["view", "view", "view", "purchase", "view", "purchase", "view", "view"],
            "place": [9, None, 5, 2, 3, None, 8, 4],
            "at": [1_600_000_000 + DAY * n for n in (0, 1, 2, 3, 4, 5, 0, 6)],
        }
    )
    log, _ = read_interactions(rows, LogColumns(time="at", event="event", position="place"))
    past, future = log.split_at((1_600_000_000 + DAY) * 10**6)
    found = moment(past, future).chosen
    assert found.positions is not None
    places = dict(zip(log.items.ids_at(found.items)[:3], found.positions[:3], strict=True))
    assert places == {"x": 5, "y": 3, "z": 0}
    assert found.positions[3] == 4


def log_in_order(choices: dict[str, str]) -> Interactions:
    return read_interactions(orders(choices), LogColumns(order="position"))[0]


OPEN = np.zeros(1, bool)
"""Of the one event of a log in order: its items may be offered again."""


def told(moment: Moment) -> dict[str, tuple[str, str]]:
    """Of each user the past and what was chosen, as letters."""
    items, users = moment.past.items.ids, moment.past.users.ids
    past, chosen = moment.histories, moment.chosen
    return {
        users[int(user)]: (
            "".join(items[int(row)] for row in past.items[past.offsets[n] : past.offsets[n + 1]]),
            "".join(
                items[int(row)] for row in chosen.items[chosen.offsets[n] : chosen.offsets[n + 1]]
            ),
        )
        for n, user in enumerate(past.users)
    }


def test_last_items_by_hand() -> None:
    log = log_in_order({"ann": "abcd", "bob": "ba", "cat": "c"})
    first, second = moments_of_last_items(log, 2, OPEN)
    assert told(first) == {"ann": ("abc", "d"), "bob": ("b", "a")}
    assert told(second) == {"ann": ("ab", "c")}
    assert len(first.past) == 5
    assert len(second.past) == 4
    assert first.left_out == second.left_out == 0


def test_a_last_item_that_could_not_be_offered_is_no_choice() -> None:
    log = log_in_order({"ann": "abcab", "bob": "aa", "cat": "c"})
    first, second = moments_of_last_items(log, 2, ~OPEN)
    assert told(first) == {"ann": ("ab", "c")}
    assert told(second) == {"ann": ("a", "b")}
    assert len(first.past) == 2 + 2 + 1  # what ann did with a and b after c is left out


def test_what_became_of_the_last_item_belongs_to_the_choice() -> None:
    columns = LogColumns(order="position", event="event")
    rows = orders({"ann": "abbb"}).with_columns(
        event=pl.Series(["purchase", "view", "cart", "purchase"])
    )
    log, _ = read_interactions(rows, columns)
    (cut,) = moments_of_last_items(log, 1, np.ones(len(log.events), bool))
    assert told(cut) == {"ann": ("a", "b")}
    assert [log.events[int(code)] for code in cut.chosen.events] == ["purchase"]


def test_what_nothing_hides_is_a_choice_again() -> None:
    columns = LogColumns(order="position", event="event")
    rows = orders({"ann": "abcb", "bob": "bb"}).with_columns(
        event=pl.Series(["view", "purchase", "view", "view", "view", "purchase"])
    )
    log, _ = read_interactions(rows, columns)
    hides = np.array([name == "purchase" for name in log.events])
    (cut,) = moments_of_last_items(log, 1, hides)
    assert told(cut) == {"ann": ("ab", "c"), "bob": ("b", "b")}


def test_without_an_order_the_held_out_item_is_drawn() -> None:
    rows = orders({"ann": "abcd", "bob": "ba"}).drop("position")
    log, _ = read_interactions(rows, LogColumns(ties="file"))
    assert log.clock == "none"
    seen = set()
    for seed in range(20):
        first, second = moments_of_drawn_items(log, 2, np.random.default_rng(seed))
        for cut in (first, second):
            for past, chosen in told(cut).values():
                assert set(past).isdisjoint(chosen)
                assert past == "".join(sorted(past)) or past == "ba"
        assert set(told(first)) == {"ann", "bob"}
        assert set(told(second)) == {"ann"}
        seen.add(told(first)["ann"][1])
    assert seen == set("abcd")


def test_a_cut_in_time_by_hand() -> None:
    log = log_in_time(
        ("ann", "a", 0), ("ann", "b", 5), ("ann", "c", 6), ("ann", "b", 7), ("bob", "a", 1),
        ("cat", "d", 6),
    )  # fmt: skip
    cutoff = int(log.times.min()) + 5 * DAY * 10**6
    past, future = log.split_at(cutoff)
    cut = moment(past, future, cutoff)
    assert told(cut) == {"ann": ("a", "bc")}
    assert cut.left_out == 1
    assert cut.histories.now.tolist() == [cutoff]


def test_stretches_of_time_follow_one_another() -> None:
    log = log_in_time(*[("ann" if day % 2 else "bob", "abcd"[day % 4], day) for day in range(20)])
    newest, older = moments_in_time(log, 2, 0.2)
    days = (log.times - log.times.min()) // (DAY * 10**6)
    assert newest.histories.now[0] > older.histories.now[0]
    for cut in (newest, older):
        now = cut.histories.now[0]
        assert (cut.past.times < now).all()
        assert len(cut.past) == (log.times < now).sum()
    assert len(newest.past) - len(older.past) == 4
    assert days.max() == 19


def test_weights_of_one_item_are_its_greatest() -> None:
    columns = LogColumns(order="position", event="event")
    rows = orders({"ann": "abbb", "bob": "aa"}).with_columns(
        event=pl.Series(["view", "view", "purchase", "cart", "view", "view"])
    )
    log, _ = read_interactions(rows, columns)
    past, future = log.split_last(3)
    cut = moment(past, future)
    assert told(cut) == {"ann": ("a", "b")}
    assert cut.chosen.weights.tolist() == [1]


def test_three_put_into_a_cart_are_no_purchase() -> None:
    rows = pl.DataFrame(
        [
            ("u", "a", "view", 1, 1_600_000_000),
            ("u", "b", "cart", 3, 1_600_000_060),
            ("u", "b", "purchase", 1, 1_600_000_060),
        ],
        schema=["user_id", "item_id", "event", "pieces", "at"],
        orient="row",
    )
    log, _ = read_interactions(rows, LogColumns(time="at", event="event", quantity="pieces"))
    (found,) = moments_of_last_items(log, 1, np.ones(len(log.events), bool))
    assert [log.events[code] for code in found.chosen.events] == ["purchase"]
    assert found.chosen.weights == pytest.approx(log.weights.max())


def test_only_targets_count_as_chosen() -> None:
    columns = LogColumns(order="position", event="event")
    rows = orders({"ann": "abc", "bob": "ab"}).with_columns(
        event=pl.Series(["view", "view", "purchase", "view", "view"])
    )
    log, _ = read_interactions(rows, columns)
    past, last = log.split_last(1)
    targets = np.array([name == "purchase" for name in log.events])
    assert told(moment(past, last, targets=targets)) == {"ann": ("ab", "c")}


def test_a_sample_is_seeded_and_blocks_cover_all() -> None:
    log = log_in_order({f"user {n:02}": "abcd" for n in range(20)})
    (whole,) = moments_of_last_items(log, 1, OPEN)
    one, same = (whole.sample(5, np.random.default_rng(1)) for _ in range(2))
    assert told(one) == told(same)
    assert len(one.histories) == 5
    assert whole.sample(20, np.random.default_rng(1)) is whole
    blocks = [told(block) for block in whole.blocks(6)]
    assert [len(block) for block in blocks] == [6, 6, 6, 2]
    assert {user: each for block in blocks for user, each in block.items()} == told(whole)


choices = st.dictionaries(
    st.sampled_from(["ann", "bob", "cat", "dan"]),
    st.text("abcde", min_size=1, max_size=6),
    min_size=1,
)


@given(choices, st.integers(1, 3))
def test_last_items_follow_their_definition(choices: dict[str, str], moments: int) -> None:
    log = log_in_order(choices)
    left = dict(choices)
    for cut in moments_of_last_items(log, moments, OPEN):
        expected = {user: (own[:-1], own[-1]) for user, own in left.items() if len(own) > 1}
        assert told(cut) == expected
        left = {user: own[:-1] if len(own) > 1 else own for user, own in left.items()}
        assert len(cut.past) == sum(map(len, left.values()))


@given(choices, st.integers(0, 2**32 - 1))
def test_the_past_of_last_items_never_sees_them(choices: dict[str, str], seed: int) -> None:
    log = log_in_order(choices)
    last = np.append(log.user_rows[1:] != log.user_rows[:-1], True) & (
        log.counts[log.user_rows] > 1
    )
    items = log.item_rows.copy()
    items[last] = np.random.default_rng(seed).integers(0, len(log.items), last.sum())
    (one,), (other,) = (
        moments_of_last_items(each, 1, OPEN) for each in (log, replace(log, item_rows=items))
    )
    assert_same_past(one, other)


@given(
    st.lists(
        st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 30)),
        min_size=6,
        max_size=30,
        unique=True,
    ),
    st.integers(0, 2**32 - 1),
)
def test_the_past_in_time_never_sees_what_follows(
    events: list[tuple[str, str, int]], seed: int
) -> None:
    log = log_in_time(*events)
    (cut,) = moments_in_time(log, 1, 0.3)
    start = int(np.quantile(log.times, 0.7, method="nearest"))
    later = log.times >= start
    items = log.item_rows.copy()
    items[later] = np.random.default_rng(seed).permutation(items[later])
    (other,) = moments_in_time(replace(log, item_rows=items), 1, 0.3)
    assert_same_past(cut, other)


def assert_same_past(one: Moment, other: Moment) -> None:
    for name in ("user_rows", "item_rows", "event_codes", "times", "weights"):
        np.testing.assert_array_equal(getattr(one.past, name), getattr(other.past, name))
    for name in ("users", "offsets", "items", "events", "times", "weights", "now"):
        np.testing.assert_array_equal(getattr(one.histories, name), getattr(other.histories, name))


def fitting_of(settings: EngineSettings, rows: pl.DataFrame) -> tuple[Fitting, Interactions]:
    log, catalog = Engine(settings).read(rows)
    policy = Policy.of(catalog.offered(), log.events, settings.events)
    return Fitting(settings, catalog, policy), log


def test_a_forced_time_without_a_clock_is_said_to_fall_back() -> None:
    settings = ordered_settings(training={"holdout": "time"})
    fitting, log = fitting_of(settings, orders({"ann": "abc", "bob": "bca"}))
    _, notes = fitting.run(log)
    assert "holdout = time needs a clock; the log has none" in notes
    assert any("the ranker learns from each user's last items" in note for note in notes)


def test_too_little_happened_lately_so_last_items_are_taken() -> None:
    fitting, log = fitting_of(
        EngineSettings.parse({"interactions": {"time": "time", "event": "event"}}),
        small_shop().events.head(300),
    )
    _, notes = fitting.run(log)
    assert any(note.startswith("the newest stretches of time give only") for note in notes)
    assert any("the ranker learns from each user's last items" in note for note in notes)


@pytest.mark.parametrize("holdout", ["last", "time"])
def test_what_was_learnt_goes_from_older_logs_to_newer_ones_that_contain_them(
    holdout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fit of the sources: each but the first goes on from the one before it."""
    fits: list[tuple[Sources, Interactions, Older | None]] = []
    fit = Sources.fit

    def watched(
        self: Sources, log: Interactions, *rest: Any, **others: Any
    ) -> tuple[Sources, list[str]]:
        before = rest[2] if len(rest) > 2 else others.get("older")
        found = fit(self, log, *rest, **others)
        fits.append((found[0], log, before))
        return found

    monkeypatch.setattr(Sources, "fit", watched)
    settings = EngineSettings.parse(
        {
            "interactions": {"time": "time", "event": "event"},
            "training": {"holdout": holdout, "least_positives": 20},
        }
    )
    fitting, log = fitting_of(settings, small_shop().events)
    fitting.run(log)
    assert len(fits) == 3
    assert fits[-1][1] is log
    assert fits[0][2] is None
    for (learnt, older, _), (_, newer, before) in pairwise(fits):
        assert before is not None
        (begun,) = before.resuming.values()
        assert begun is named(learnt.members, "sequence").retriever
        assert set(events_of(older)) < set(events_of(newer))


def test_a_ranker_whose_source_is_missing_at_serving_time_is_not_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A source that could be fitted on every past, but not on the whole log."""
    shop, fit = small_shop(), Als.fit

    def refusing(self: Als, log: Interactions, catalog: Catalog) -> Als:
        if len(log) == len(shop.events):
            raise DataError("too much")
        return fit(self, log, catalog)

    monkeypatch.setattr(Als, "fit", refusing)
    engine = Engine(quick_settings()).fit(shop.events, shop.items)
    assert engine.learnt.fitted.ranker is None
    assert "source 'als' is left out: too much" in engine.notes
    assert "no ranker: it reads ['als'], left out above; lists are fused by rank" in engine.notes
    assert len(engine.recommend(engine.users[:3], k=5)) == 15


def in_a_week(events: pl.DataFrame) -> pl.DataFrame:
    """The events of the small shop, whose 90 days are pressed into 7."""
    opening = CLOSING - timedelta(days=90)
    since = (pl.col("time") - opening).dt.total_microseconds() // 13
    return events.with_columns(time=opening + since.cast(pl.Duration("us")))


def test_a_log_of_seven_days_has_the_same_features_at_every_moment() -> None:
    """Its pasts are shorter, and by themselves would tell no weekday."""
    shop, training = small_shop(), {"least_positives": 20, "stretch": 0.2}
    engine = Engine(quick_settings(training=training)).fit(in_a_week(shop.events), shop.items)
    log, ranker = engine.learnt.log, engine.learnt.fitted.ranker
    told = [Told.of(moment.past) for moment in moments_in_time(log, 2, 0.2)]
    assert Told(hours=True) in told
    assert Told.of(log) == Told(hours=True, weekdays=True)
    assert ranker is not None
    assert "suits weekday" in ranker.names_
    assert len(engine.recommend(engine.users[:3], k=5)) == 15


def test_a_ranker_whose_features_are_others_at_serving_time_is_not_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = small_shop()
    monkeypatch.setattr("recsys.fitting.feature_names", lambda _: ("height",))
    engine = Engine(quick_settings()).fit(shop.events, shop.items)
    assert engine.learnt.fitted.ranker is None
    differs = "no ranker: features of everything are not those of the past; they differ in ["
    assert any(note.startswith(differs) and "'height'" in note for note in engine.notes)
    assert len(engine.recommend(engine.users[:3], k=5)) == 15


def test_without_a_refit_the_sources_of_the_newest_moment_serve(tmp_path: Path) -> None:
    """What was popular before the newest moment is asked of the whole log's histories."""
    shop, training = small_shop(), {"least_positives": 20}
    settings = quick_settings(
        training={**training, "refit": False}, sources={"als": {"use": False}}
    )
    engine = Engine(settings).fit(shop.events, shop.items)
    log, fitted = engine.learnt.log, engine.learnt.fitted
    newest = next(moments_in_time(log, 1, settings.training.stretch)).past
    popular = named(fitted.sources.members, "popular").retriever
    histories = Histories.of(log, np.arange(len(log.users), dtype=np.int32))
    own = popular.retrieve(histories, 10, engine.learnt.policy.allowed(histories))
    older = Popular().fit(newest, engine.learnt.catalog)
    expected = older.retrieve(histories, 10, engine.learnt.policy.allowed(histories))
    np.testing.assert_array_equal(own.items, expected.items)
    assert fitted.ranker is not None
    assert fitted.knowledge.statistics.whole.log is log
    assert any(note.startswith("training.refit is off") for note in engine.notes)
    engine.save(tmp_path / "engine")
    again = Engine.load(tmp_path / "engine")
    assert_frame_equal(again.recommend(engine.users), engine.recommend(engine.users))


@pytest.mark.parametrize("refit", [True, False])
def test_without_a_ranker_sources_are_fitted_on_everything(refit: bool) -> None:
    shop, training = small_shop(), {"least_positives": 10_000, "refit": refit}
    settings = quick_settings(training=training, sources={"als": {"use": False}})
    engine = Engine(settings).fit(shop.events, shop.items)
    log, fitted = engine.learnt.log, engine.learnt.fitted
    assert fitted.ranker is None
    popular = named(fitted.sources.members, "popular").retriever
    histories = Histories.of(log, np.arange(len(log.users), dtype=np.int32))
    allowed = engine.learnt.policy.allowed(histories)
    everything = Popular().fit(log, engine.learnt.catalog)
    np.testing.assert_array_equal(
        popular.retrieve(histories, 10, allowed).items,
        everything.retrieve(histories, 10, allowed).items,
    )
    no_effect = "training.refit = false has no effect without a ranker"
    assert [note.startswith(no_effect) for note in engine.notes].count(True) == (not refit)


def events_of(log: Interactions) -> list[tuple[int, ...]]:
    columns = (log.user_rows, log.item_rows, log.event_codes, log.times)
    return list(zip(*(each.tolist() for each in columns), strict=True))


def test_positives_that_no_source_found_are_counted() -> None:
    """Of four users' last items two are new to the log: no source can know them."""
    choices = {"ann": "abx", "bob": "aby", "cat": "bac", "dan": "cba"}
    settings = ordered_settings(
        training={"moments": 1}, sources={"popular": {"use": False}, "als": {"use": False}}
    )
    fitting, log = fitting_of(settings, orders(choices))
    _, notes = fitting.run(log)
    assert (
        "the ranker learns from each user's last items: 4 users, 4 chosen items, of which no "
        "source had found 2; 2 lists" in notes
    )


def test_a_ranker_is_trained_from_enough_lists_only() -> None:
    shop = small_shop()
    for least, trained in ((2, True), (10_000, False)):
        settings = quick_settings(training={"least_positives": least, "moments": 1})
        engine = Engine(settings).fit(shop.events, shop.items)
        assert (engine.learnt.fitted.ranker is not None) == trained
        assert any(note.startswith("no ranker: ") for note in engine.notes) != trained
    assert any(f"{least} are needed; lists are fused by rank" in note for note in engine.notes)
