"""The network that scores candidates, and the loss that it learns from."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recsys.features.errors import SettingsError


class ListDropout(nn.Module):
    """Drops a unit for all candidates of a list at once: one draw per list and unit.

    Drawn for each candidate anew it took more than half of a training's time.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden (..., w, units) -> the same shape, with the same expectation"""
        if not self.training or self.share == 0:
            return hidden
        draws = hidden.new_empty((*hidden.shape[:-2], 1, hidden.shape[-1]))
        return hidden * (draws.bernoulli_(1 - self.share) / (1 - self.share))


class CrossLayer(nn.Module):
    """Multiplies what comes in by the features that went in first: x0 * (W x + b) + x.

    DCN-v2 (Wang et al. 2021, equation 1); with a rank W is U V of so many columns (section 4.2).
    """

    def __init__(self, features: int, rank: int | None):
        super().__init__()
        self.project = nn.Identity() if rank is None else nn.Linear(features, rank, bias=False)
        self.weigh = nn.Linear(features if rank is None else rank, features)

    def forward(self, first: Tensor, crossed: Tensor) -> Tensor:
        """first, crossed (..., f) -> (..., f)"""
        weighed: Tensor = self.weigh(self.project(crossed))
        return first * weighed + crossed


class Tower(nn.Module):
    """One member of a network: hidden layers and, beside them, cross layers if there are any."""

    def __init__(
        self, features: int, hidden: tuple[int, ...], dropout: float, heads: int,
        cross_layers: int, cross_rank: int | None,
    ):  # fmt: skip
        super().__init__()
        crossed = features if cross_layers else 0
        self.cross = nn.ModuleList(CrossLayer(features, cross_rank) for _ in range(cross_layers))
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(features, width), nn.ReLU(), ListDropout(dropout)]
            features = width
        self.layers = nn.Sequential(*layers)
        if crossed and not hidden:
            features = 0  # what is crossed holds the features already
        self.last = nn.Linear(features + crossed, 1)
        self.heads = nn.Linear(features + crossed, heads) if heads else None

    def hidden(self, inputs: Tensor) -> Tensor:
        """inputs (..., f) -> what scores and heads are read from (..., units)"""
        if not self.cross:
            hidden: Tensor = self.layers(inputs)
            return hidden
        crossed = inputs
        for layer in self.cross:
            crossed = layer(inputs, crossed)
        return torch.cat([self.layers(inputs), crossed], dim=-1) if len(self.layers) else crossed

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """inputs (..., f) -> scores (...) and log-odds (..., heads) if there are heads"""
        hidden = self.hidden(inputs)
        scores: Tensor = self.last(hidden)
        return scores.squeeze(-1), None if self.heads is None else self.heads(hidden)


class ListNetwork(nn.Module):
    """One score per candidate from its features; a list is scored as it is, item by item.

    It is the mean of `members` towers that differ in what they began with. Beside the score each of
    `heads` events has its log-odds, from the same hidden layers. Neither depends on the other lists
    of a batch, nor on the order of a list.
    """

    def __init__(
        self,
        features: int,
        hidden: tuple[int, ...] = (128, 64),
        dropout: float = 0.1,
        heads: int = 0,
        members: int = 1,
        cross_layers: int = 0,
        cross_rank: int | None = None,
    ):
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        shape = (features, hidden, dropout, heads, cross_layers, cross_rank)
        self.towers = nn.ModuleList(Tower(*shape) for _ in range(members))
        self.heads = heads
        self.cross_layers = cross_layers

    @property
    def members(self) -> list[Tower]:
        """The towers, each a network by itself."""
        return cast("list[Tower]", list(self.towers))

    def merged(self) -> "ListNetwork":
        """The same scores from one tower that holds the units of all members, without heads.

        Raises SettingsError where layers are crossed: those do not make one stack of layers.
        """
        if self.cross_layers:
            raise SettingsError(
                "a network with cross layers is no stack of linear layers, which is what "
                f"compression needs; got cross_layers = {self.cross_layers}"
            )
        stacks = list(zip(*map(_linear, self.members), strict=True))
        joined = [_joined(each, first=each is stacks[0]) for each in stacks]
        weights, biases = joined[-1]
        joined[-1] = weights.mean(dim=0, keepdim=True), biases.mean(dim=0, keepdim=True)
        widths = tuple(len(biases) for _, biases in joined[:-1])
        with torch.device("meta"):  # nothing is drawn
            one = ListNetwork(len(self.mean), widths)
        one = one.to_empty(device=self.mean.device).eval()
        with torch.no_grad():
            one.mean.copy_(self.mean)
            one.scale.copy_(self.scale)
            for own, (weights, biases) in zip(one.linear(), joined, strict=True):
                own.weight.copy_(weights)
                own.bias.copy_(biases)
        return one

    def linear(self) -> list[nn.Linear]:
        """The linear layers of a network of one member, in turn, without those of heads."""
        (tower,) = self.members
        return _linear(tower)

    def folded(self) -> nn.Sequential:
        """The same scores (..., 1), with what brings inputs to mean 0 and deviation 1 folded in.

        Of cross layers nothing can be folded: it is the network itself.
        """
        if self.cross_layers:
            return nn.Sequential(_Column(self)).eval()
        merged = self.merged()
        first, *others = merged.linear()
        with torch.no_grad():
            first.bias.sub_(first.weight @ (self.mean * self.scale))
            first.weight.mul_(self.scale)
        layers: list[nn.Module] = [first]
        for layer in others:
            layers += [nn.ReLU(inplace=True), layer]
        return nn.Sequential(*layers).eval()

    def begin_with(self, log_odds: Tensor) -> None:
        """Let the heads of every member begin with these log-odds (heads,)."""
        with torch.no_grad():
            for heads in (tower.heads for tower in self.members if tower.heads):
                heads.bias.copy_(log_odds)

    def each(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """features (..., f) -> of each member scores (k, ...) and log-odds (k, ..., heads)"""
        inputs = (features - self.mean) * self.scale
        scores, odds = zip(*(tower(inputs) for tower in self.members), strict=True)
        return torch.stack(scores), torch.stack(odds) if self.heads else None

    def forward(self, features: Tensor) -> Tensor:
        """features (..., f) -> scores (...)"""
        return self.each(features)[0].mean(dim=0)

    def with_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """features (..., f) -> scores (...) and log-odds (..., heads)"""
        scores, odds = self.each(features)
        if odds is None:
            raise TypeError("this network has no heads")
        return scores.mean(dim=0), odds.mean(dim=0)


class _Column(nn.Module):
    """The scores of a network as (..., 1)."""

    def __init__(self, network: ListNetwork):
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.network(features)
        return scores.unsqueeze(-1)


def _joined(layers: Sequence[nn.Linear], first: bool) -> tuple[Tensor, Tensor]:
    """Weights and biases of one layer with the outputs of all; the first ones share inputs."""
    weights = [layer.weight for layer in layers]
    biases = torch.cat([layer.bias for layer in layers])
    joined = torch.cat(weights) if first else torch.block_diag(*weights)  # type: ignore[no-untyped-call]
    return joined, biases


def _linear(tower: Tower) -> list[nn.Linear]:
    return [*(layer for layer in tower.layers if isinstance(layer, nn.Linear)), tower.last]


def softmax_loss(
    scores: Tensor, labels: Tensor, filled: Tensor, weights: Tensor | None = None
) -> Tensor:
    """The cross-entropy between a list's labels and the softmax of its scores, mean over lists.

    scores, labels, filled: (b, w). Labels are weights >= 0, at least one of them positive in each
    list (ListNet with top-one probabilities, Cao et al. 2007). For scores [0, 0] and labels
    [1, 0] it is log 2. `weights` (b,) are factors on what the lists count, 1 by default.
    """
    logs = scores.masked_fill(~filled, -torch.inf).log_softmax(dim=1)
    shares = labels / labels.sum(dim=1, keepdim=True)
    losses = -(shares * logs.masked_fill(~filled, 0.0)).sum(dim=1)
    return (losses if weights is None else weights * losses).mean()


def outcome_loss(logits: Tensor, outcomes: Tensor, filled: Tensor) -> Tensor:
    """The binary cross-entropy of log-odds with outcomes, mean over what is filled and over heads.

    logits, outcomes: (b, w, h); filled: (b, w). For log-odds of 0 it is log 2.
    """
    return nn.functional.binary_cross_entropy_with_logits(logits[filled], outcomes[filled])
