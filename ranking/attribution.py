"""What each feature adds to the ranker's scores: integrated gradients, refined until they sum."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recsys.features.arrays import Array, Floats
from recsys.features.errors import RecsysError
from recsys.ranking.network import ListNetwork
from recsys.ranking.scorers import NetworkScorer

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker

TOLERANCE = 1e-4
"""How far a sum may be from its score, as a share of the score or, of small scores, as it is."""

_NOISE = 1e-5  # of a score: float32 has lost so much at the end of a network, and no more
_MISSED = 1e-7  # of a score, on one piece of a way: one piece for each bend is left
_PIECES = 32  # of a way to begin with
_MOST_HALVINGS = 40


@dataclass(frozen=True)
class Attribution:
    """Scores of candidates, taken apart: `baseline` + a row of `shares` + `rounding` is a score."""

    names: tuple[str, ...]  # (f,)
    shares: Array  # (n, f) float64, what each feature adds
    rounding: Array  # (n,) float64, what a scorer adds that rounds the network, 0 where none does
    scores: Floats  # (n,) as they are served
    baseline: float  # what a candidate scores whose features are the mean of those learnt from


def attribution(ranker: "NeuralRanker", features: Floats) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) of candidates with features (n, f).

    From the mean candidate of the training lists, to which the network brings its inputs: what a
    feature adds is against that candidate. Raises RecsysError where the shares of a candidate do
    not sum to its score within `TOLERANCE`. Of a scorer that rounds a network (int8) that network's
    scores are taken apart, and what is served differs from them by the rounding.
    """
    network = _ordering(ranker).double().cpu()
    start = ranker.network_.mean.double().cpu()
    ends = torch.from_numpy(features).double()
    with torch.inference_mode():
        baseline = float(network(start))
        exact = network(ends).squeeze(-1).numpy()
    shares = integrated(network, start, ends).numpy()
    scores = ranker.scores(features[None], ranker.names_, np.ones((1, len(features)), bool))[0]
    rounding = np.zeros(len(features)) if _serves(ranker) else _rounding(scores, exact)
    _check(scores, baseline + shares.sum(axis=1) + rounding)
    return Attribution(ranker.names_, shares, rounding, scores, baseline)


def _serves(ranker: "NeuralRanker") -> bool:
    """Whether what is served are the scores of a network as it is."""
    return bool(ranker.event_weights) or isinstance(ranker.scorer_, NetworkScorer)


def _rounding(scores: Floats, exact: Array) -> Array:
    """(n,) what scores are above those of the network; 0 where that is the noise of float32."""
    rounding: Array = scores - exact
    return np.where(np.abs(rounding) > _NOISE * np.maximum(1, np.abs(exact)), rounding, 0)


def _ordering(ranker: "NeuralRanker") -> nn.Module:
    """A copy of the network whose output (..., 1) orders candidates."""
    if ranker.event_weights:
        return _Weighed(ranker).eval()
    serves = isinstance(ranker.scorer_, NetworkScorer)
    network: ListNetwork = ranker.scorer_.network if serves else ranker.network_
    return deepcopy(network.folded())


class _Weighed(nn.Module):
    """The probabilities of a ranker's events, weighed as its settings say."""

    def __init__(self, ranker: "NeuralRanker") -> None:
        super().__init__()
        self.network = deepcopy(ranker.network_)
        self.shift = ranker.shift_
        lines = [(line.slope, line.intercept) for line in ranker.lines_]
        weights = [ranker.event_weights.get(name, 0.0) for name in ranker.events_]
        self.lines = nn.Parameter(torch.tensor(lines), requires_grad=False)  # (h, 2)
        self.weights = nn.Parameter(torch.tensor(weights), requires_grad=False)  # (h,)

    def forward(self, features: Tensor) -> Tensor:
        """features (..., f) -> (..., 1)"""
        odds = self.network.with_heads(features)[1] + self.shift
        each = torch.sigmoid(odds * self.lines[:, 0] + self.lines[:, 1])
        return (each.cummin(dim=-1).values @ self.weights)[..., None]


def integrated(network: nn.Module, start: Tensor, ends: Tensor) -> Tensor:
    """(n, f) the gradients of `network` on the ways from `start` (f,) to `ends` (n, f), integrated.

    A piece of a way counts as its middle does. It is halved where that misses what the score gains
    on it, so that pieces are short where a ReLU bends and nowhere else.
    """
    ways = ends - start
    owners = torch.arange(len(ends)).repeat_interleave(_PIECES)
    begins = (torch.arange(_PIECES, dtype=torch.double) / _PIECES).repeat(len(ends))
    total, length = torch.zeros_like(ends), 1 / _PIECES
    for halving in range(_MOST_HALVINGS + 1):
        own = ways[owners]
        first = start + begins[:, None] * own
        shares = length * own * _gradients(network, first + length / 2 * own)
        with torch.no_grad():
            gains = (network(first + length * own) - network(first)).squeeze(-1)
        bent = ((shares.sum(dim=1) - gains).abs() > _MISSED) & (halving < _MOST_HALVINGS)
        total.index_add_(0, owners[~bent], shares[~bent])
        if not bent.any():
            break
        owners, begins = owners[bent].repeat(2), begins[bent]
        length /= 2
        begins = torch.cat([begins, begins + length])
    return total


def _gradients(network: nn.Module, features: Tensor) -> Tensor:
    features = features.requires_grad_()
    (gradients,) = torch.autograd.grad(network(features).sum(), features)
    return gradients


def _check(scores: Floats, sums: Array) -> None:
    wrong = np.abs(sums - scores) > TOLERANCE * np.maximum(1, np.abs(scores))
    if not np.isfinite(sums).all() or wrong.any():
        worst = int(np.argmax(wrong | ~np.isfinite(sums)))
        raise RecsysError(
            f"what features add must sum to the score within {TOLERANCE}; it is {sums[worst]} "
            f"for {scores[worst]}"
        )
