"""Calibration by hand, and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from recsys.evaluation.calibration import expected_calibration_error, reliability
from recsys.features.errors import DataError, SettingsError

predictions = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.booleans()), min_size=1, max_size=40
)


def arrays(pairs):
    return np.array([p for p, _ in pairs]), np.array([came for _, came in pairs])


def of_torchmetrics(probabilities, outcomes, bins):
    return float(
        binary_calibration_error(
            torch.from_numpy(probabilities), torch.from_numpy(outcomes).long(), bins
        )
    )


def test_bins_by_hand():
    probabilities = np.array([0.1, 0.3, 0.9, 1.0])
    found = reliability(probabilities, np.array([False, True, True, True]), bins=2)
    assert found.predicted.tolist() == pytest.approx([0.2, 0.95])
    assert found.observed.tolist() == [0.5, 1]
    assert found.count.tolist() == [2, 2]
    assert found.error == pytest.approx((0.3 + 0.05) / 2)


def test_a_boundary_belongs_to_the_bin_above_and_empty_bins_are_left_out():
    found = reliability(np.array([0.5, 0.7, 0.0]), np.array([True, False, False]), bins=4)
    assert found.predicted.tolist() == [0, 0.6]
    assert found.count.tolist() == [1, 2]


def test_as_dict_is_plain():
    found = reliability(np.array([0.25]), np.array([True]))
    assert found.as_dict() == {
        "error": 0.75,
        "bins": [{"predicted": 0.25, "observed": 1.0, "count": 1}],
    }


def test_certainty_that_comes_true_has_no_error():
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_no_predictions_have_no_error_to_speak_of():
    found = reliability(np.empty(0), np.empty(0, np.bool_))
    assert math.isnan(found.error)
    assert found.as_dict()["bins"] == []


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf])
def test_a_probability_lies_between_0_and_1(value):
    with pytest.raises(DataError, match=r"probabilities must be in \[0, 1\]"):
        reliability(np.array([0.5, value]), np.array([True, True]))


def test_every_probability_has_an_outcome():
    with pytest.raises(DataError, match="2 probabilities need as many outcomes: 1"):
        reliability(np.array([0.5, 0.5]), np.array([True]))


def test_there_is_at_least_one_bin():
    with pytest.raises(SettingsError, match="at least 1; got 0"):
        reliability(np.array([0.5]), np.array([True]), bins=0)


@example([(0.0, True)], 15)
@example([(0.5, True), (0.5, False)], 1)
@given(predictions, st.integers(1, 20))
def test_equal_to_torchmetrics(pairs, bins):
    probabilities, outcomes = arrays(pairs)
    places = probabilities * bins
    inner = np.round(places) > 0  # the edges of both at 0 are exact
    assume((np.abs(places - np.round(places))[inner] > 1e-9).all() or bins & (bins - 1) == 0)
    theirs = of_torchmetrics(probabilities, outcomes, bins)
    assert expected_calibration_error(probabilities, outcomes, bins) == pytest.approx(theirs)


def test_torchmetrics_keeps_certain_predictions_in_a_bin_of_their_own():
    probabilities, outcomes = np.array([0.99, 1.0]), np.array([True, False])
    assert expected_calibration_error(probabilities, outcomes) == pytest.approx(0.995 - 0.5)
    assert of_torchmetrics(probabilities, outcomes, 15) == pytest.approx((0.01 + 1) / 2)


@given(predictions, st.integers(1, 20))
def test_the_bins_hold_every_prediction(pairs, bins):
    probabilities, outcomes = arrays(pairs)
    found = reliability(probabilities, outcomes, bins)
    assert (found.count > 0).all()
    assert found.count.sum() == len(pairs)
    assert found.predicted @ found.count == pytest.approx(probabilities.sum())
    assert found.observed @ found.count == pytest.approx(outcomes.sum())
    assert 0 <= found.error <= 1
