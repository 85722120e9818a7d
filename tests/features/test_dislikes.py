"""Dislikes: how they are read, what they hide, and that they are no interest."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.columns import DEFAULT_EVENTS, EventType, LogColumns
from recsys.features.dislikes import Dislikes
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.fingerprint import of_log

EVENTS = {"view": DEFAULT_EVENTS["view"], "no": EventType(dislike=True)}


def read(
    rows: list[tuple[Any, ...]], columns: str = "user item time event", **more: Any
) -> Interactions:
    events = more.pop("events", EVENTS)
    names = columns.split()
    told = {name: name for name in names if name not in ("rating", "time")}
    told |= {"order": "time", **more}
    table = pl.DataFrame(rows, schema=names, orient="row", strict=False)
    return read_interactions(table, LogColumns.parse(told), events=events)[0]


def pairs(log: Interactions) -> list[tuple[str, str]]:
    return [
        (log.users.ids[int(u)], log.items.ids[int(i)])
        for u, i in zip(log.user_rows, log.item_rows, strict=True)
    ]


def disliked(log: Interactions) -> list[tuple[str, str]]:
    assert log.dislikes is not None
    return [
        (log.users.ids[int(u)], log.items.ids[int(i)])
        for u, i in zip(log.dislikes.owners, log.dislikes.items, strict=True)
    ]


ROWS = [
    ("u", "a", 10, "view"),
    ("u", "b", 20, "view"),
    ("u", "a", 30, "no"),
    ("v", "a", 40, "view"),
    ("w", "c", 50, "no"),
]


def test_a_dislike_is_no_event_and_is_kept_beside_them() -> None:
    log = read(ROWS)
    assert log.events == ("view",)
    assert pairs(log) == [("u", "a"), ("u", "b"), ("v", "a")]
    assert disliked(log) == [("u", "a"), ("w", "c")]
    assert log.item_counts.tolist() == [2, 1, 0]  # c is known and nobody's


def test_what_was_had_and_then_disliked_is_no_interest() -> None:
    log = read(ROWS)
    assert pairs(log.of_interest()) == [("u", "b"), ("v", "a")]
    histories = Histories.of(log, np.arange(3, dtype=np.int32))
    assert histories.lengths.tolist() == [1, 1, 0]
    assert histories.items.tolist() == [1, 0]


def test_a_history_knows_only_the_dislikes_of_its_past() -> None:
    log = read(ROWS)
    before = Histories.of(log, np.zeros(1, np.int32), now=25)
    assert before.items.tolist() == [0, 1]
    assert before.dislikes is not None
    assert not len(before.dislikes)
    past, rest = log.split_at(25)
    assert disliked(past) == []
    assert disliked(rest) == [("u", "a"), ("w", "c")]


def test_who_changes_their_mind_is_interested_again() -> None:
    log = read([("u", "a", 10, "no"), ("u", "a", 20, "view")])
    assert pairs(log.of_interest()) == [("u", "a")]
    assert disliked(log) == [("u", "a")]  # and it stays hidden


def test_without_the_last_event_later_dislikes_are_unknown() -> None:
    rows = [
        ("u", "a", 10, "view"),
        ("u", "z", 15, "no"),
        ("u", "b", 20, "view"),
        ("u", "a", 30, "no"),
    ]
    past, last = read(rows).split_last()
    assert pairs(past) == [("u", "a")]
    assert disliked(past) == [("u", "z")]
    assert pairs(last) == [("u", "b")]


def test_ratings_below_the_threshold_are_dislikes() -> None:
    rows = [
        ("u", "a", 10, "5"), ("u", "b", 20, "2"), ("u", "c", 30, None), ("u", "d", 40, "3"),
        ("u", "e", 50, "bad"), ("u", "f", 60, "-1"), ("u", "g", 70, "nan"),
    ]  # fmt: skip
    log = read(rows, "user item time rating", rating="rating", dislike_below=3)
    assert pairs(log) == [("u", "a"), ("u", "c"), ("u", "d")]
    assert disliked(log) == [("u", "b"), ("u", "f")]
    assert set(log.weights.tolist()) == {1.0}


def test_a_dislike_needs_no_weight() -> None:
    """Shops write it as -1, 0 or nothing at all."""
    rows = [("u", f"i{n}", n, "no", w) for n, w in enumerate([-1.0, 0.0, None, np.nan, 2.0])]
    log = read([("u", "a", 9, "view", 2.0), *rows], "user item time event weight")
    assert len(disliked(log)) == 5
    assert log.weights.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize("name", ["dislike", "thumbs_down", "not_interested"])
def test_usual_names_are_understood(name: str) -> None:
    log = read([("u", "a", 1, "view"), ("u", "b", 2, name)], events=DEFAULT_EVENTS)
    assert disliked(log) == [("u", "b")]


def test_logs_that_cannot_say_no_have_none() -> None:
    assert read([("u", "a", 1)], "user item time").dislikes is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"dislike": True, "weight": 0.5},
        {"dislike": True, "offer_again": True},
        {"dislike": True, "impression": True},
        {"hides": "product", "offer_again": True},
        {"hides": "shop"},
    ],
)
def test_what_says_two_things_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        EventType.parse(wrong)


@pytest.mark.parametrize("wrong", [{"rating": "stars"}, {"dislike_below": 3}])
def test_ratings_need_a_threshold_and_a_threshold_ratings(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="rating and dislike_below go together"):
        LogColumns.parse(wrong)


def test_what_looks_like_a_dislike_or_a_rating_is_told() -> None:
    rows = [("u", f"i{n}", n, "dislike", 1 + n % 5) for n in range(10)]
    told = {"user": "user", "item": "item", "order": "time", "event": "event", "weight": "stars"}
    table = pl.DataFrame(rows, schema=list(told.values()), orient="row")
    events = {"dislike": EventType(weight=1e-6)}
    _, rejections = read_interactions(table, LogColumns.parse(told), events=events)
    said = "\n".join(rejections.notes)
    assert "event 'dislike' counts as interest (weight 1e-06)" in said
    assert "weights 'stars' look like ratings from 1 to 5" in said
    _, rejections = read_interactions(
        table.with_columns(stars=pl.col("time") * 1.7 + 1), LogColumns.parse(told), events=events
    )
    assert "look like ratings" not in "\n".join(rejections.notes)


def test_dislikes_are_saved_and_part_of_the_fingerprint(tmp_path: Any) -> None:
    log = read(ROWS)
    log.save(tmp_path / "log")
    again = Interactions.load(tmp_path / "log")
    assert disliked(again) == disliked(log)
    assert of_log(again) == of_log(log)
    assert of_log(log) != of_log(read(ROWS[:-1]))


rows_of = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9), st.booleans()), max_size=30
)


@given(rows_of, st.integers(0, 9))
def test_covered_is_what_sets_say(rows: list[tuple[int, int, int, bool]], now: int) -> None:
    no = np.array([(u, i, t) for u, i, t, said_no in rows if said_no], np.int64).reshape(-1, 3)
    yes = np.array([(u, i, t) for u, i, t, said_no in rows if not said_no]).reshape(-1, 3)
    dislikes = Dislikes.of(no[:, 0], no[:, 1], no[:, 2], 4).until(now)
    expected = [
        any(u == v and i == j and t <= at <= now for v, j, at in no.tolist())
        for u, i, t in yes.tolist()
    ]
    yes = yes.astype(np.int64)
    assert dislikes.cover(yes[:, 0], yes[:, 1], yes[:, 2]).tolist() == expected
    assert dislikes.counts(5).sum() == len({(u, i) for u, i, t in no.tolist() if t <= now})
    assert len(dislikes.take(np.array([3, -1, 0]))) == sum(
        t <= now and u in (0, 3) for u, _, t in no.tolist()
    )
