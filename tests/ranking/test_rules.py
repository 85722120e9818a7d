"""Lists under rules, by hand and against a plain walk over the candidates."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Array
from recsys.ranking.rules import Caps, Least, filled

ITEMS = 12
NO_CAPS = Caps.of([], ITEMS)
NO_LEAST = Least(np.zeros((0, ITEMS), bool), np.zeros(0, np.int64))


def lists(*own: list[int]) -> Array:
    return np.array(own, np.int32)


def unpinned(b: int, k: int) -> Array:
    return np.full((b, k), PAD, np.int32)


def kinds(*marked: set[int], need: list[int]) -> Least:
    masks = np.array([[item in own for item in range(ITEMS)] for own in marked])
    return Least(masks, np.array(need, np.int64))


def brands(*most: int) -> Caps:
    """Caps on item % 3, item % 4 and so on; item 0 has no value."""
    columns = [np.where(np.arange(ITEMS) == 0, PAD, np.arange(ITEMS) % (3 + n)) for n in (0, 1)]
    return Caps.of(
        [(own.astype(np.int32), n) for own, n in zip(columns, most, strict=False)], ITEMS
    )


def test_without_rules_the_first_are_taken() -> None:
    full = filled(lists([3, 1, 2], [5, PAD, PAD]), unpinned(2, 2), NO_CAPS, NO_LEAST)
    assert full.columns.tolist() == [[0, 1], [0, PAD]]
    assert (full.held == PAD).all()


def test_a_cap_holds_back_and_is_named() -> None:
    full = filled(lists([3, 6, 9, 1, 4, 2]), unpinned(1, 4), brands(2), NO_LEAST)
    assert full.columns.tolist() == [[0, 1, 3, 4]]
    assert full.held.tolist() == [[PAD, PAD, 0, PAD, PAD, PAD]]


def test_pins_stand_where_they_should_and_count() -> None:
    pins = lists([PAD, 4, PAD])
    full = filled(lists([3, 6, 1, 2, 9]), pins, brands(2), NO_LEAST)
    assert full.columns.tolist() == [[0, 4, 2]]
    assert full.held.tolist() == [[PAD, 0, PAD, PAD, PAD]]


def test_the_last_free_places_stay_empty() -> None:
    pins = lists([PAD, PAD, PAD, 5])
    full = filled(lists([1, 2, 3, 4, 5, 6]), pins, NO_CAPS, NO_LEAST, free=2)
    assert full.columns.tolist() == [[0, PAD, PAD, 5]]


def test_a_kind_is_pulled_up_only_where_it_lacks() -> None:
    new = kinds({7, 8, 2}, need=[2])
    full = filled(lists([2, 1, 3, 7, 8], [7, 1, 8, 2, 3]), unpinned(2, 3), NO_CAPS, new)
    assert full.columns.tolist() == [[0, 1, 3], [0, 1, 2]]
    assert full.pulled.tolist() == [[PAD, PAD, PAD, 0, PAD], [PAD] * 5]
    assert not full.short.any()


def test_too_few_of_a_kind_is_said() -> None:
    full = filled(lists([2, 1, 3]), unpinned(1, 2), NO_CAPS, kinds({3}, {9}, need=[1, 1]))
    assert full.columns.tolist() == [[0, 2]]
    assert full.short.tolist() == [[False, True]]


def test_there_may_be_more_values_than_memory_has_room_for() -> None:
    values = np.array([2**31 - 1] * 4 + [5] * 4 + [PAD] * 4, np.int32)
    full = filled(lists([0, 1, 4, 8, 9]), unpinned(1, 3), Caps.of([(values, 1)], ITEMS), NO_LEAST)
    assert full.columns.tolist() == [[0, 2, 3]]


orders = st.permutations(range(ITEMS)).map(lambda own: own[:9])
requests = st.tuples(st.integers(1, 7), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))


@given(st.lists(orders, min_size=1, max_size=40), requests, st.sets(st.integers(0, 8), max_size=2))
def test_the_rules_are_kept(
    own: list[list[int]], request: tuple[int, int, int, int], pins: set[int]
) -> None:
    k, need, *most = request
    items, caps, new = lists(*own), brands(*most), kinds({1, 5, 9}, need=[need])
    pinned = unpinned(len(own), k + 2)
    for place, column in enumerate(sorted(pins)):
        pinned[:, place] = column
    full = filled(items, pinned, caps, new)
    for row, columns in enumerate(full.columns):
        shown = [own[row][c] for c in columns if c != PAD]
        assert len(set(shown)) == len(shown)
        assert (columns[: len(pins)] == sorted(pins)).all()
        chosen = [c for c in columns[len(pins) :] if c != PAD]
        assert chosen == sorted(chosen)  # the order of the candidates
        for values, limit in zip(caps.values, caps.most, strict=True):
            for value in range(values.max() + 1):
                of_value = [item for item in shown if values[item] == value]
                by_pins = [own[row][c] for c in pins if values[own[row][c]] == value]
                assert len(of_value) <= max(limit, len(by_pins))
        assert full.short[row, 0] == (len({1, 5, 9} & set(shown)) < need)


@given(st.lists(orders, min_size=1, max_size=40), requests)
def test_caps_alone_are_a_plain_walk(
    own: list[list[int]], request: tuple[int, int, int, int]
) -> None:
    k, _, *most = request
    caps = brands(*most)
    full = filled(lists(*own), unpinned(len(own), k), caps, NO_LEAST)
    for row, items in enumerate(own):
        shown: list[int] = []
        for item in items:
            with_it = [*shown, item]
            fits = all(
                sum(values[i] == values[item] for i in with_it) <= limit or values[item] == PAD
                for values, limit in zip(caps.values, caps.most, strict=True)
            )
            if fits and len(shown) < k:
                shown.append(item)
        assert [items[c] for c in full.columns[row] if c != PAD] == shown
