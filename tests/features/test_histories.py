import pickle
from copy import deepcopy

import numpy as np
import polars as pl
import pytest

from recsys.features.arrays import PAD
from recsys.features.columns import LogColumns
from recsys.features.histories import Histories, anonymous
from recsys.features.reading import read_interactions


@pytest.fixture(scope="module")
def log():
    """User a had items x, y, x at 1, 2, 5; user b had z at 3; user c had y, z at 2, 4."""
    rows = pl.DataFrame(
        {
            "user_id": list("aaabcc"),
            "item_id": list("xyxzyz"),
            "n": [1, 2, 5, 3, 2, 4],
            "w": [1, 1, 2, 1, 1, 1],
        }
    )
    return read_interactions(rows, LogColumns(order="n", weight="w"))[0]


def rows(*values):
    return np.array(values, np.int32)


def test_histories_of_users_in_any_order(log):
    histories = Histories.of(log, rows(2, 0))
    assert histories.users.tolist() == [2, 0]
    assert histories.offsets.tolist() == [0, 2, 5]
    assert histories.items.tolist() == [1, 2, 0, 1, 0]
    assert histories.times.tolist() == [2, 4, 1, 2, 5]
    assert histories.lengths.tolist() == [2, 3]
    assert histories.now.tolist() == [5, 5]


def test_now_is_one_moment_or_one_for_each(log):
    assert Histories.of(log, rows(0, 1), now=9).now.tolist() == [9, 9]
    assert Histories.of(log, rows(0, 1), now=9).now.flags.writeable
    assert Histories.of(log, rows(0, 1), now=np.array([7, 8])).now.tolist() == [7, 8]


def test_the_last_items_newest_first(log):
    last = Histories.of(log, rows(0, 1, 2)).last(2)
    assert last.tolist() == [[0, 1], [2, PAD], [2, 1]]


def test_the_matrix_sums_weights(log):
    assert Histories.of(log, rows(0, 1)).matrix(3).toarray().tolist() == [[3, 1, 0], [0, 0, 1]]


def test_a_user_without_events_has_an_empty_history(log):
    before, _ = log.split_at(2)
    histories = Histories.of(before, rows(1, 0))
    assert histories.lengths.tolist() == [0, 1]
    assert histories.last(1).tolist() == [[PAD], [0]]


def test_anonymous_sessions():
    sessions = anonymous(rows(4, 5, 6), np.array([0, 1, 3]), now=9)
    assert not sessions.timed
    assert sessions.users.tolist() == [PAD, PAD]
    assert sessions.last(2).tolist() == [[4, PAD], [6, 5]]
    assert sessions.now.tolist() == [9, 9]


def test_what_is_made_of_histories_is_made_once_for_each_maker(log):
    histories, asked = Histories.of(log, rows(0, 1)), []

    def count(these):
        asked.append(these)
        return these.lengths

    one, other = object(), object()
    first = histories.once(one, count)
    assert histories.once(one, count) is first
    assert histories.once(other, count).tolist() == first.tolist() == [3, 1]
    assert asked == [histories, histories]


def test_of_two_things_by_one_maker_each_is_given_as_itself(log):
    histories, maker = Histories.of(log, rows(0, 1)), object()

    def count(these):
        return these.lengths.tolist()

    def newest(these):
        return these.last(1).shape

    for _ in range(2):
        assert histories.once(maker, count) == [3, 1]
        assert histories.once(maker, newest) == (2, 1)


def test_of_a_copy_nothing_has_been_made(log):
    histories, maker = Histories.of(log, rows(0, 1)), object()
    given = ["the original's", "a deep copy's", "a pickled copy's"]

    def give(these):
        return given[0]

    assert histories.once(maker, give) == given[0]
    for copied in (deepcopy(histories), pickle.loads(pickle.dumps(histories))):
        given.pop(0)
        assert copied.once(maker, give) == given[0]
        assert copied.items.tolist() == histories.items.tolist()
