"""The one training loop of the ranker's network."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys.features.arrays import Array, Mask
from recsys.features.device import pick
from recsys.features.errors import TrainingError
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork, softmax_loss

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker

Curve = list[dict[str, float]]


def train(
    lists: TrainingLists, settings: "NeuralRanker", progress: Callable[[float], None] | None
) -> tuple[ListNetwork, Curve]:
    """Train a network on lists; returns it as of its best epoch, and the loss of every epoch."""
    device = pick(settings.device)
    rng = np.random.default_rng(settings.seed)
    learnt, held = _split(settings.holds_out(lists.users))
    network = _network(lists, settings).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * -(-len(learnt) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps)
    curve: Curve = []
    best, weights = np.inf, network.state_dict()
    for epoch in range(settings.epochs):
        total = 0.0
        network.train()
        for batch in _batches(rng.permutation(learnt), settings.batch):
            loss = _loss(network, lists, batch, device)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        curve.append({"train": total / len(learnt), "held out": _held_loss(network, lists, held)})
        _refuse_nan(curve)
        if curve[-1]["held out"] < best:
            best = curve[-1]["held out"]
            weights = {name: value.clone() for name, value in network.state_dict().items()}
        if progress:
            progress((epoch + 1) / settings.epochs)
        if _best_epoch(curve) + settings.patience <= epoch:
            break
    network.load_state_dict(weights)
    return network.eval(), curve


def _split(held: Mask) -> tuple[Array, Array]:
    """(lists to learn from, lists held out), at least one of each."""
    if not held.any():
        raise TrainingError("lists of at least 2 users are needed, one to hold out; got 1")
    return np.flatnonzero(~held), np.flatnonzero(held)


def _network(lists: TrainingLists, settings: "NeuralRanker") -> ListNetwork:
    """A fresh network whose inputs are brought to mean 0 and deviation 1; constants to 0."""
    network = ListNetwork(len(lists.names), settings.hidden, settings.dropout)
    rows = lists.features[lists.filled]
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    varies = deviation > 1e-6
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    network.mean.copy_(torch.from_numpy(mean))
    network.scale.copy_(torch.from_numpy(scale))
    return network


def _batches(order: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _loss(network: ListNetwork, lists: TrainingLists, batch: Array, device: str) -> torch.Tensor:
    features, labels, filled = (
        torch.from_numpy(array[batch]).to(device)
        for array in (lists.features, lists.labels, lists.filled)
    )
    return softmax_loss(network(features), labels, filled)


def _held_loss(network: ListNetwork, lists: TrainingLists, held: Array) -> float:
    network.eval()
    device = str(network.mean.device)
    with torch.inference_mode():
        losses = [
            _loss(network, lists, batch, device).item() * len(batch)
            for batch in _batches(held, 256)
        ]
    return sum(losses) / len(held)


def _best_epoch(curve: Curve) -> int:
    return int(np.argmin([epoch["held out"] for epoch in curve]))


def _refuse_nan(curve: Curve) -> None:
    if not all(np.isfinite(value) for value in curve[-1].values()):
        raise TrainingError(
            f"the loss of epoch {len(curve)} is not finite: {curve[-1]}; lower learning_rate, or "
            "look for extreme values in the catalogue's numbers"
        )
