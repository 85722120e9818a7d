"""Smaller networks that are taught by a larger one."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recsys.features.threads import one_thread, seeded
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork
from recsys.ranking.scorers import NetworkScorer, scored
from recsys.ranking.training import train

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker

_STUDENT = (32, 16)
"""Hidden units of a student: about a fifth of the products of two members of 64 and 32 units."""

_KEPT = 0.5  # of the hidden units of each layer that pruning leaves
_TAUGHT = 0.7  # what the teacher's scores count against what was chosen


def distilled(ranker: "NeuralRanker", lists: TrainingLists) -> NetworkScorer:
    """A student that learns each list's labels mixed with the teacher's softmax over the list.

    Hinton et al. 2015 over lists, as Tang & Wang 2018 rank; lists are held out as for the teacher.
    """
    return _learnt(ranker, lists, {"hidden": _STUDENT}, None)


def pruned(ranker: "NeuralRanker", lists: TrainingLists) -> NetworkScorer:
    """Half of the hidden units of each layer, those of the largest norms, taught again.

    For half of the epochs, at half of the rate. A unit's norm is the product of the norms of the
    weights into it and out of it, so that it does not depend on how the two share their scale
    (Li et al. 2017 for filters).
    """
    small = halved(ranker.network_)
    hidden = tuple(layer.out_features for layer in small.linear()[:-1])
    epochs, rate = max(1, ranker.epochs // 2), ranker.learning_rate / 2
    changes = {"hidden": hidden, "epochs": epochs, "learning_rate": rate}
    return _learnt(ranker, lists, changes, small)


def halved(network: ListNetwork) -> ListNetwork:
    """The same network without half of its hidden units, those of all members as one."""
    linear = network.merged().linear()
    kept = [
        _strongest(layer, following, max(1, round(layer.out_features * _KEPT)))
        for layer, following in pairwise(linear)
    ]
    small = ListNetwork(linear[0].in_features, tuple(map(len, kept)))
    inputs = torch.arange(linear[0].in_features, device=network.mean.device)
    outputs = torch.arange(linear[-1].out_features, device=network.mean.device)
    with torch.no_grad():
        for own, layer, rows, columns in zip(
            small.linear(), linear, [*kept, outputs], [inputs, *kept], strict=True
        ):
            own.weight.copy_(layer.weight[rows][:, columns])
            own.bias.copy_(layer.bias[rows])
        small.mean.copy_(network.mean)
        small.scale.copy_(network.scale)
    return small.eval()


def _strongest(layer: nn.Linear, following: nn.Linear, n: int) -> Tensor:
    """(n,) the units between two layers that carry most, in their order."""
    norms = layer.weight.norm(dim=1) * following.weight.norm(dim=0)
    strongest: Tensor = norms.topk(n).indices.sort().values
    return strongest


def _learnt(
    ranker: "NeuralRanker", lists: TrainingLists, changes: dict[str, object],
    begun: ListNetwork | None,
) -> NetworkScorer:  # fmt: skip
    """A network trained on mixed labels with the ranker's settings but for some changes."""
    alone: dict[str, object] = {
        "dropout": 0.0,
        "checkpoint": None,
        "event_loss": 0.0,
        "event_weights": {},
        "members": 1,
        "cross_layers": 0,
        "cross_rank": None,
    }
    settings = replace(ranker, **{**alone, **changes})  # type: ignore[arg-type]
    with one_thread(), seeded(ranker.seed):
        network, *_ = train(_mixed(ranker.network_, lists), settings, None, begun)
    return NetworkScorer(network.cpu())


def _mixed(teacher: ListNetwork, lists: TrainingLists) -> TrainingLists:
    """The same lists, each with labels that sum to 1."""
    scorer = NetworkScorer(teacher)
    scores = [scored(scorer, lists.features[s], lists.filled[s]) for s in lists.stretches()]
    taught = torch.from_numpy(np.concatenate(scores)).softmax(dim=1).numpy()
    chosen = lists.labels / lists.labels.sum(axis=1, keepdims=True)
    return replace(lists, labels=_TAUGHT * taught + (1 - _TAUGHT) * chosen)
