"""Sessions: events that a request brings along take the same path as a stored history."""

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.features.columns import LogColumns
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.sessions import Sessions, read_sessions
from tests.shops import (
    assert_same_lists,
    fitted_engine,
    listed,
    ordered_engine,
    quick_settings,
    small_shop,
)

A_CUSTOMERS = (
    "a session under a customer's id: the stored history does not count; give users with since "
    "for both"
)
CHOICES = {"ann": "abcd", "bob": "bcda", "cat": "cdab", "dan": "dabc"}


def read(engine: Engine, sessions: Sessions) -> dict[object, tuple[list[object], object]]:
    """Of each session its items, and what was remarked."""
    settings = engine.settings
    found = read_sessions(sessions, settings.interactions, engine.learnt.log, settings.events)
    offsets, items = found.histories.offsets, engine.items.gather(found.histories.items)
    return {
        name: (items[int(offsets[n]) : int(offsets[n + 1])].to_list(), found.remarks[n])
        for n, name in enumerate(found.ids)
    }


@pytest.fixture
def letters() -> Engine:
    return ordered_engine(CHOICES)


def test_lists_of_items_are_sessions(letters: Engine) -> None:
    assert read(letters, {"one": ["a", "c"], "two": ["b"]}) == {
        "one": (["a", "c"], None),
        "two": (["b"], None),
    }


def test_a_table_is_sorted_by_its_order(letters: Engine) -> None:
    table = pl.DataFrame(
        {"user_id": ["y", "x", "y", "x"], "item_id": list("abcd"), "position": [2, 2, 1, 1]}
    )
    assert read(letters, table) == {"y": (["c", "a"], None), "x": (["d", "b"], None)}
    assert read(letters, table.drop("position")) == {
        "y": (["a", "c"], None),
        "x": (["b", "d"], None),
    }


def test_sessions_are_answered_in_the_order_in_which_they_came() -> None:
    engine = fitted_engine()
    first, second = small_shop().events["item_id"][:2]
    table = engine.recommend(sessions={"z": [first], "a": [second], "m": [first, second]}, k=2)
    assert table["user_id"].to_list() == ["z", "z", "a", "a", "m", "m"]


def test_unknown_items_are_left_out_and_counted(letters: Engine) -> None:
    assert read(letters, {"one": ["a", "x", "y"], "two": ["z"]}) == {
        "one": (["a"], "2 events of unknown items left out"),
        "two": ([], "1 events of unknown items left out; popular items"),
    }
    table = letters.recommend(sessions={"two": ["z"]}, k=2)
    assert table["reason"].to_list() == ["popular now"] * 2
    assert table["note"][0] == "1 events of unknown items left out; popular items"


def test_an_empty_session_gets_popular_items_and_is_told_so(letters: Engine) -> None:
    table = letters.recommend(sessions={"none": [], "one": ["a"]}, k=2)
    assert table["user_id"].to_list() == ["none"] * 2 + ["one"] * 2
    assert table["note"].to_list() == ["no events: popular items"] * 2 + [None] * 2
    assert table["reason"][:2].to_list() == ["popular now"] * 2


def test_no_sessions_no_lists(letters: Engine) -> None:
    assert len(letters.recommend(sessions={})) == 0
    assert len(letters.recommend(sessions=pl.DataFrame({"user_id": [], "item_id": []}))) == 0


def test_missing_columns_are_named(letters: Engine) -> None:
    with pytest.raises(DataError, match=r"sessions lack the columns \['item_id'\]; they have"):
        letters.recommend(sessions=pl.DataFrame({"user_id": ["s"], "item": ["a"]}))


def test_item_ids_must_be_of_the_logs_type(letters: Engine) -> None:
    with pytest.raises(DataError, match="item ids of this engine are String; got Int64"):
        letters.recommend(sessions={"s": [1, 2]})


def test_session_ids_may_be_of_any_type(letters: Engine) -> None:
    table = letters.recommend(sessions={7: ["a"], 9: ["b"]}, k=1)  # type: ignore[dict-item]
    assert table["user_id"].to_list() == [7, 9]


def test_events_of_a_session_count_as_in_the_log() -> None:
    """A purchase hides its item, a view does not; without the column it is a view."""
    engine = fitted_engine()
    alone = pl.col("available") & ~pl.col("variant_group").is_duplicated()
    item = small_shop().items.filter(alone)["item_id"][0]
    k = len(engine.items)
    offered = {
        event: item
        in set(
            engine.recommend(
                sessions=pl.DataFrame({"user_id": ["s"], "item_id": [item], "event": [event]}), k=k
            )["item_id"]
        )
        for event in ("view", "purchase")
    }
    assert offered == {"view": True, "purchase": False}
    assert item in set(engine.recommend(sessions={"s": [item]}, k=k)["item_id"])


def test_a_history_sent_along_gives_the_list_of_the_stored_one() -> None:
    events = small_shop().events.with_row_index("position").drop("time", "quantity")
    settings = quick_settings(interactions={"order": "position", "event": "event"})
    engine = Engine(settings).fit(events, small_shop().items)
    users = engine.users[:30]
    theirs = events.filter(pl.col("user_id").is_in(users.implode()))
    sent = engine.recommend(sessions=theirs, k=10)
    stored = engine.recommend(theirs["user_id"].unique(maintain_order=True), k=10)
    assert set(sent["note"]) == {A_CUSTOMERS}
    assert_same_lists(sent.drop("note"), stored.drop("note"))


def test_sessions_together_or_alone() -> None:
    engine = fitted_engine()
    items = small_shop().events["item_id"].unique(maintain_order=True)[:20].to_list()
    sessions = {f"s{n}": items[n : n + 3] for n in range(17)}
    together = engine.recommend(sessions=sessions)
    alone = pl.concat(engine.recommend(sessions={name: own}) for name, own in sessions.items())
    assert listed(alone) == listed(together)


def test_a_stored_history_sent_as_a_session_is_the_same_history() -> None:
    """With a clock too: times, events and quantities count as those of the log do."""
    engine, events = fitted_engine(), small_shop().events
    user = events["user_id"][0]
    sent = events.filter(pl.col("user_id") == user)
    settings, log = engine.settings, engine.learnt.log
    found = read_sessions(sent, settings.interactions, log, settings.events).histories
    stored = Histories.of(log, log.users.rows([user]))
    for name in ("offsets", "items", "events", "times", "weights", "now"):
        np.testing.assert_array_equal(getattr(found, name), getattr(stored, name), name)


def test_a_session_knows_if_its_times_are_told() -> None:
    engine, events = fitted_engine(), small_shop().events.head(3)
    settings, log = engine.settings, engine.learnt.log
    item_lists = {"v": events["item_id"].to_list()}
    for sent, timed in ((events, True), (events.drop("time"), False), (item_lists, False)):
        found = read_sessions(sent, settings.interactions, log, settings.events)
        assert found.histories.timed is timed


def test_a_quantity_that_is_no_number_above_zero_is_an_error() -> None:
    columns = LogColumns(quantity="pieces")
    log = ordered_engine(CHOICES).learnt.log
    table = pl.DataFrame({"user_id": ["x"], "item_id": ["a"], "pieces": [0.0]})
    with pytest.raises(
        DataError, match=r"quantity of each event of sessions must be a number above 0; got 0\.0"
    ):
        read_sessions(table, columns, log, {})


def test_what_a_session_was_only_shown_is_no_event_of_it() -> None:
    engine = fitted_engine()
    items = engine.items[:3]
    rows = {"user_id": ["v"] * 3, "item_id": items, "event": ["impression", "view", "impression"]}
    lists = engine.recommend(sessions=pl.DataFrame(rows), k=5)
    alone = engine.recommend(sessions={"v": [items[1]]}, k=5)
    assert_same_lists(lists, alone)
    nothing = engine.recommend(sessions=pl.DataFrame(rows)[:1], k=5)
    assert set(nothing["note"]) == {"no events: popular items"}


def test_events_that_nothing_names_are_left_out_and_counted() -> None:
    engine = fitted_engine()
    for event in (None, "hug"):
        rows = {"user_id": ["v", "v"], "item_id": engine.items[:2], "event": [event, "view"]}
        lists = engine.recommend(sessions=pl.DataFrame(rows), k=5)
        alone = engine.recommend(sessions={"v": [engine.items[1]]}, k=5)
        assert set(lists["note"]) == {f"1 events of unknown kinds such as {event!r} left out"}
        assert_same_lists(lists.drop("note"), alone.drop("note"))
