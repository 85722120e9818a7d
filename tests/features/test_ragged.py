from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.features import ragged
from recsys.features.arrays import PAD


def held(lists):
    offsets = ragged.offsets_of(np.array([len(each) for each in lists], np.int64))
    return offsets, np.array([value for each in lists for value in each], np.int32)


def lists_of(offsets, values):
    return [values[a:b].tolist() for a, b in pairwise(offsets)]


LISTS = [[5, 6], [], [7, 8, 9]]


def test_offsets():
    assert ragged.offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]


def test_gather_takes_lists_in_any_order_and_more_than_once():
    offsets, values = held(LISTS)
    chosen, flat = ragged.gather(offsets, np.array([2, 0, 2, 1]))
    assert lists_of(chosen, values[flat]) == [[7, 8, 9], [5, 6], [7, 8, 9], []]


def test_owners():
    assert ragged.owners(held(LISTS)[0]).tolist() == [0, 0, 2, 2, 2]


def test_last_is_newest_first_and_padded():
    offsets, values = held(LISTS)
    assert ragged.last(offsets, values, 2).tolist() == [[6, 5], [PAD, PAD], [9, 8]]


def test_last_of_nothing():
    assert ragged.last(*held([[], []]), 3).tolist() == [[PAD] * 3] * 2


@given(st.lists(st.lists(st.integers(0, 99)), min_size=1), st.data())
def test_gather_is_indexing_of_lists(lists, data):
    offsets, values = held(lists)
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1)))
    new, flat = ragged.gather(offsets, np.array(chosen, np.int64))
    assert lists_of(new, values[flat]) == [lists[number] for number in chosen]


@given(st.lists(st.lists(st.integers(0, 99)), min_size=1), st.integers(1, 5))
def test_last_is_slicing_of_lists(lists, n):
    expected = [(each[::-1] + [PAD] * n)[:n] for each in lists]
    assert ragged.last(*held(lists), n).tolist() == expected
