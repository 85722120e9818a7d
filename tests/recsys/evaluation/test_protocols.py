"""Every way to cut a log, on logs whose cuts are known by hand."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engine import Engine
from recsys.evaluation.protocols import Window, read_test, windows
from recsys.features.errors import DataError, SettingsError
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.settings import EngineSettings, EvaluationSettings
from tests.shops import ordered_settings, orders

WORDS = {"ann": "abcd", "bob": "bcd", "cat": "dab", "dan": "a"}


def log_of(words: dict[str, str]) -> Interactions:
    return Engine(ordered_settings()).read(orders(words))[0]


def dated(days: dict[str, list[tuple[str, int]]]) -> Interactions:
    rows = [
        (user, item, datetime(2024, 1, day, tzinfo=UTC))
        for user, own in days.items()
        for item, day in own
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "at"], orient="row")
    settings = EngineSettings.parse({"interactions": {"time": "at"}})
    return Engine(settings).read(frame)[0]


def acts(*rows: tuple[str, str, str, int]) -> Interactions:
    """A log of (user, item, event, day)."""
    events = [
        (user, item, event, datetime(2024, 1, day, tzinfo=UTC)) for user, item, event, day in rows
    ]
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "event", "at"], orient="row")
    columns = EngineSettings.parse({"interactions": {"time": "at", "event": "event"}}).interactions
    return read_interactions(frame, columns)[0]


def cut(log: Interactions, test: Interactions | None = None, **settings: object) -> list[Window]:
    return list(windows(log, EvaluationSettings.parse(settings), test))


def chosen(window: Window) -> dict[str, str]:
    """Per user the items to be found."""
    found = window.moment
    users = found.past.users.ids_at(found.histories.users)
    parts = np.split(found.chosen.items, found.chosen.offsets[1:-1])
    return {u: "".join(found.past.items.ids_at(own)) for u, own in zip(users, parts, strict=True)}


def known(window: Window) -> dict[str, str]:
    """Per user the history."""
    found = window.moment.histories
    users = window.moment.past.users.ids_at(found.users)
    parts = np.split(found.items, found.offsets[1:-1])
    items = window.moment.past.items
    return {u: "".join(items.ids_at(own)) for u, own in zip(users, parts, strict=True)}


def test_last_items_are_held_out() -> None:
    (window,) = cut(log_of(WORDS))
    assert chosen(window) == {"ann": "d", "bob": "d", "cat": "b"}
    assert known(window) == {"ann": "abc", "bob": "bc", "cat": "da"}
    assert window.moment.left_out == 1  # dan, whose only item stays in the past


def test_where_nothing_says_what_came_last_it_is_drawn_and_said() -> None:
    rows = [(f"u{n:03}", item, 1) for n in range(400) for item in "abcd"]
    rows += [(f"u{n:03}", "e", 2) for n in range(100)]  # the only item of its day
    one, other = (dated_rows(each) for each in (rows, sorted(rows, key=lambda row: row[1])))
    (window,), (mixed,) = cut(one), cut(other)
    assert chosen(window) == chosen(mixed)
    assert window.about == {"tied_share": 0.75}
    (note,) = window.notes
    assert "75.0% of the held-out events have the very time of another item of their user" in note
    assert "drawn by evaluation.seed = 0; give a finer time, or map interactions.order" in note
    held = list(chosen(window).values())
    assert held.count("e") == 100
    assert all(50 < held.count(item) < 100 for item in "abcd")  # 75, by lot
    (redrawn,) = cut(one, seed=1)
    assert chosen(redrawn) != chosen(window)
    (untied,) = cut(log_of(WORDS))
    assert untied.about == {"tied_share": 0.0}
    assert untied.notes == ()


def test_of_the_tied_those_alone_are_counted_that_are_targets() -> None:
    log = acts(
        ("ann", "a", "view", 1), ("ann", "b", "view", 1),
        ("bob", "a", "view", 1), ("bob", "c", "purchase", 2),
    )  # fmt: skip
    (window,) = cut(log, targets=("purchase",))
    assert window.about == {"tied_share": 0.0}


def test_a_log_without_order_says_that_the_last_is_drawn() -> None:
    rows = [(f"u{n:03}", item, 1) for n in range(40) for item in "abcd"]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row")
    (window,) = cut(read_interactions(frame)[0])
    assert "the log has no order of events: which of them is held out is drawn" in window.notes[0]
    assert window.about == {"tied_share": 1.0}


def dated_rows(rows: list[tuple[str, str, int]]) -> Interactions:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row")
    frame = frame.with_columns(at=pl.datetime(2024, 1, "day"))
    return read_interactions(
        frame, EngineSettings.parse({"interactions": {"time": "at"}}).interactions
    )[0]


DAYS = {
    "ann": [("a", 1), ("b", 5), ("c", 9), ("d", 13)],
    "bob": [("b", 2), ("c", 6), ("d", 10), ("a", 14)],
    "cat": [("c", 11), ("d", 12), ("a", 15), ("b", 16)],
    "dan": [("a", 13)],
}


def test_walking_forward_foretells_each_stretch_from_all_before_it() -> None:
    found = cut(dated(DAYS), protocol="walk-forward", windows=2, share=0.2)
    cutoffs = [window.about["cutoff"] for window in found]
    assert cutoffs == ["2024-01-12T00:00:00+00:00", "2024-01-14T00:00:00+00:00"]
    assert [chosen(window) for window in found] == [
        {"ann": "d", "cat": "d"},
        {"bob": "a", "cat": "ab"},
    ]
    assert [window.moment.left_out for window in found] == [1, 0]
    assert [window.moment.left_out_positives for window in found] == [1, 0]


@given(st.integers(1, 4), st.floats(0.15, 0.2))
def test_windows_in_time_never_look_ahead_and_cover_the_end(n: int, share: float) -> None:
    log = dated(DAYS)
    ends = []
    for window in cut(log, protocol="walk-forward", windows=n, share=share):
        cutoff = int(datetime.fromisoformat(window.about["cutoff"]).timestamp() * 1e6)
        assert (window.moment.past.times < cutoff).all()
        assert (window.moment.histories.times < cutoff).all()
        assert (window.moment.histories.now == cutoff).all()
        ends.append(window.about["last_event"])
    assert len(ends) == n
    assert ends[-1] == "2024-01-16T00:00:00+00:00"


def test_too_many_windows_are_an_error() -> None:
    with pytest.raises(SettingsError, match=r"must be below 1; got 4 x 0\.25"):
        cut(dated(DAYS), protocol="walk-forward", windows=4, share=0.25)


def test_time_needs_a_clock() -> None:
    for protocol in ("time", "walk-forward"):
        with pytest.raises(DataError, match=f"the protocol '{protocol}' needs a time column"):
            cut(log_of(WORDS), protocol=protocol)


def test_a_given_split_is_taken_as_it_comes() -> None:
    log = log_of(WORDS)
    other = orders({"ann": "ze", "bob": "a", "eve": "ab", "cat": "c", "dan": "z"})
    test, _ = read_interactions(other, ordered_settings().interactions)
    (window,) = cut(log, test, protocol="given")
    assert chosen(window) == {"bob": "a", "cat": "c"}
    assert known(window) == {"bob": "bcd", "cat": "dab"}
    assert window.moment.left_out == 1  # eve
    assert window.moment.left_out_positives == 2
    assert window.unknown == 3  # e, and z twice: no item of the log


def test_a_given_split_is_asked_for_right_after_each_users_past() -> None:
    log = dated(DAYS)
    test, _ = read_interactions(pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["c", "b"]}))
    (window,) = cut(log, test, protocol="given")
    assert window.moment.histories.now.tolist() == [log.times[3], log.times[7]]


def test_a_given_split_needs_its_other_half(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[evaluation.test\] path"):
        cut(log_of(WORDS), protocol="given")
    pl.DataFrame({"user_id": ["ann"], "item_id": ["c"]}).write_csv(tmp_path / "test.csv")
    settings = EngineSettings.parse(
        {"evaluation": {"protocol": "given", "test": {"path": "test.csv"}}}
    )
    test = read_test(settings, tmp_path)
    assert test is not None
    assert test.users.ids.to_list() == ["ann"]
    assert read_test(EngineSettings()) is None


def test_nothing_is_learnt_of_those_who_are_folded_in() -> None:
    words = {f"user {n}": "abcdefghij" for n in range(20)} | {"lone": "a"}
    (window,) = cut(log_of(words), protocol="fold-in", fold_users=0.25, fold_share=0.8)
    moment = window.moment
    assert len(moment.histories) == 5
    assert not np.isin(moment.past.user_rows, moment.histories.users).any()
    assert moment.histories.lengths.tolist() == [8] * 5
    assert np.diff(moment.chosen.offsets).tolist() == [2] * 5
    for user, own in known(window).items():
        assert set(own).isdisjoint(chosen(window)[user])
        assert own == "".join(sorted(own))  # in the order of time


def test_who_is_folded_in_depends_on_the_evaluations_seed() -> None:
    words = {f"user {n}": "abcdefghij" for n in range(40)}
    drawn = [
        cut(log_of(words), protocol="fold-in", seed=seed)[0].moment.histories.users.tolist()
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_folding_in_needs_users_with_two_events() -> None:
    with pytest.raises(DataError, match="of 0 that is nobody"):
        cut(log_of({"ann": "a", "bob": "b"}), protocol="fold-in")


BOUGHT = acts(
    ("ann", "a", "view", 1),
    ("ann", "b", "purchase", 2),
    ("bob", "a", "purchase", 1),
    ("bob", "b", "view", 2),
    ("cat", "a", "purchase", 1),
)


def test_users_whose_last_event_is_no_target_are_counted() -> None:
    (window,) = cut(BOUGHT, targets=["purchase"])
    assert chosen(window) == {"ann": "b"}
    assert window.without_target == 1  # bob
    assert window.moment.left_out == 1  # cat, whose only event stays in the past
    assert cut(BOUGHT)[0].without_target == 0


def test_users_folded_in_without_a_target_are_counted() -> None:
    rows = [(f"user {n}", item, "view", day) for n in range(8) for day, item in enumerate("abc", 1)]
    log = acts(*rows, ("late", "a", "purchase", 1), ("late", "b", "purchase", 2))
    (window,) = cut(log, protocol="fold-in", fold_users=0.9, targets=["purchase"])
    assert window.about["held_out_users"] + window.without_target == 8
    assert window.without_target >= 7


def test_users_who_did_something_after_a_cutoff_but_no_target_are_counted() -> None:
    (window,) = cut(BOUGHT, protocol="time", date="2024-01-02", targets=["purchase"])
    assert chosen(window) == {"ann": "b"}
    assert window.without_target == 1


def test_users_who_chose_only_unknown_items_are_counted() -> None:
    log = log_of(WORDS)
    other = orders({"ann": "ze", "bob": "az", "dan": "z", "eve": "z"})
    test, _ = read_interactions(other, ordered_settings().interactions)
    (window,) = cut(log, test, protocol="given")
    assert chosen(window) == {"bob": "a"}
    assert window.unknown == 4
    assert window.unknown_users == 2  # ann and dan; eve has no past
    assert window.moment.left_out == 1


def test_targets_that_only_the_other_half_has() -> None:
    log = acts(("ann", "a", "view", 1), ("bob", "b", "view", 1), ("bob", "c", "view", 2))
    test = acts(("ann", "b", "purchase", 3), ("bob", "a", "view", 3))
    (window,) = cut(log, test, protocol="given", targets=["purchase"])
    assert chosen(window) == {"ann": "b"}
    assert window.without_target == 1
    with pytest.raises(DataError, match=r"unknown target events \['buy'\]; the log has \['view'"):
        cut(log, test, protocol="given", targets=["buy"])
    with pytest.raises(DataError, match=r"unknown target events \['buy'\]"):
        cut(log, test, targets=["buy"])


def test_test_events_that_stand_in_the_log_too_are_noted() -> None:
    log = acts(("ann", "a", "view", 1), ("ann", "b", "view", 2), ("bob", "b", "view", 1))
    test = acts(("ann", "b", "view", 2), ("ann", "a", "view", 3), ("bob", "a", "view", 1))
    (window,) = cut(log, test, protocol="given")
    (note,) = window.notes  # that ann comes back to a on day 3 is no overlap
    assert note.startswith("1 of 3 test events stand in the log too, with the same user, item and")
    untimed, _ = read_interactions(pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["a", "a"]}))
    (note,) = cut(log, untimed, protocol="given")[0].notes
    assert note.startswith("1 of 2 test events stand in the log too, with the same user and item:")
    assert cut(log, acts(("bob", "a", "view", 3)), protocol="given")[0].notes == ()


TIED = {"ann": [("a", 1), ("b", 9)], "bob": [("b", 2), ("a", 9)], "cat": [("c", 3), ("a", 9)]}


def test_a_share_that_ties_make_far_larger_is_noted() -> None:
    (window,) = cut(dated(TIED), protocol="time", share=0.2)
    assert window.about["held_share"] == 0.5
    (note,) = window.notes
    assert "20.0% of the events was asked for, and 50.0% are held out" in note
    assert "3 events have that very time" in note
    assert cut(dated(TIED), protocol="time", share=0.3)[0].notes == ()
    assert cut(dated(TIED), protocol="time", date="2024-01-09")[0].notes == ()


def test_windows_that_coincide_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"coincide at 2024-01-09T00.*set fewer windows or a larger"
    ):
        cut(dated(TIED), protocol="walk-forward", windows=2, share=0.2)


@pytest.mark.parametrize(
    ("protocol", "setting", "users"),
    [
        ("last-item", {"date": "2024-01-01"}, "'time' do"),
        ("walk-forward", {"date": "2024-01-01"}, "'time' do"),
        ("fold-in", {"share": 0.2}, "'time' and 'walk-forward' do"),
        ("time", {"windows": 2}, "'walk-forward' do"),
        ("given", {"fold_users": 0.2}, "'fold-in' do"),
        ("last-item", {"fold_share": 0.5}, "'fold-in' do"),
    ],
)
def test_a_setting_that_the_protocol_does_not_use_is_an_error(
    protocol: str, setting: dict[str, object], users: str
) -> None:
    (name,) = setting
    match = f"the protocol '{protocol}' does not use evaluation.{name} = .*; of protocols {users}"
    with pytest.raises(SettingsError, match=match):
        EvaluationSettings.parse({"protocol": protocol, **setting})


def test_settings_that_name_every_default_are_no_error() -> None:
    for settings in (EvaluationSettings(), EvaluationSettings(protocol="time", date="2024-01-01")):
        assert EvaluationSettings.parse(settings.model_dump()) == settings
