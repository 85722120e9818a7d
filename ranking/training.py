"""The one training loop of the ranker's network."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys.features.arrays import PAD, Array, Rows
from recsys.features.device import pick
from recsys.features.errors import TrainingError
from recsys.ranking.checkpoint import Checkpoint, Curve, Training, Weights
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork, softmax_loss

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker


def train(
    lists: TrainingLists, settings: "NeuralRanker", progress: Callable[[float], None] | None,
    network: ListNetwork | None = None,
) -> tuple[ListNetwork, Curve]:  # fmt: skip
    """Train a network on lists; returns it as of its best epoch, and the loss of every epoch.

    It is a fresh one unless a `network` is given to go on from.
    """
    rng = np.random.default_rng(settings.seed)
    learnt, held = _split(lists.users, settings.held_out, rng)
    training = _begun(network or _network(lists, settings), settings, len(learnt), rng)
    checkpoint = Checkpoint.of(settings, lists)
    if checkpoint:
        checkpoint.resume(training)
    curve = training.curve
    while not _finished(curve, settings):
        loss = _epoch(training, lists, learnt, settings)
        curve.append({"train": loss, "held out": _held_loss(training.network, lists, held)})
        _refuse_nan(curve)
        if _best_epoch(curve) == len(curve) - 1:
            training.best = _copied(training.network)
        if checkpoint:
            checkpoint.write(training)
        if progress:
            progress(len(curve) / settings.epochs)
    training.network.load_state_dict(training.best)
    return training.network.eval(), curve


def held_out(lists: TrainingLists, settings: "NeuralRanker") -> tuple[Array, Array]:
    """Places of the lists that `train` learns from, and of those that it does not."""
    return _split(lists.users, settings.held_out, np.random.default_rng(settings.seed))


def _begun(
    network: ListNetwork, settings: "NeuralRanker", lists: int, rng: np.random.Generator
) -> Training:
    """Before the first epoch, over so many lists."""
    network = network.to(pick(settings.device))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * -(-lists // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps)
    return Training(network, optimizer, schedule, rng, [], _copied(network))


def _epoch(
    training: Training, lists: TrainingLists, learnt: Array, settings: "NeuralRanker"
) -> float:
    """Learn from every list once, in a drawn order; the mean loss while doing so."""
    total = 0.0
    network, device = training.network.train(), str(training.device)
    for batch in _batches(training.rng.permutation(learnt), settings.batch):
        loss = _loss(network, lists, batch, device)
        training.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.most_gradient is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.most_gradient)
        training.optimizer.step()
        training.schedule.step()
        total += loss.item() * len(batch)
    return total / len(learnt)


def _copied(network: ListNetwork) -> Weights:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _finished(curve: Curve, settings: "NeuralRanker") -> bool:
    """Whether all epochs are done, or `patience` of them brought nothing."""
    if not curve:
        return False
    stale = len(curve) - 1 - _best_epoch(curve)
    return len(curve) >= settings.epochs or stale >= settings.patience


def _split(users: Rows, share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """(lists to learn from, lists of the users (n,) held out), at least one of each."""
    own = np.where(users == PAD, -1 - np.arange(len(users)), users)  # nobody known is a user alone
    everyone = np.unique(own)
    if len(everyone) < 2:
        raise TrainingError(
            f"lists of at least 2 users are needed, one to hold out; got {len(everyone)}"
        )
    size = min(max(1, round(len(everyone) * share)), len(everyone) - 1)
    held = np.isin(own, rng.permutation(everyone)[:size])
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
