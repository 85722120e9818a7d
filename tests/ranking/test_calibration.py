"""Platt's line: finds what was planted, trusts few lists little, and keeps the order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from recsys.features.arrays import Array
from recsys.ranking.calibration import LEAST, Platt

GIVEN = np.random.default_rng(0).normal(-3, 1.5, 60_000)


def came(slope: float, intercept: float) -> Array:
    """Outcomes whose log-odds are a line of those given."""
    return np.random.default_rng(1).random(len(GIVEN)) < expit(slope * GIVEN + intercept)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.7, -0.4), (1.2, 0.5)])
def test_a_planted_line_is_found(slope: float, intercept: float) -> None:
    line = Platt.fitted(GIVEN, came(slope, intercept), lists=60_000)
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), abs=0.1)
    told = line(GIVEN)
    assert told.mean() == pytest.approx(came(slope, intercept).mean(), rel=0.02)


def test_few_lists_change_little() -> None:
    outcomes = came(0.5, 0.5)
    shifts = [abs(Platt.fitted(GIVEN, outcomes, lists).slope - 1) for lists in (1, 100, 60_000)]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.1


@pytest.mark.parametrize("outcomes", [LEAST - 1, 0, len(GIVEN) - LEAST + 1, len(GIVEN)])
def test_one_class_alone_leaves_log_odds_as_they_are(outcomes: int) -> None:
    assert Platt.fitted(GIVEN, np.arange(len(GIVEN)) < outcomes, 100) == Platt()


def test_without_a_line_it_is_the_logistic_function() -> None:
    assert Platt()(np.array([0.0, np.log(3)])) == pytest.approx([0.5, 0.75])


@given(st.integers(0, 1000), st.integers(1, 500))
def test_a_better_score_is_never_less_probable(seed: int, lists: int) -> None:
    rng = np.random.default_rng(seed)
    outcomes = rng.random(300) < expit(-GIVEN[:300] - 4)  # the wrong way round
    told = Platt.fitted(GIVEN[:300], outcomes, lists)(np.sort(GIVEN[:300]))
    assert (np.diff(told) >= 0).all()
    assert ((told >= 0) & (told <= 1)).all()
