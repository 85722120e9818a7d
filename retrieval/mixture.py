"""What a rank of each source is worth, learnt from lists of which it is known what was chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.errors import TrainingError

_OFFSETS = (1.0, 8.0, 60.0)  # steep, middling and flat shares of what a rank is worth
_PENALTY = 1e-4  # on the squares of weights, so that those of two equal sources are settled


@dataclass(frozen=True)
class Mixture:
    """Weights of every source: rank r is worth sum over o of weight_o (o + 1) / (o + 1 + r).

    Only ranks count: scores change their scale from fit to fit. No weight is below 0, so a better
    rank is never worth less.
    """

    names: tuple[str, ...]  # (s,)
    weights: Array  # (s, 3) 0 or more, float64

    def worth(self, name: str, depth: int) -> Array:
        """(depth,) what each rank of a source is worth; nothing where it was not learnt."""
        if name not in self.names:
            return np.zeros(depth)
        worth: Array = _shapes(np.arange(depth)) @ self.weights[self.names.index(name)]
        return worth

    def told(self) -> dict[str, list[float]]:
        """For JSON, which keeps every digit."""
        return dict(zip(self.names, self.weights.tolist(), strict=True))

    @classmethod
    def of(cls, told: Mapping[str, Sequence[float]]) -> Self:
        """What `told` said."""
        return cls(tuple(told), np.array(list(told.values()), np.float64))

    @classmethod
    def learnt(cls, names: Sequence[str], ranks: Rows, labels: Floats) -> Self:
        """Maximise the likelihood of what was chosen, as a softmax over each list.

        `ranks` (n, w, s) are those of the candidates, PAD where a source did not offer one, and
        `labels` (n, w) are above 0 where a candidate was chosen. It is a convex problem, solved by
        L-BFGS-B from equal weights. Raises TrainingError where nothing was chosen.
        """
        hit = (labels > 0).any(axis=1)
        if not hit.any():
            raise TrainingError("a mixture of sources needs lists that hold what was chosen")
        ranks, chosen = ranks[hit], labels[hit] > 0
        shapes = np.where((ranks == PAD)[..., None], 0, _shapes(np.maximum(ranks, 0)))
        features = shapes.reshape(*chosen.shape, -1).astype(np.float32)
        filled = (ranks != PAD).any(axis=2)
        aims = chosen / chosen.sum(axis=1, keepdims=True)
        start = np.ones(features.shape[2])
        found: Any = minimize(
            _loss, start, (features, filled, aims), jac=True, method="L-BFGS-B",
            bounds=[(0, None)] * len(start), options={"maxiter": 200},
        )  # fmt: skip
        return cls(tuple(names), found.x.reshape(len(names), len(_OFFSETS)))


def _shapes(ranks: Array) -> Array:
    """(..., 3) a 1 at rank 0 that falls off at three paces."""
    offsets = np.array(_OFFSETS)
    shapes: Array = (offsets + 1) / (offsets + 1 + ranks[..., None])
    return shapes


def _loss(weights: Array, features: Floats, filled: Array, aims: Array) -> tuple[float, Array]:
    """The mean cross-entropy of `aims` (n, w) with the softmax of the mixture, and its gradient."""
    sums = np.where(filled, features @ weights.astype(np.float32), -np.inf).astype(np.float64)
    sums -= sums.max(axis=1, keepdims=True)
    total = np.exp(sums).sum(axis=1, keepdims=True)
    shares = np.exp(sums) / total
    logs = np.where(aims > 0, sums - np.log(total), 0)
    loss = -(aims * logs).sum() / len(aims) + _PENALTY * (weights**2).sum()
    wrong = ((shares - aims) / len(aims)).astype(np.float32)
    gradient = np.tensordot(wrong, features, axes=([0, 1], [0, 1])) + 2 * _PENALTY * weights
    return float(loss), gradient.astype(np.float64)
