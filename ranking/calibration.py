"""From log-odds to probabilities that come true as often as they say."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from recsys.features.arrays import Array, Mask

LEAST = 10
"""So many pairs with an outcome, and without it, are needed to calibrate by."""

_TRUST = 0.1  # deviation of the prior on both numbers: held-out lists outweigh it from about 100 on


@dataclass(frozen=True)
class Platt:
    """A line through log-odds: the probability is the logistic function of it (Platt 1999)."""

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fitted(cls, log_odds: Array, outcomes: Mask, lists: int) -> Self:
        """The most likely line, from log-odds (n,) and outcomes (n,) of so many `lists`.

        The prior is that the log-odds are right: those of a trained network rest on more lists than
        are held out. Outcomes of one list go together, so that a list counts as one outcome. With
        fewer than LEAST outcomes, or others, the log-odds stay as they are.
        """
        chosen = int(outcomes.sum())
        if min(chosen, len(outcomes) - chosen) < LEAST:
            return cls()
        each = min(1.0, lists / chosen)
        certain = expit(log_odds) * expit(-log_odds)
        middle = float(np.average(log_odds, weights=certain))
        offsets = log_odds - middle

        def loss(change: Array) -> tuple[float, Array]:
            odds = log_odds + change[0] * offsets + change[1]
            wrong = expit(odds) - outcomes
            costs = np.logaddexp(0, odds) - np.where(outcomes, odds, 0)
            slopes = each * np.array([wrong @ offsets, wrong.sum()]) + change / _TRUST**2
            return float(each * costs.sum() + (change**2).sum() / 2 / _TRUST**2), slopes

        bounds = [(-1, None), (None, None)]  # a better score is never worth less
        found: Any = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
        slope, shift = 1 + float(found.x[0]), float(found.x[1])
        return cls(slope, shift - (slope - 1) * middle)

    def __call__(self, log_odds: Array) -> Array:
        """(...) probabilities of log-odds (...)."""
        probabilities: Array = expit(self.slope * log_odds + self.intercept)
        return probabilities
