"""Diverse orders, against a greedy choice that knows no shortcut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Array
from recsys.ranking.diversity import Method, diversified, pairwise_cosines, relevance, shared_labels

OWN = 0.01  # of an item that is like no other, in a DPP
seeds = st.integers(0, 10_000)
strengths = st.sampled_from([0.1, 0.5, 0.9, 1.0])


def drawn(seed: int, lists: int = 3, width: int = 9) -> tuple[Array, Array]:
    """Relevance, best first, and similarities of vectors of which some are equal."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(width, 4)).astype(np.float32)
    vectors[1] = vectors[0]
    items = np.array([rng.permutation(width) for _ in range(lists)], np.int32)
    own = -np.sort(-rng.random((lists, width)), axis=1)
    return relevance(own.astype(np.float32)), pairwise_cosines(vectors, items)


def mmr_gain(own: Array, alike: Array, taken: list[int], more: int, strength: float) -> float:
    nearest = max((alike[more, i] for i in taken), default=0.0)
    return float((1 - strength) * own[more] - strength * nearest)


def dpp_gain(own: Array, alike: Array, taken: list[int], more: int, strength: float) -> float:
    """By two determinants of the kernel, which costs the cube of the list."""
    kernel = (1 - OWN) * alike.astype(np.float64)
    np.fill_diagonal(kernel, 1)
    with_it, without = [*taken, more], taken
    log = [np.linalg.slogdet(kernel[np.ix_(own, own)])[1] for own in (with_it, without) if own]
    volume = log[0] - (log[1] if len(log) > 1 else 0)
    return float((1 - strength) * own[more] + strength * volume)


@pytest.mark.parametrize(("method", "gain"), [("mmr", mmr_gain), ("dpp", dpp_gain)])
@given(seed=seeds, strength=strengths)
def test_every_step_takes_what_gains_most(method: Method, gain, seed: int, strength: float) -> None:  # type: ignore[no-untyped-def]
    own, alike = drawn(seed)
    places = diversified(own, alike, strength, method)
    for row in range(len(own)):
        assert sorted(places[row]) == list(range(own.shape[1]))
        for step, chosen in enumerate(places[row]):
            taken = [int(i) for i in places[row, :step]]
            gains = {
                int(i): gain(own[row], alike[row], taken, int(i), strength)
                for i in places[row, step:]
            }
            assert gains[int(chosen)] >= max(gains.values()) - 1e-4


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@given(seed=seeds)
def test_without_strength_the_order_stays(method: Method, seed: int) -> None:
    own, alike = drawn(seed)
    own[:, 3:5] = own[:, 3:4]  # equals too
    places = diversified(own, alike, 0.0, method)
    assert (places == np.arange(own.shape[1])).all()


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@given(seed=seeds, steps=st.integers(0, 12))
def test_fewer_steps_begin_the_same_order(method: Method, seed: int, steps: int) -> None:
    own, alike = drawn(seed)
    whole, some = diversified(own, alike, 0.5, method), diversified(own, alike, 0.5, method, steps)
    assert (some[:, :steps] == whole[:, :steps]).all()
    assert (np.diff(some[:, steps:], axis=1) > 0).all()
    assert (np.sort(some, axis=1) == np.arange(own.shape[1])).all()


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_a_twin_gives_way_to_what_is_unlike(method: Method) -> None:
    own = np.array([[1.0, 0.95, 0.5, -np.inf]], np.float32)
    alike = np.array([[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]], np.float32)
    assert diversified(own, alike, 0.5, method).tolist() == [[0, 2, 1, 3]]


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_what_has_no_score_stays_last(method: Method) -> None:
    own = np.full((40, 3), -np.inf, np.float32)
    own[:, 0] = 0
    places = diversified(own, np.zeros((40, 3, 3), np.float32), 1.0, method)
    assert (places == [0, 1, 2]).all()


def test_more_of_the_same_label_is_taken_when_nothing_else_is_left() -> None:
    codes = np.array([[0, 0, 0, 1, 1, PAD]], np.int32)
    alike = shared_labels(codes, np.arange(6, dtype=np.int32)[None])
    own = np.linspace(1, 0, 6, dtype=np.float32)[None]
    assert diversified(own, alike, 0.5, "dpp").tolist() == [[0, 3, 5, 1, 2, 4]]


def test_relevance_is_within_0_and_1() -> None:
    own = np.array([[3, 1, -1, -np.inf], [2, 2, 2, 2], [-np.inf] * 4], np.float32)
    expected = [[1, 0.5, 0, -np.inf], [0, 0, 0, 0], [-np.inf] * 4]
    np.testing.assert_array_equal(relevance(own), np.array(expected, np.float32))


def test_items_without_a_vector_are_like_nothing() -> None:
    vectors = np.array([[2, 0], [0, 0], [1, 1]], np.float32)
    alike = pairwise_cosines(vectors, np.array([[0, 1, 2, PAD]], np.int32))
    half = np.sqrt(0.5)
    expected = [[1, 0, half, 0], [0, 0, 0, 0], [half, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(alike[0], expected, atol=1e-6)


def test_labels_are_shared_by_column_and_never_by_their_absence() -> None:
    codes = np.array([[0, 0, PAD, PAD], [1, 2, 1, 1]], np.int32)
    alike = shared_labels(codes, np.array([[0, 1, 2, 3, PAD]], np.int32))[0]
    assert alike[0].tolist() == [1, 0.5, 0.5, 0.5, 0]
    assert alike[2].tolist() == [0.5, 0, 0.5, 0.5, 0]
