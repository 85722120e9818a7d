"""How much less is looked at what stands further down a list."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from recsys.features.arrays import Array, Floats

_STEEPEST = 5.0  # no decay above it is told from it: at place 2 is 1 look of 32
_LEAST_CHOICES = 100  # at known places, before a decay is estimated


@dataclass(frozen=True)
class PositionBias:
    """The propensity of a place is place ** -decay, 1 at the top.

    A choice counts for the inverse of the propensity of its place, at the most `most` times
    (Joachims, Swaminathan & Schnabel 2017, with the power law of their experiments, clipped as by
    Strehl et al. 2010).
    """

    decay: float
    most: float

    @classmethod
    def fitted(cls, chosen: Array, shown: Array, most: float) -> "PositionBias | None":
        """From how often something was chosen and shown at each place (places + 1,).

        The decay is that under which choices at place p, as Poisson with mean rate x shown[p] x
        p ** -decay, are likeliest, and never below 0. Where goods that suit better stand higher it
        is too steep, as part of the choices is their merit. None where there are fewer than 100
        choices at places where something was shown, or only one such place.
        """
        places = np.arange(1, min(len(chosen), len(shown)))
        places = places[shown[places] > 0]
        counts, shares, logs = chosen[places], shown[places].astype(float), np.log(places)
        if len(places) < 2 or counts.sum() < _LEAST_CHOICES:
            return None
        own = counts @ logs / counts.sum()

        def excess(decay: float) -> float:  # of the mean log place under it; 0 where likeliest
            weights = shares * np.exp(-decay * logs)
            return float(weights @ logs / weights.sum() - own)

        if excess(0.0) <= 0:
            return cls(0.0, most)
        if excess(_STEEPEST) >= 0:
            return cls(_STEEPEST, most)
        return cls(float(brentq(excess, 0.0, _STEEPEST)), most)

    def weights(self, places: Array) -> Floats:
        """(n,) what choices at these places (n,) count; at 0, an unknown place, they count 1."""
        raised = np.maximum(places, 1).astype(np.float64) ** self.decay
        return np.minimum(raised, self.most).astype(np.float32)
