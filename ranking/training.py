"""The one training loop of the ranker's network."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys.features.arrays import Array, Mask
from recsys.features.device import pick
from recsys.features.errors import TrainingError
from recsys.ranking.checkpoint import Checkpoint, Curve, Training, Weights
from recsys.ranking.distributed import ALONE, Processes
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork, outcome_loss, softmax_loss

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker

_AT_ONCE = 256  # lists that only need to be read

LEAST_OUTCOMES = 50
"""So many candidates that an event chose, and as many others, are needed to foretell it."""


def train(
    lists: TrainingLists, settings: "NeuralRanker", progress: Callable[[float], None] | None,
    network: ListNetwork | None = None, group: Processes = ALONE,
) -> tuple[ListNetwork, Curve, tuple[int, ...]]:  # fmt: skip
    """Train a network on lists; returns it as of its best epoch, and the loss of every epoch.

    Last come the events that it has heads for, by their place in `lists.events`. What decides is
    the loss of the lists; that of the heads is added to what the hidden layers learn from. The
    network is a fresh one unless one is given to go on from, which has no heads. Of several
    processes each learns from its share of every batch, all with the same outcome.
    """
    rng = np.random.default_rng(settings.seed)
    learnt, held = held_out(lists, settings)
    heads = learnable(lists.outcomes(learnt), lists.filled[learnt]) if settings.event_loss else []
    training = _begun(network or fresh(lists, settings, heads), settings, len(learnt), rng)
    checkpoint = Checkpoint.of(settings, lists)
    if checkpoint:
        checkpoint.resume(training)
    curve = training.curve
    while not _finished(curve, settings):
        group.draw_anew(settings.seed, len(curve))
        loss = _epoch(training, lists, learnt, settings, heads, group)
        loss_held = group.agreed(_held_loss(training.network, lists, held), training.device)
        curve.append({"train": loss, "held out": loss_held})
        _refuse_nan(curve)
        if _best_epoch(curve) == len(curve) - 1:
            training.best = _copied(training.network)
        if checkpoint and group.rank == 0:
            checkpoint.write(training)
        if progress:
            progress(len(curve) / settings.epochs)
    training.network.load_state_dict(training.best)
    return training.network.eval(), curve, tuple(heads)


def held_out(lists: TrainingLists, settings: "NeuralRanker") -> tuple[Array, Array]:
    """Places of the lists that `train` learns from, and of those that it does not."""
    return _split(settings.holds_out(lists.users))


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
    training: Training, lists: TrainingLists, learnt: Array, settings: "NeuralRanker",
    heads: list[int], group: Processes,
) -> float:  # fmt: skip
    """Learn from every list once, in a drawn order; the mean loss while doing so."""
    total, network = 0.0, training.network.train()
    for batch in _batches(training.rng.permutation(learnt), settings.batch):
        training.optimizer.zero_grad()
        own = group.share(batch)
        if len(own):
            loss, of_heads = _losses(network, lists, own, heads, half=settings.in_half)
            part, of_pairs = len(own) / len(batch), _share(lists.filled, own, batch)
            mixed = part * loss + settings.event_loss * of_pairs * of_heads
            mixed.backward()  # type: ignore[no-untyped-call]
            total += loss.item() * len(own)
        group.sum_gradients(network)
        if settings.most_gradient is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.most_gradient)
        training.optimizer.step()
        training.schedule.step()
    return group.summed(total, training.device) / len(learnt)


def _share(filled: Mask, own: Array, batch: Array) -> float:
    """The share of a batch's candidates that are on a process's own lists."""
    return 1.0 if len(own) == len(batch) else float(filled[own].sum() / filled[batch].sum())


def _copied(network: ListNetwork) -> Weights:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _finished(curve: Curve, settings: "NeuralRanker") -> bool:
    """Whether all epochs are done, or `patience` of them brought nothing."""
    if not curve:
        return False
    stale = len(curve) - 1 - _best_epoch(curve)
    return len(curve) >= settings.epochs or stale >= settings.patience


def _split(held: Mask) -> tuple[Array, Array]:
    """(lists to learn from, lists held out), at least one of each."""
    if not held.any():
        raise TrainingError("lists of at least 2 users are needed, one to hold out; got 1")
    return np.flatnonzero(~held), np.flatnonzero(held)


def learnable(outcomes: Mask, filled: Mask) -> list[int]:
    """The events (h,) that enough candidates were chosen by, and enough were not.

    outcomes (n, w, h), filled (n, w).
    """
    chosen = outcomes[filled].sum(axis=0)
    others = filled.sum() - chosen
    return np.flatnonzero(np.minimum(chosen, others) >= LEAST_OUTCOMES).tolist()


def fresh(lists: TrainingLists, settings: "NeuralRanker", heads: list[int]) -> ListNetwork:
    """A network whose inputs are brought to mean 0 and deviation 1; constants to 0.

    Its heads begin with the share of the candidates that each event chose.
    """
    network: ListNetwork = settings.network(len(lists.names), len(heads))
    mean, deviation = _spread(lists)
    varies = deviation > 1e-6
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    network.mean.copy_(torch.from_numpy(mean))
    network.scale.copy_(torch.from_numpy(scale))
    if heads:
        share = lists.outcomes(np.arange(len(lists)))[lists.filled][:, heads].mean(axis=0)
        network.begin_with(torch.from_numpy(np.log(share / (1 - share))))
    return network


def _spread(lists: TrainingLists) -> tuple[Array, Array]:
    """The mean (f,) and the deviation (f,) of every feature over all candidates, in float64.

    Some lists at a time: a copy of them all in float64 would be most of a fit's memory.
    """
    count = int(lists.filled.sum())

    def mean_of(power: int, middle: Array | float) -> Array:
        total = np.zeros(len(lists.names))
        for some in lists.stretches():
            rows = lists.features[some][lists.filled[some]].astype(np.float64)
            rows -= middle
            total += np.power(rows, power, out=rows).sum(axis=0)
        return total / count

    mean = mean_of(1, 0.0)
    return mean, np.sqrt(mean_of(2, mean))


def _batches(order: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _losses(
    network: ListNetwork, lists: TrainingLists, batch: Array, heads: list[int], half: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of some lists, and that of their heads: 0 without any.

    With `half` products are those of bfloat16; the losses are of float32 all the same.
    While it learns, a network has the mean loss of its members: each learns by itself.
    """
    device = network.mean.device
    features, labels, filled = (
        torch.from_numpy(array[batch]).to(device)
        for array in (lists.features, lists.labels, lists.filled)
    )
    weights = None
    if lists.weights is not None:  # over their mean, so that the learning rate means the same
        weights = torch.from_numpy(lists.weights[batch] / lists.weights.mean()).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        scores, odds = network.each(features)
    scores = scores.float() if network.training else scores.float().mean(dim=0, keepdim=True)
    loss = torch.stack([softmax_loss(own, labels, filled, weights) for own in scores]).mean()
    if odds is None or not heads:
        return loss, torch.zeros((), device=device)
    odds = odds.float()
    outcomes = torch.from_numpy(lists.outcomes(batch)[..., heads]).to(odds)
    of_heads = torch.stack([outcome_loss(own, outcomes, filled) for own in odds]).mean()
    return loss, of_heads


def _held_loss(network: ListNetwork, lists: TrainingLists, held: Array) -> float:
    network.eval()
    with torch.inference_mode():
        losses = [
            _losses(network, lists, batch, [])[0].item() * len(batch)
            for batch in _batches(held, _AT_ONCE)
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
