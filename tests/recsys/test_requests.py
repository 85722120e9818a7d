"""Requests as web servers send them: nothing asked, odd ids, any frame, events since the fit."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import recsys
from recsys.engine import Engine
from recsys.features.errors import DataError, RecsysError
from recsys.settings import EngineSettings
from tests.shops import assert_same_lists, fitted_engine, listed, ordered_engine, small_shop

CHOICES = {"ann": "abcd", "bob": "bcda", "cat": "cdab", "dan": "dabc"}


@pytest.fixture(scope="module")
def letters() -> Engine:
    return ordered_engine(CHOICES)


NOTHING: list[Any] = [
    [],
    (),
    iter([]),
    set(),
    np.array([]),
    np.array([], int),
    np.array([], object),
    pd.Series([], dtype="float64"),
    pa.array([], pa.int64()),
    pl.Series([], dtype=pl.Float64),
    pl.Series([], dtype=pl.List(pl.Int8)),
]


@pytest.mark.parametrize("nothing", NOTHING, ids=lambda each: type(each).__name__)
def test_nothing_asked_nothing_excluded(letters: Engine, nothing: Any) -> None:
    assert len(letters.recommend(nothing)) == 0
    assert len(letters.similar_items(nothing)) == 0
    everything = letters.recommend(["nobody"], k=3)
    assert letters.recommend(["nobody"], k=3, exclude=nothing).equals(everything)


@pytest.mark.parametrize("sessions", [{}, pd.DataFrame({"user_id": [], "item_id": []})])
def test_no_session_no_list(letters: Engine, sessions: Any) -> None:
    assert len(letters.recommend(sessions=sessions)) == 0


def test_an_unknown_id_never_fails_the_rest(letters: Engine) -> None:
    """Of another type among ids of ours, null, or of characters that no log has."""
    odd = ["ann", 7, None, "\x00", float("nan"), 2**70, "x" * 10_000]
    lists = letters.recommend(odd, k=2)
    alone = letters.recommend(["ann"], k=2)
    assert_same_lists(lists[: len(alone)], alone)
    rest = lists[len(alone) :]
    assert set(rest["note"]) == {"unknown user: popular items"}
    assert len(rest) == 2 * 6
    assert "7" in rest["user_id"].to_list()


def test_integers_among_text_for_an_engine_of_integers() -> None:
    engine = ordered_engine({1: [10, 11, 12], 2: [11, 12, 13], 3: [12, 13, 10]})
    lists = engine.recommend([2, "two"], k=1)
    assert lists["user_id"].to_list() == ["2", "two"]
    assert lists["note"].to_list() == [None, "unknown user: popular items"]
    assert engine.recommend([2.0, Decimal(3)], k=1)["note"].to_list() == [None, None]
    assert engine.recommend(pd.Series([2, None]), k=1)["user_id"].to_list() == [2, None]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["ann", b"bob"], r"b'bob' of type bytes at position 1"),
        (["ann", ["bob"]], r"\['bob'\] of type list at position 1"),
        (["ann", "\ud800"], r"half of a surrogate pair, at position 1"),
        (["ann", True], r"True of type bool at position 1"),
        (["ann", 1.5], r"1.5 of type float at position 1"),
        (["ann", float("inf")], r"inf of type float at position 1"),
        (["ann", 10**5000], r"a int of type int at position 1"),
        ([1, 2], r"user ids of this engine are String; got Int64 \(first: 1\)"),
        (None, "give either users or sessions"),
        (5, "must be a list of ids; got 5"),
        ("ann", "got the one id 'ann'"),
        (bytearray(b"ann"), "the one id"),
        ({"ann": 1}, "got a dict"),
        (np.array([["ann"]]), "an array of 2 axes"),
        (pd.DataFrame({"user_id": ["ann"], "n": [1]}), r"columns \['user_id', 'n'\]"),
        ((1 / 0 for _ in "a"), "cannot be read: ZeroDivisionError"),
    ],
)
def test_what_is_no_id_is_named_with_its_position(letters: Engine, ids: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        letters.recommend(ids)


FRAMES: dict[str, Callable[[pl.DataFrame], Any]] = {
    "pandas": lambda rows: rows.to_pandas(),
    "pandas of Arrow": lambda rows: rows.to_pandas(use_pyarrow_extension_array=True),
    "pandas of objects": lambda rows: rows.to_pandas().astype(object),
    "pandas of categories": lambda rows: rows.to_pandas().astype("category"),
    "pyarrow": lambda rows: rows.to_arrow(),
    "lazy": lambda rows: rows.lazy(),
    "categories": lambda rows: rows.cast(pl.Categorical),
    "duckdb": lambda rows: duckdb.sql("select * from rows"),
    "a batch of Arrow": lambda rows: rows.to_arrow().to_batches()[0],
    "parts": lambda rows: [rows[:1], rows[1:].to_pandas()],
    "more columns": lambda rows: rows.with_columns(other=pl.lit(b"x")),
}


@pytest.mark.parametrize("made", FRAMES.values(), ids=FRAMES)
def test_sessions_and_since_are_any_frame(made: Callable[[pl.DataFrame], Any]) -> None:
    engine = fitted_engine()
    items, users = engine.items, engine.users[:2]
    rows = pl.DataFrame({"user_id": users, "item_id": items[:2], "event": ["view", "purchase"]})
    assert_same_lists(engine.recommend(sessions=made(rows)), engine.recommend(sessions=rows))
    assert_same_lists(
        engine.recommend(users, since=made(rows)), engine.recommend(users, since=rows)
    )


@pytest.mark.parametrize(
    "items",
    [
        iter(["a", "c"]),
        ("a", "c"),
        np.array(["a", "c"]),
        pd.Series(["a", "c"]),
        pl.Series(["a", "c"]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_session_is_any_list(letters: Engine, items: Any) -> None:
    assert_same_lists(
        letters.recommend(sessions={"v": items}, k=2),
        letters.recommend(sessions={"v": ["a", "c"]}, k=2),
    )


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ({"v": None}, "session 'v' must be a list of item ids.*; got None"),
        ({"v": 5}, "session 'v' must be a list of item ids.*; got 5"),
        ({"v": b"a"}, "session 'v' must be a list"),
        ({"v": ["a", ["b"]]}, r"\['b'\] of type list at position 1"),
        ({("v",): ["a"]}, "session ids must be strings or integers"),
        ({"v": (1 / 0 for _ in "a")}, "session 'v' cannot be read: ZeroDivisionError"),
        (pl.DataFrame({"user_id": ["v", None], "item_id": ["a", "b"]}), "row 1 .* has none"),
        (pl.DataFrame({"user_id": [["v"]], "item_id": ["a"]}), "strings or integers; got List"),
        (pd.DataFrame([["v", "a", "b"]], columns=["user_id", "item_id", "item_id"]), "item_id"),
        (pl.DataFrame({"item_id": ["a"]}), r"lack the columns \['user_id'\]"),
        (["a"], "map names to lists of item ids"),
        ({"v": pd.DataFrame({"item_id": ["a"]})}, "session 'v' must be a list of item ids"),
        ({"v": {"item_id": ["a"]}}, "session 'v' must be a list of item ids"),
        ({"user_id": ["v"], "item_id": ["a"]}, "the columns of the log: make a frame of it"),
        (pl.DataFrame({"user_id": ["v", ""], "item_id": ["a", "b"]}), "row 1 .* has none"),
        (pl.Series(["a"]), "map names to lists of item ids"),
    ],
)
def test_sessions_that_cannot_be_read(letters: Engine, sessions: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        letters.recommend(sessions=sessions)


@pytest.mark.parametrize("quantity", ["x", float("nan"), float("inf"), True, None, [1], -1])
def test_amounts_that_are_none(quantity: Any) -> None:
    engine = fitted_engine()
    rows = pl.DataFrame({"user_id": ["v"], "item_id": engine.items[:1], "quantity": [quantity]})
    with pytest.raises(DataError, match="quantity of each event of sessions must be a number"):
        engine.recommend(sessions=rows)


def test_an_amount_as_text_is_the_number_that_it_shows() -> None:
    engine = fitted_engine()
    rows = pl.DataFrame({"user_id": ["v"], "item_id": engine.items[:1], "quantity": [2]})
    sent = [engine.recommend(sessions=each) for each in (rows, rows.cast({"quantity": pl.String}))]
    assert_same_lists(*sent)


def test_an_event_of_the_settings_that_the_log_has_not_had_is_known() -> None:
    """In a shop of views a purchase hides its item, and counts for more than a view."""
    log = small_shop().events.filter(pl.col("event") == "view")
    settings = {
        "interactions": {"time": "time", "event": "event"},
        "sources": {"als": {"use": False}},
    }
    engine = Engine(recsys.EngineSettings.parse(settings)).fit(log)
    assert engine.learnt.log.events == ("view",)
    items = engine.items[:2].to_list()
    rows = {"user_id": ["v", "w"], "item_id": items[:1] * 2, "event": ["purchase", "view"]}
    lists = listed(engine.recommend(sessions=pl.DataFrame(rows), k=len(engine.items)))
    assert items[0] not in lists["v"]
    assert items[0] in lists["w"]


def test_since_is_the_stored_history_and_more() -> None:
    """What was bought since is hidden; who did nothing since is served as before."""
    engine = fitted_engine()
    user, other = engine.users[:2]
    plain = engine.recommend([user, other], k=5)
    assert_same_lists(engine.recommend([user, other], k=5, since={}), plain)
    bought = plain["item_id"][0]
    rows = {"user_id": [user], "item_id": [bought], "event": ["purchase"]}
    lists = engine.recommend([other, user, other], k=5, since=pl.DataFrame(rows))
    assert bought not in listed(lists)[user]
    assert_same_lists(lists[:5], plain.filter(pl.col("user_id") == other))
    assert lists["note"].null_count() == len(lists)
    explained = engine.explain(user, k=5, since=pl.DataFrame(rows)).items
    assert explained["item_id"].to_list() == listed(lists)[user]


def test_a_log_cut_and_sent_since_gives_the_histories_of_the_whole() -> None:
    """Stored events and those since stand in one order, and late ones move now."""
    from recsys.asking import Asking

    engine, events = fitted_engine(), small_shop().events
    user, end = engine.users[3], engine.learnt.log.end
    own = events.filter(pl.col("user_id") == user)
    later = own[:1].with_columns(time=pl.lit(end + 5).cast(pl.Datetime("us", "UTC")))
    asking = Asking(engine.learnt, engine.settings)
    stored = asking.asked([user, "new"]).histories
    assert asking.asked([user], since=later).histories.now.tolist() == [end + 5]
    renamed = own.with_columns(user_id=pl.lit("new"))
    found = asking.asked([user, "new"], since=renamed)
    for name in ("items", "events", "times", "weights"):
        whole, half = getattr(found.histories, name), len(getattr(stored, name))
        np.testing.assert_array_equal(whole[:half], whole[half:])
    assert found.remarks.to_list() == [None, "unknown user: since is all that counts"]


def test_what_since_cannot_say_is_counted_and_told() -> None:
    engine = fitted_engine()
    user, item = engine.users[0], engine.items[0]
    rows = {
        "user_id": [user] * 3,
        "item_id": ["nothing", item, item],
        "event": ["view", "hug", "view"],
        "time": [datetime(2020, 1, 1), datetime(2020, 1, 1), datetime(2999, 1, 1)],
    }
    (note,) = set(engine.recommend([user], k=3, since=pl.DataFrame(rows))["note"])
    assert note == (
        "1 events of unknown items left out; 1 events of unknown kinds such as 'hug' left out; "
        "1 events with a time in the future left out"
    )


def test_since_is_of_users() -> None:
    engine = fitted_engine()
    for sessions, since, said in (
        ({"v": []}, {}, "give it with users"),
        (None, {1: ["a"]}, "user ids of this engine are String"),
        (None, {None: ["a"]}, "needs the id of a user"),
    ):
        users = None if sessions is not None else engine.users[:1]
        with pytest.raises(DataError, match=said):
            engine.recommend(users, sessions=sessions, since=since)


LIMITS = {
    "max_k": lambda e: e.recommend(["ann"], k=3),
    "max_users": lambda e: e.recommend(["ann"] * 3),
    "max_sessions": lambda e: e.recommend(sessions={"1": [], "2": [], "3": []}),
    "max_session_events": lambda e: e.recommend(sessions={"1": ["a"] * 3}),
    "max_events": lambda e: e.recommend(sessions={"1": ["a"], "2": ["a", "b"]}),
    "max_items": lambda e: e.recommend(["ann"], exclude=["a", "b", "x"]),
    "max_condition_length": lambda e: e.recommend(["ann"], where="1 = 1"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_named_with_their_setting(letters: Engine, name: str) -> None:
    limits = letters.settings.limits.model_copy(update={name: 2})
    limited = Engine(letters.settings.model_copy(update={"limits": limits}))
    limited._learnt = letters.learnt
    with pytest.raises(DataError, match=rf"at most 2 .*; got [35]: set limits.{name} to raise it"):
        LIMITS[name](limited)


def test_an_endless_iterator_is_read_to_the_limit(letters: Engine) -> None:
    from itertools import repeat

    limits = letters.settings.limits.model_copy(update={"max_users": 5, "max_session_events": 5})
    limited = Engine(letters.settings.model_copy(update={"limits": limits}))
    limited._learnt = letters.learnt
    with pytest.raises(DataError, match="max_users"):
        limited.recommend(repeat("ann"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="max_session_events"):
        limited.recommend(sessions={"v": repeat("a")})


def test_k_of_any_size_is_the_catalogue() -> None:
    engine = fitted_engine()
    most = engine.recommend(engine.users[:1], k=len(engine.items))
    for k in (10**9, 10**40, 10**5000):
        assert engine.recommend(engine.users[:1], k=k)["item_id"].equals(most["item_id"])
    assert engine.explain(engine.users[0], k=10**9).items["item_id"].equals(most["item_id"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.recommend(["ann"], by_value=5),
        lambda e: e.recommend(["ann"], k=-(10**5000)),
        lambda e: e.recommend(["ann"], where=5),
        lambda e: e.similar_items(["a"], source=5),
        lambda e: e.similar_items([None]),
        lambda e: e.explain([["ann"]]),
        lambda e: e.explain("ann", items=["nothing"]),
        lambda e: e.with_final(5),
        lambda e: list(e.recommend_all(k=0)),
        lambda e: e.titles(5),
    ],
)
def test_every_refusal_is_an_error_of_ours(letters: Engine, ask: Callable[[Engine], Any]) -> None:
    with pytest.raises(RecsysError):
        ask(letters)


def test_errors_are_there_beside_the_engine() -> None:
    from recsys.features import errors

    ours = [
        n for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, RecsysError)
    ]
    assert len(ours) >= 9
    for name in ours:
        assert getattr(recsys, name) is getattr(errors, name)
    assert {"DataError", "Engine"} <= set(dir(recsys))


@pytest.mark.parametrize(
    "made",
    [
        lambda ids: pd.DataFrame({"id": ids}),
        lambda ids: pl.LazyFrame({"id": ids}),
        lambda ids: pa.table({"id": ids}),
        lambda ids: pl.DataFrame({"id": ids}),
    ],
    ids=["pandas", "lazy", "pyarrow", "polars"],
)
def test_a_table_of_one_column_is_its_ids(
    letters: Engine, made: Callable[[list[str]], Any]
) -> None:
    assert_same_lists(letters.recommend(made(["ann"]), k=2), letters.recommend(["ann"], k=2))
    excluded = letters.recommend(["ann"], k=2, exclude=made(["a"]))
    assert_same_lists(excluded, letters.recommend(["ann"], k=2, exclude=["a"]))


CODES = {
    "user_id": [1, 1, 2, 2, 3, 3],
    "item_id": [10, 20, 20, 30, 30, 40],
    "event": [1, 2, 1, 2, 1, 2],
    "time": [1_700_000_000 + hour * 3600 for hour in range(6)],
}


def engine_of_codes(**interactions: Any) -> Engine:
    columns = {"time": "time", "event": "event", **interactions}
    events = {"1": {"weight": 0.3, "offer_again": True}, "2": {}}
    settings = EngineSettings.parse({"interactions": columns, "events": events})
    return Engine(settings).fit(pl.DataFrame(CODES))


def test_codes_of_events_and_ids_of_a_request_are_read_as_those_of_the_log() -> None:
    engine, sent = engine_of_codes(), pl.DataFrame(CODES)[2:4]
    right = engine.recommend(sessions=sent)
    assert right["note"].str.contains("unknown").any() is not True
    for kind in (pl.Float64, pl.Decimal(5, 1), pl.String):
        assert_same_lists(engine.recommend(sessions=sent.cast({"event": kind})), right)
    mixed = sent.to_pandas().assign(user_id=np.array([2, "new"], dtype=object))
    assert engine.recommend(sessions=mixed)["user_id"].unique().sort().to_list() == ["2", "new"]
    since = {2: [10], "new": [20]}
    assert sorted(engine.recommend([2], since=since)["item_id"]) == [10, 20, 40]


def test_ids_that_settings_read_as_text_are_asked_for_as_they_stood_in_the_log() -> None:
    engine, sent = engine_of_codes(id_type="string"), pl.DataFrame(CODES)[2:4]
    as_text = sent.cast({"user_id": pl.String, "item_id": pl.String})
    assert_same_lists(engine.recommend(["2"], since=sent), engine.recommend(["2"], since=as_text))
    numbers, texts = (
        engine.recommend(ids, exclude=out) for ids, out in (([2], [10]), (["2"], ["10"]))
    )
    assert sorted(numbers["item_id"]) == sorted(texts["item_id"]) == ["20", "40"]
    beside = engine.recommend([2, "new"], k=1)
    assert beside["item_id"][0] == engine.recommend(["2"], k=1)["item_id"][0]


def test_a_log_of_dislikes_alone_is_called_that() -> None:
    rows = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "event": ["dislike"]})
    settings = EngineSettings.parse({"interactions": {"event": "event"}})
    with pytest.raises(DataError, match="1 of them dislikes, rejected: none"):
        Engine(settings).fit(rows)
