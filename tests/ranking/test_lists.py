"""Chosen against sets in Python; training lists keep every positive and count what was missed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.ranking.lists import Chosen, TrainingLists
from recsys.ranking.position_bias import PositionBias
from tests.worlds import chosen_of, leaving_out, offered

own = st.lists(st.integers(0, 6), unique=True, max_size=5)
batches = st.lists(st.tuples(own, own, own), min_size=1, max_size=4)


def padded(rows: list[list[int]], width: int = 5) -> list[list[int]]:
    return [row + [PAD] * (width - len(row)) for row in rows]


def lists_of(chosen: Chosen) -> list[list[int]]:
    return [each.tolist() for each in np.split(chosen.items, chosen.offsets[1:-1])]


def test_labels_are_the_weights_of_what_was_chosen() -> None:
    chosen = chosen_of([7, 2], [], [4], weights=[3, 0.5, 1])
    labels = chosen.labels(offered([[2, 9, 7, PAD], [2, 7, 4, 1], [0, PAD, PAD, PAD]]))
    assert labels.tolist() == [[0.5, 0, 3, 0], [0] * 4, [0] * 4]
    assert labels.dtype == np.float32


def test_hits() -> None:
    chosen = chosen_of([7, 2], [4])
    hits = chosen.hits(np.array([[7, 4, PAD], [4, 4, 7]], np.int32))
    assert hits.tolist() == [[True, False, False], [True, True, False]]


def test_codes_are_those_of_the_events_that_chose() -> None:
    chosen = replace(chosen_of([7, 2], [4]), events=np.array([2, 0, 255], np.uint8))
    codes = chosen.codes(np.array([[7, 4, PAD, 2], [4, 4, 7, 2]], np.int32))
    assert codes.tolist() == [[2, PAD, PAD, 0], [255, 255, PAD, PAD]]
    assert chosen_of([], []).codes(np.array([[1], [PAD]], np.int32)).tolist() == [[PAD], [PAD]]


def test_what_may_not_be_offered_is_left_out() -> None:
    chosen = chosen_of([0, 1, 2], [1, 3], weights=[1, 2, 3, 4, 5])
    left = chosen.within(leaving_out([2], [1], items=4, mask=[False, True, True, True]))
    assert lists_of(left) == [[1], [3]]
    assert left.weights.tolist() == [2, 5]


def test_nothing_was_chosen() -> None:
    chosen = chosen_of([], [])
    assert chosen.labels(offered([[1, 2], [PAD, PAD]])).tolist() == [[0, 0], [0, 0]]
    assert not chosen.hits(np.array([[1], [2]], np.int32)).any()
    assert lists_of(chosen.within(leaving_out([1], [], items=4))) == [[], []]


@given(batches)
def test_chosen_equals_sets_in_python(batch: list[tuple[list[int], ...]]) -> None:
    taken, items, barred = (list(each) for each in zip(*batch, strict=True))
    barred = [sorted(each) for each in barred]
    chosen, rows = chosen_of(*taken), padded(items)
    hits = [[item in each for item in row] for each, row in zip(taken, rows, strict=True)]
    assert chosen.hits(np.array(rows, np.int32)).tolist() == hits
    assert (chosen.labels(offered(rows)) > 0).tolist() == hits
    left = chosen.within(leaving_out(*barred, items=7, mask=[True] * 5 + [False] * 2))
    assert lists_of(left) == [
        [item for item in each if item not in out and item < 5]
        for each, out in zip(taken, barred, strict=True)
    ]
    queries = np.arange(len(batch))[::-1]
    assert lists_of(chosen.take(queries)) == taken[::-1]


def test_choices_count_for_the_looks_that_their_place_gets() -> None:
    chosen = replace(chosen_of([7, 2], [4], weights=[3, 0.5, 1]), positions=np.array([4, 0, 9]))
    bias = PositionBias(0.5, 2.5)
    assert chosen.weighed(bias).weights.tolist() == [6, 0.5, 2.5]
    assert chosen.weighed(None) is chosen
    assert chosen.factors(bias).tolist() == pytest.approx([6.5 / 3.5, 2.5])
    assert chosen.factors(None).tolist() == [1, 1]
    left = chosen.within(leaving_out([7], [], items=9)).take(np.array([1, 0]))
    assert left.weighed(bias).weights.tolist() == [2.5, 0.5]
    unplaced = chosen_of([1])
    assert unplaced.weighed(bias) is unplaced


def test_weights_of_lists_go_with_them() -> None:
    plain = drawn([[1, 0]], [[1, 2]], 1)
    weighed = replace(drawn([[1, 0], [0, 1]], [[1, 2], [3, 4]], 1), weights=np.array([2.0, 3.0]))
    joined = TrainingLists.joined([weighed, plain])
    assert joined.weights is not None
    assert joined.weights.tolist() == [2, 3, 1]
    some = joined.take(np.array([2, 1])).weights
    assert some is not None
    assert some.tolist() == [1, 3]
    assert TrainingLists.joined([plain, plain]).weights is None


def drawn(
    labels: list[list[float]], items: list[list[int]], negatives: int, seed: int = 0
) -> TrainingLists:
    """Lists whose one feature is the item itself."""
    candidates = offered(items)
    features = candidates.items[:, :, None].astype(np.float32)
    worth = np.array(labels, np.float32)
    rng = np.random.default_rng(seed)
    return TrainingLists.of(features, ("item",), candidates, worth, negatives, rng)


def test_all_positives_and_some_negatives() -> None:
    lists = drawn([[0, 2, 0, 0, 1], [0, 0, 0, 3, 0]], [[5, 6, 7, 8, 9], [1, 2, 3, 4, PAD]], 2)
    assert lists.labels.shape == lists.filled.shape == (2, 4)
    assert lists.features.shape == (2, 4, 1)
    for row, expected in enumerate([{6: 2, 9: 1}, {4: 3}]):
        items = lists.features[row, :, 0][lists.labels[row] > 0]
        worth = lists.labels[row][lists.labels[row] > 0]
        assert dict(zip(items.tolist(), worth.tolist(), strict=True)) == expected
        assert len(set(lists.features[row, lists.filled[row], 0])) == lists.filled[row].sum()
    assert (lists.queries, lists.positives, lists.missed) == (2, 3, 0)


def test_the_unfilled_comes_last_and_only_where_there_is_nothing_else() -> None:
    lists = drawn([[1, 0, 0], [1, 0, 0]], [[4, PAD, PAD], [4, 5, 6]], 9)
    assert lists.filled.tolist() == [[True, False, False], [True] * 3]


@given(
    st.lists(
        st.lists(st.sampled_from([0, 0, 0, 1, 2.5]), min_size=6, max_size=6).filter(any),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 8),
    st.integers(0, 3),
)
def test_no_positive_is_ever_lost(labels: list[list[float]], negatives: int, seed: int) -> None:
    lists = drawn(labels, [list(range(6)) for _ in labels], negatives, seed)
    assert np.sort(lists.labels[lists.labels > 0]).tolist() == sorted(
        label for row in labels for label in row if label > 0
    )
    most = max(sum(label > 0 for label in row) for row in labels)
    assert lists.labels.shape[1] == min(6, most + negatives)
    for row, own_labels in enumerate(labels):
        items = lists.features[row, :, 0].astype(int)
        assert len(set(items.tolist())) == len(items)
        assert lists.labels[row].tolist() == [own_labels[item] for item in items]


def test_negatives_are_drawn_evenly() -> None:
    labels = [[1, 0, 0, 0, 0]] * 4000
    lists = drawn(labels, [list(range(5))] * 4000, 1)
    negatives = lists.features[:, :, 0][lists.labels == 0].astype(int)
    shares = np.bincount(negatives, minlength=5) / 4000
    np.testing.assert_allclose(shares, [0, 0.25, 0.25, 0.25, 0.25], atol=0.03)


def test_the_same_seed_draws_the_same() -> None:
    one, other = (drawn([[1, 0, 0, 0]], [[1, 2, 3, 4]], 2, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.features, other.features)


def test_what_no_source_found_is_counted() -> None:
    lists = drawn([[1, 0, 1]], [[1, 2, 3]], 1).counting(queries=4, positives=9)
    assert (lists.queries, lists.positives, lists.missed) == (4, 9, 7)


def test_lists_of_several_moments_are_one() -> None:
    narrow = drawn([[1, 0]], [[1, 2]], 1).counting(3, 5)
    wide = drawn([[1, 0, 2, 0]], [[3, 4, 5, 6]], 9).counting(2, 2)
    joined = TrainingLists.joined([narrow, TrainingLists.none().counting(1, 1), wide])
    assert joined.labels.shape == (2, 4)
    assert joined.features.shape == (2, 4, 1)
    assert joined.filled.tolist() == [[True, True, False, False], [True] * 4]
    assert joined.labels[0, 2:].tolist() == [0, 0]
    assert joined.features[0, 2:, 0].tolist() == [0, 0]
    assert joined.names == ("item",)
    assert (joined.queries, joined.positives, joined.missed) == (6, 8, 4 + 1 + 0)


def test_grades_stay_with_their_candidates() -> None:
    candidates, rng = offered([[1, 2, 3, 4, 5], [6, 7, 8, 9, PAD]]), np.random.default_rng(0)
    grades = np.array([[0, 2, 0, 0, 1], [0, 0, 0, 3, 0]], np.uint8)
    features = candidates.items[:, :, None].astype(np.float32)
    lists = TrainingLists.of(
        features, ("item",), candidates, grades / np.float32(3), 2, rng, grades, ("a", "b", "c")
    )
    assert lists.grades is not None
    for row, expected in enumerate([{2: 2, 5: 1}, {9: 3}]):
        own = zip(lists.features[row, :, 0].tolist(), lists.grades[row].tolist(), strict=True)
        assert {item: grade for item, grade in own if grade} == expected
    assert lists.outcomes(np.array([1, 0])).sum(axis=1).tolist() == [[1, 1, 1], [2, 1, 0]]
    assert lists.offered == 9
    joined = TrainingLists.joined([lists, lists.counting(5, 7, offered=40)])
    assert joined.grades is not None
    assert joined.grades.shape == joined.labels.shape
    assert joined.offered == 49
    assert TrainingLists.joined([lists, lists.counting(5, 7)]).offered is None


def test_without_grades_there_is_one_outcome() -> None:
    lists = drawn([[0, 2, 1]], [[4, 5, 6]], 9)
    outcomes = lists.outcomes(np.array([0]))
    assert outcomes.shape == (1, 3, 1)
    assert (outcomes[:, :, 0] == (lists.labels > 0)).all()


@pytest.mark.parametrize("parts", [0, 2])
def test_nothing_joined_is_nothing(parts: int) -> None:
    joined = TrainingLists.joined([TrainingLists.none().counting(2, 1)] * parts)
    assert len(joined) == 0
    assert (joined.queries, joined.positives, joined.missed) == (2 * parts, parts, parts)
