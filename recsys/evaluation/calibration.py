"""Whether predicted probabilities come true as often as they say."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features.arrays import Array, Mask
from recsys.features.errors import DataError, SettingsError


@dataclass(frozen=True)
class Reliability:
    """Predictions in bins of equal width, from low to high; bins without any are left out."""

    predicted: NDArray[np.float64]  # (m,) the mean predicted probability
    observed: NDArray[np.float64]  # (m,) the share that came true
    count: NDArray[np.int64]  # (m,) > 0

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap of the bins, weighted by their count."""
        if not len(self.count):
            return np.nan
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.count))

    def as_dict(self) -> dict[str, Any]:
        """The error and the bins, for JSON."""
        rows = zip(
            self.predicted.tolist(), self.observed.tolist(), self.count.tolist(), strict=True
        )
        bins = [{"predicted": p, "observed": o, "count": n} for p, o, n in rows]
        return {"error": self.error, "bins": bins}


def reliability(probabilities: Array, outcomes: Mask, bins: int = 15) -> Reliability:
    """The reliability diagram of probabilities (n,) and what came of them, outcomes (n,).

    Bin i of `bins` holds i / bins <= p < (i + 1) / bins, the last one also p = 1. Raises DataError
    for probabilities outside [0, 1] or another number of outcomes.
    """
    if bins < 1:
        raise SettingsError(f"bins must be at least 1; got {bins}")
    if len(probabilities) != len(outcomes):
        raise DataError(
            f"{len(probabilities)} probabilities need as many outcomes: {len(outcomes)}"
        )
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        raise DataError(f"probabilities must be in [0, 1]; got {probabilities[wrong][0]}")
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    places = np.searchsorted(edges, probabilities, side="right")
    count = np.bincount(places, minlength=bins)
    filled = count > 0
    return Reliability(
        predicted=np.bincount(places, probabilities, bins)[filled] / count[filled],
        observed=np.bincount(places, outcomes, bins)[filled] / count[filled],
        count=count[filled],
    )


def expected_calibration_error(probabilities: Array, outcomes: Mask, bins: int = 15) -> float:
    """The mean of |observed - predicted| over the bins of `reliability`, weighted by their count.

    Naeini et al. 2015, for the probability of the positive outcome; NaN for no predictions. It is
    torchmetrics' binary_calibration_error with norm "l1", except that one keeps p = 1 in a bin
    apart from the last.
    """
    return reliability(probabilities, outcomes, bins).error
