import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.columns import LogColumns
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions


def read(users, times):
    rows = pl.DataFrame(
        {
            "user_id": list(users),
            "item_id": [f"i{n}" for n in range(len(times))],
            "n": times,
            "event": ["view", "purchase"] * (len(times) // 2) + ["view"] * (len(times) % 2),
        }
    )
    return read_interactions(rows, LogColumns(order="n", event="event"))[0]


@pytest.fixture(scope="module")
def log():
    return read("aaabcc", [1, 2, 5, 3, 2, 4])


def test_counts(log):
    assert log.counts.tolist() == [3, 1, 2]
    assert log.item_counts.tolist() == [1] * 6
    assert log.offsets.tolist() == [0, 3, 4, 6]
    assert log.active_users().tolist() == [0, 1, 2]


def test_the_end_is_when_the_last_event_was(log):
    assert log.end == 5
    assert log.where(log.times < 3).end == 2
    assert log.where(log.times > 9).end == 0


def test_a_cut_in_time_keeps_the_vocabularies(log):
    past, future = log.split_at(3)
    assert past.times.tolist() == [1, 2, 2]
    assert future.times.tolist() == [5, 3, 4]
    assert past.users is future.users is log.users
    assert past.active_users().tolist() == [0, 2]


def test_the_last_event_of_each_user_who_has_two(log):
    past, last = log.split_last()
    assert last.user_rows.tolist() == [0, 2]
    assert last.times.tolist() == [5, 4]
    assert past.times.tolist() == [1, 2, 3, 2]


def test_one_event_of_each_user_who_has_two_is_drawn(log):
    drawn = []
    for seed in range(20):
        past, held = log.split_drawn(np.random.default_rng(seed))
        assert held.user_rows.tolist() == [0, 2]
        assert sorted([*past.item_rows, *held.item_rows]) == [0, 1, 2, 3, 4, 5]
        drawn.append(int(held.item_rows[0]))
    assert set(drawn) == {0, 1, 2}


def test_the_last_two_events_of_each_user_who_keeps_one(log):
    past, last = log.split_last(2)
    assert last.times.tolist() == [2, 5]
    assert past.times.tolist() == [1, 3, 2, 4]


def test_saved_and_loaded_it_is_the_same(log, tmp_path):
    log.save(tmp_path)
    loaded = Interactions.load(tmp_path)
    assert loaded.events == log.events == ("view", "purchase")
    assert loaded.clock == "order"
    assert loaded.users.ids.equals(log.users.ids)
    assert loaded.items.ids.equals(log.items.ids)
    for name in ("user_rows", "item_rows", "event_codes", "times", "weights"):
        assert np.array_equal(getattr(loaded, name), getattr(log, name))
        assert getattr(loaded, name).dtype == getattr(log, name).dtype


logs = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), min_size=1)


@given(logs, st.integers(-1, 6))
def test_no_event_of_the_past_is_at_or_after_the_cutoff(rows, cutoff):
    log = read(*zip(*rows, strict=True))
    past, future = log.split_at(cutoff)
    assert len(past) + len(future) == len(log)
    assert (past.times < cutoff).all()
    assert (future.times >= cutoff).all()


@given(logs, st.integers(1, 3), st.integers(0, 2))
def test_what_is_held_out_comes_after_what_is_left(rows, n, least):
    log = read(*zip(*rows, strict=True))
    past, held = log.split_last(n, least)
    for user in range(len(log.users)):
        left, later = past.times[past.user_rows == user], held.times[held.user_rows == user]
        assert len(later) in (0, n)
        assert len(left) >= least or not len(later)
        assert not len(left) or not len(later) or left.max() <= later.min()
