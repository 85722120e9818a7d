"""Places by lot: the probabilities that are said are those that happen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Array
from recsys.ranking.exploration import (
    Drawn,
    drawn,
    lots,
    mixed,
    placed,
    probabilities,
    uniform,
)
from recsys.ranking.rules import Caps

NO_CAPS = Caps.of([], 40)


def keys(n: int, seed: int = 0) -> Array:
    return mixed(np.arange(n, dtype=np.uint64) + np.uint64(seed))


def dealt(items: Array, on: list[int], caps: Caps, slots: int, depth: int = 100) -> Array:
    return lots(items, items != PAD, np.array([on], np.int32), caps, slots, depth)


def test_candidates_behind_the_list_are_dealt_out() -> None:
    items = np.arange(8, dtype=np.int32)[None]
    assert dealt(items, [0, 2], NO_CAPS, 2).tolist() == [[PAD, 0, PAD, 1, 0, 1, 0, 1]]
    assert dealt(items, [0, 2], NO_CAPS, 2, depth=3).tolist() == [
        [PAD, 0, PAD, 1, 0, PAD, PAD, PAD]
    ]


def test_lots_never_pass_a_cap_together() -> None:
    caps = Caps.of([(np.array([0, 1, 1, 1, 0, 0, 2, PAD], np.int32), 2)], 8)
    items = np.arange(8, dtype=np.int32)[None]
    # Of value 0 one is on the list, so one lot may hold it; of value 1 both may.
    assert dealt(items, [0], caps, 2).tolist() == [[PAD, 0, 1, 0, 1, 1, 0, 0]]


def test_there_may_be_more_values_than_memory_has_room_for() -> None:
    most = 2**31 - 1
    caps = Caps.of([(np.array([0, most, most, most, 0, 5, 5, PAD], np.int32), 1)], 8)
    items = np.arange(8, dtype=np.int32)[None]
    assert dealt(items, [0], caps, 2).tolist() == [[PAD, 0, 0, 0, PAD, 1, 1, 1]]


@given(st.integers(0, 10_000), st.integers(1, 4), st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_no_draw_of_all_lots_passes_a_cap(seed: int, slots: int, most: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-1, 4, (2, 15)).astype(np.int32)
    caps = Caps.of(list(zip(values, most, strict=True)), 15)
    items = rng.permutation(15).astype(np.int32)[None]
    own = dealt(items, [0], caps, slots)[0]
    for _ in range(20):
        won = [rng.choice(np.flatnonzero(own == lot)) for lot in range(slots) if lot in own]
        shown = items[0, [0, *won]]
        for column, limit in zip(values, most, strict=True):
            counts = np.bincount(column[shown][column[shown] != PAD], minlength=1)
            assert counts.max() <= limit


def test_what_is_drawn_of_some_is_found_among_all() -> None:
    won = Drawn(np.array([[1, PAD]], np.int32), np.array([[0.5, 1]], np.float32))
    assert won.among(np.array([[4, 7, 9]])).columns.tolist() == [[7, PAD]]


@pytest.mark.parametrize("temperature", [None, 0.5, 2.0])
def test_what_is_said_is_what_happens(temperature: float | None) -> None:
    draws, slots = 40_000, 3
    items = np.arange(11, dtype=np.int32)[None]
    logits = np.linspace(2, -2, 11, dtype=np.float32)[None]
    own = dealt(items, [0, 1], NO_CAPS, slots)
    chances = probabilities(own, logits, slots, temperature)
    np.testing.assert_allclose(chances.sum(axis=2), 1)
    result = drawn(np.repeat(chances, draws, axis=0), keys(draws))
    for slot in range(slots):
        seen = np.bincount(result.columns[:, slot], minlength=11) / draws
        error = np.sqrt(chances[0, slot] * (1 - chances[0, slot]) / draws)
        assert (np.abs(seen - chances[0, slot]) <= 4 * error + 1e-12).all()
    said = np.take_along_axis(chances[0], result.columns.T, axis=1).T
    np.testing.assert_allclose(result.propensity, said, rtol=1e-6)
    assert all(len(set(row)) == slots for row in result.columns.tolist())
    # One lot tells nothing of another.
    together = np.corrcoef(result.columns.T)
    assert np.abs(together - np.eye(slots)).max() < 0.03


def test_a_softmax_prefers_high_scores_and_even_ones_are_even() -> None:
    own = np.array([[0, 0, PAD]], np.int32)
    logits = np.array([[np.log(3), 0, 9]], np.float32)
    np.testing.assert_allclose(probabilities(own, logits, 1, 1.0)[0, 0], [0.75, 0.25, 0])
    np.testing.assert_allclose(probabilities(own, logits, 1, None)[0, 0], [0.5, 0.5, 0])


def test_an_empty_lot_gives_nothing() -> None:
    own = np.array([[0, PAD]], np.int32)
    result = drawn(probabilities(own, np.zeros((1, 2), np.float32), 2, 1.0), keys(1))
    assert result.columns.tolist() == [[0, PAD]]
    assert result.propensity.tolist() == [[1, 1]]


def test_lots_take_the_last_empty_places() -> None:
    won = Drawn(np.array([[8, 9]], np.int32), np.array([[0.5, 0.25]], np.float32))
    columns, propensity = placed(np.array([[3, PAD, PAD, 4, PAD, 5]], np.int32), won)
    assert columns.tolist() == [[3, PAD, 8, 4, 9, 5]]
    assert propensity.tolist() == [[1, 1, 0.5, 1, 0.25, 1]]


@given(st.integers(0, 10_000))
def test_a_key_decides_alone(seed: int) -> None:
    """The same list whatever stands beside it in a block."""
    chances = np.full((5, 2, 4), 0.25)
    whole = drawn(chances, keys(5, seed))
    alone = drawn(chances[:1], keys(5, seed)[3:4])
    assert whole.columns[3].tolist() == alone.columns[0].tolist()


def test_uniform_is_even_and_below_1() -> None:
    values = uniform(keys(50_000))
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.bincount((values * 10).astype(int), minlength=10)
    assert np.abs(counts - 5_000).max() < 4 * np.sqrt(5_000)
