"""The network that scores candidates, and the loss that it learns from."""

import torch
from torch import Tensor, nn


class ListNetwork(nn.Module):
    """One score per candidate from its features; a list is scored as it is, item by item.

    Beside the score each of `heads` events has its log-odds, from the same hidden layers. Neither
    depends on the other lists of a batch, nor on the order of a list.
    """

    def __init__(
        self,
        features: int,
        hidden: tuple[int, ...] = (128, 64),
        dropout: float = 0.1,
        heads: int = 0,
    ):
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)]
            features = width
        self.layers = nn.Sequential(*layers, nn.Linear(features, 1))
        self.heads = nn.Linear(features, heads) if heads else None

    def folded(self) -> nn.Sequential:
        """The same scores (..., 1), with what brings inputs to mean 0 and deviation 1 folded in."""
        first, *others = self.layers
        if not isinstance(first, nn.Linear):
            raise TypeError(f"the first layer must be linear; got {first}")
        own = nn.Linear(first.in_features, first.out_features, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            own.weight.copy_(first.weight * self.scale)
            own.bias.copy_(first.bias - first.weight @ (self.mean * self.scale))
        return nn.Sequential(own.to(first.weight.device), *others).eval()

    def forward(self, features: Tensor) -> Tensor:
        """features (..., f) -> scores (...)"""
        scores: Tensor = self.layers((features - self.mean) * self.scale)
        return scores.squeeze(-1)

    def with_heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """features (..., f) -> scores (...) and log-odds (..., heads)"""
        if self.heads is None:
            raise TypeError("this network has no heads")
        *trunk, last = self.layers
        hidden = (features - self.mean) * self.scale
        for layer in trunk:
            hidden = layer(hidden)
        return last(hidden).squeeze(-1), self.heads(hidden)


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
