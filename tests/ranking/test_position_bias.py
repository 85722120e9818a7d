"""The decay of looks down a list, and a ranker that learns from choices made under it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import poisson

from recsys.features.arrays import Array
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.position_bias import PositionBias

PLACES = np.arange(1, 21)


def counted(decay: float, shown: Array, rate: float = 0.1) -> tuple[Array, Array]:
    """What is chosen at each place if all is as expected, and what is shown; nothing at 0."""
    chosen = np.concatenate([[0], shown * rate * PLACES**-decay])
    return chosen, np.concatenate([[0], shown])


@pytest.mark.parametrize("decay", [0.0, 0.3, 1.0, 2.5])
def test_a_power_law_is_found_again(decay: float) -> None:
    chosen, shown = counted(decay, np.linspace(10_000, 2_000, 20))
    bias = PositionBias.fitted(chosen, shown, 10)
    assert bias is not None
    assert bias.decay == pytest.approx(decay, abs=1e-6)


@given(seed=st.integers(0, 10_000))
def test_the_decay_is_the_likeliest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected, shown = counted(rng.uniform(0.2, 2), rng.integers(500, 5_000, 20))
    chosen = rng.poisson(expected)
    bias = PositionBias.fitted(chosen, shown, 10)

    def loss(of: Array) -> float:
        return float(
            -poisson.logpmf(chosen[1:], shown[1:] * np.exp(of[0] - of[1] * np.log(PLACES))).sum()
        )

    found = minimize(loss, [-2.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-6})
    assert bias is not None
    assert bias.decay == pytest.approx(max(found.x[1], 0), abs=1e-3)


def test_what_grows_down_the_list_is_no_bias_and_what_ends_at_once_is_steep() -> None:
    chosen, shown = counted(-0.5, np.full(20, 1000.0))
    assert PositionBias.fitted(chosen, shown, 10) == PositionBias(0.0, 10)
    chosen[2:] = 0
    assert PositionBias.fitted(chosen, shown, 10) == PositionBias(5.0, 10)


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ([0, 60, 39], [0, 500, 500]),  # too few choices
        ([7, 600], [0, 5000]),  # one place
        ([9, 600, 100], [0, 0, 300]),  # shown at one place
        ([500], [0, 5000, 4000]),  # of no choice the place is known
    ],
)
def test_too_little_tells_nothing(chosen: list[int], shown: list[int]) -> None:
    assert PositionBias.fitted(np.array(chosen), np.array(shown), 10) is None


def test_what_a_choice_counts() -> None:
    weights = PositionBias(0.5, 3).weights(np.array([0, 1, 4, 9, 100], np.uint16))
    assert weights.tolist() == [1, 1, 2, 3, 3]


def test_a_ranker_learns_merit_and_not_the_old_order() -> None:
    """Lists were shown by an old score that says nothing; one item of each is met, and chosen by
    its merit and the looks that its place gets."""
    rng = np.random.default_rng(0)
    n, width, decay = 40_000, 10, 1.0
    merit = rng.random((n, width), np.float32)
    old = -np.sort(-rng.random((n, width), np.float32), axis=1)  # shown in this order
    looks = np.arange(1, width + 1) ** -decay
    chosen = rng.random((n, width)) < merit**2 * looks
    chosen &= np.arange(width) == rng.integers(width, size=(n, 1))
    kept = chosen.any(axis=1)
    places = chosen[kept].argmax(axis=1) + 1
    features = np.stack([merit, old], axis=2)[kept]

    def learnt(weights: Array | None) -> float:
        """How far the scores fall with the old order, merit being equal."""
        lists = TrainingLists(
            features, chosen[kept].astype(np.float32), np.ones(features.shape[:2], bool),
            np.arange(len(features), dtype=np.int32), ("merit", "old"), n, n, 0, weights=weights,
        )  # fmt: skip
        ranker = NeuralRanker(hidden=(8,), epochs=6, device="cpu").fit(lists)
        probe = np.array([[[0.7, 0.9], [0.7, 0.1]]], np.float32)
        scores = ranker.scores(probe, ("merit", "old"), np.ones((1, 2), bool))[0]
        return float(scores[0] - scores[1])

    weights = PositionBias(decay, 10).weights(places)
    assert abs(learnt(weights)) < 0.35 * learnt(None)
