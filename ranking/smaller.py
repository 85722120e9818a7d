"""Smaller networks that are taught by a larger one."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from recsys.features.errors import ArtifactError
from recsys.features.threads import one_thread
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork
from recsys.ranking.neural import scored
from recsys.ranking.training import train

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker

_FILE = "smaller.safetensors"

_STUDENT = (16,)
"""Hidden units of a student: 3.5 times fewer products than 64 and 32 over 60 features."""

_KEPT = 0.5  # of the hidden units of each layer that pruning leaves
_TAUGHT = 0.7  # what the teacher's scores count against what was chosen


@dataclass(frozen=True)
class SmallerScorer:
    """A network that scores as a `NeuralRanker`'s own does."""

    network: ListNetwork

    @cached_property
    def _folded(self) -> nn.Sequential:
        return self.network.folded()

    def __call__(self, features: Tensor) -> Tensor:
        """features (n, f) -> scores (n, outputs)"""
        scores: Tensor = self._folded(features)
        return scores

    def save(self, folder: Path) -> None:
        """Write the weights, whose shapes say which network they are of."""
        from safetensors.torch import save_file

        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where that is incomplete."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            weights = load_file(folder / _FILE)
            matrices = [value for value in weights.values() if value.ndim == 2]
            network = ListNetwork(len(weights["mean"]), tuple(len(each) for each in matrices[:-1]))
            network.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise ArtifactError(f"{folder / _FILE} cannot be read: {error}") from None
        return cls(network.eval())


def distilled(ranker: "NeuralRanker", lists: TrainingLists) -> SmallerScorer:
    """A student that learns each list's labels mixed with the teacher's softmax over the list.

    Hinton et al. 2015 over lists, as Tang & Wang 2018 rank; lists are held out as for the teacher.
    """
    return _learnt(ranker, lists, {"hidden": _STUDENT}, None)


def pruned(ranker: "NeuralRanker", lists: TrainingLists) -> SmallerScorer:
    """Half of the hidden units of each layer, those of the largest norms, taught again.

    For half of the epochs, at half of the rate. A unit's norm is the product of the norms of the
    weights into it and out of it, so that it does not depend on how the two share their scale
    (Li et al. 2017 for filters).
    """
    small = halved(ranker.network_)
    hidden = tuple(layer.out_features for layer in _linear(small)[:-1])
    epochs, rate = max(1, ranker.epochs // 2), ranker.learning_rate / 2
    changes = {"hidden": hidden, "epochs": epochs, "learning_rate": rate}
    return _learnt(ranker, lists, changes, small)


def halved(network: ListNetwork) -> ListNetwork:
    """The same network without half of its hidden units."""
    linear = _linear(network)
    kept = [
        _strongest(layer, following, max(1, round(layer.out_features * _KEPT)))
        for layer, following in pairwise(linear)
    ]
    small = ListNetwork(linear[0].in_features, tuple(map(len, kept)))
    inputs = torch.arange(linear[0].in_features, device=network.mean.device)
    outputs = torch.arange(linear[-1].out_features, device=network.mean.device)
    with torch.no_grad():
        for own, layer, rows, columns in zip(
            _linear(small), linear, [*kept, outputs], [inputs, *kept], strict=True
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
) -> SmallerScorer:  # fmt: skip
    """A network trained on mixed labels with the ranker's settings but for some changes."""
    settings = replace(ranker, dropout=0.0, checkpoint=None, **changes)  # type: ignore[arg-type]
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(ranker.seed)
        network, _ = train(_mixed(ranker.network_, lists), settings, None, begun)
    return SmallerScorer(network.cpu())


def _mixed(teacher: ListNetwork, lists: TrainingLists) -> TrainingLists:
    """The same lists, each with labels that sum to 1."""
    scores = scored(teacher.folded(), lists.features, lists.filled, str(teacher.mean.device))
    taught = torch.from_numpy(scores).softmax(dim=1).numpy()
    chosen = lists.labels / lists.labels.sum(axis=1, keepdims=True)
    return replace(lists, labels=_TAUGHT * taught + (1 - _TAUGHT) * chosen)


def _linear(network: ListNetwork) -> list[nn.Linear]:
    return [layer for layer in network.layers if isinstance(layer, nn.Linear)]
