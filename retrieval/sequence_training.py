"""How the network of the source "sequence" learns what comes next."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recsys.features import ragged
from recsys.features.arrays import Array, Floats, Mask, Offsets, Rows
from recsys.features.errors import TrainingError
from recsys.features.threads import one_thread, seeded
from recsys.retrieval.sequence_kernel import Weights
from recsys.retrieval.sequence_network import ItemSpace, SequenceNetwork
from recsys.retrieval.sequence_step import Block, Lottery, Replicas

_log = logging.getLogger("recsys")

_SMALL = 1 << 18  # numbers in a step below which torch's threads wait more than they work
_PARTS = 2  # of such a step, which are worked on at once


@dataclass(frozen=True, slots=True)
class Stream:
    """Histories, one after the other, each with its oldest event first."""

    offsets: Offsets  # (users + 1,)
    items: Rows  # (n,)
    events: Array  # (n,)
    pauses: Array  # (n,) classes of the time since the event before

    def take(self, users: Array, last: int | None = None) -> "Stream":
        """Some of the histories, of each the newest `last` events."""
        offsets, flat = ragged.gather(self.offsets, users)
        if last is not None:
            lengths = np.diff(offsets)
            age = np.repeat(offsets[1:], lengths) - 1 - np.arange(len(flat))
            flat, offsets = flat[age < last], ragged.offsets_of(np.minimum(lengths, last))
        return Stream(offsets, self.items[flat], self.events[flat], self.pauses[flat])


@dataclass(frozen=True, slots=True)
class Rounds:
    """How long and how fast to learn."""

    epochs: int
    batch: int  # events in a step
    history: int  # events in a row
    negatives: int
    rate: float
    decay: float

    @property
    def rows(self) -> int:
        """How many rows a step has."""
        return max(1, self.batch // self.history)


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of training, and what training can go on from."""

    table: Floats  # (items, d) the items' vectors
    weights: Weights
    state: dict[str, Tensor]  # the network's own numbers, by name
    seen: Mask  # (items,) had anybody the item?


@dataclass(frozen=True, slots=True)
class Shape:
    """What a network is built with."""

    width: int
    layers: int
    heads: int
    history: int
    events: int
    pauses: int
    dropout: float
    id_dropout: float

    def network(self, content: Floats, seen: Mask) -> SequenceNetwork:
        """A new network over items with this content (items, c)."""
        space = ItemSpace(
            torch.from_numpy(content), torch.from_numpy(seen), self.width, self.id_dropout
        )
        return SequenceNetwork(
            space, layers=self.layers, heads=self.heads, history=self.history, events=self.events,
            pauses=self.pauses, dropout=self.dropout,
        )  # fmt: skip


def fitted(
    stream: Stream, content: Floats, counts: Array, shape: Shape, rounds: Rounds, seed: int,
    device: str, before: Trained | None = None,
) -> Trained:  # fmt: skip
    """Build a network and `train` it; torch's own random numbers stay as they were.

    With `before` it goes on from there, where that was trained on items and content like these.
    """
    with one_thread(_is_small(shape.width, rounds)):
        with seeded(seed, gpus=True):  # what is drawn later comes from generators of its own
            network = shape.network(content, counts > 0)
        if before is not None:
            _go_on(network, before)
        return train(network, stream, counts, rounds, seed, device)


def _is_small(width: int, rounds: Rounds) -> bool:
    return rounds.batch * width < _SMALL


def fits(shape: Shape, content: Floats, before: Trained) -> bool:
    """Whether a network of this shape could go on from what was trained before."""
    with torch.device("meta"):
        network = shape.network(content, np.ones(len(content), bool))
    own = {name: each.shape for name, each in network.named_parameters()}
    return own == {name: each.shape for name, each in before.state.items()}


@torch.no_grad()
def _go_on(network: SequenceNetwork, before: Trained) -> None:
    network.load_state_dict(before.state, strict=False)  # its buffers are those of the new log
    own = network.space.own.weight
    own[torch.from_numpy(~before.seen)] = 0  # an item that is new begins where its content puts it


def train(
    network: SequenceNetwork, stream: Stream, counts: Array, rounds: Rounds, seed: int, device: str
) -> Trained:
    """Fit `network` for all its epochs, at the end of which the rate has come down to nothing.

    `counts` (items,) say how often each item was had. The same seed gives the same answer on any
    number of cores, where steps are small enough to be worked on in parts. Raises TrainingError
    where the loss is not finite.
    """
    rng = np.random.default_rng(seed)
    users = len(stream.offsets) - 1
    optimizer, schedule = _optimizer(network.to(device), len(stream.items), rounds)
    replicas, lottery = Replicas(network, _parts(network, rounds), rng), Lottery(counts)
    for epoch in range(rounds.epochs):
        for block in _blocks(stream.take(rng.permutation(users)), rounds, rng):
            loss = replicas.step(block, lottery.draw(rounds.negatives, rng))
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        if not np.isfinite(loss):
            raise TrainingError(f"the sequence encoder's loss is {loss}: lower its rate")
        _log.debug("epoch %d: loss %.4f", epoch + 1, loss)
    return Trained(*exported(network.eval()), _state(network), counts > 0)


def _parts(network: SequenceNetwork, rounds: Rounds) -> int:
    """In how many parts a step is done: a large one is left to torch, a GPU has it whole."""
    on_cpu = network.space.content.device.type == "cpu"
    return _PARTS if on_cpu and _is_small(network.space.own.embedding_dim, rounds) else 1


def _state(network: SequenceNetwork) -> dict[str, Tensor]:
    """A copy of all that is learnt."""
    return {name: each.detach().cpu().clone() for name, each in network.named_parameters()}


@torch.no_grad()
def exported(network: SequenceNetwork) -> tuple[Floats, Weights]:
    """The items' vectors (items, d) and the weights, gains and scales folded in."""
    table = network.space(
        torch.arange(len(network.space.content), device=network.space.content.device)
    )
    layers = network.stack
    heads, size = layers[0].heads, layers[0].answer.in_features // layers[0].heads
    d = heads * size
    asks = [(each.ask.weight * each.before_attention.weight).T for each in layers]  # (d, 3 d)
    gates = [(each.gate.weight * each.before_gate.weight).T for each in layers]
    weights = Weights(
        events=_numpy(network.events.weight),
        pauses=_numpy(network.pauses.weight),
        asks=_numpy(torch.stack([each[:, :d] * size**-0.5 for each in asks])),
        tells=_numpy(torch.stack([each[:, d:] for each in asks])),
        nearness=_numpy(torch.stack([each.nearness for each in layers])),
        answers=_numpy(torch.stack([each.answer.weight.T for each in layers])),
        gates=_numpy(torch.stack(gates)),
        downs=_numpy(torch.stack([each.down.weight.T for each in layers])),
        point=_numpy((network.point.weight * network.last.weight).T),
    )
    return _numpy(table), weights


def _numpy(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().float().cpu().numpy(), np.float32, order="C")


def _optimizer(
    network: SequenceNetwork, events: int, rounds: Rounds
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    rows = events // rounds.history + 2  # at the most: the first and the last may be half full
    steps = -(-rows // rounds.rows) * rounds.epochs
    groups: list[dict[str, object]] = [{"params": [], "weight_decay": rounds.decay}]
    groups.append({"params": [], "weight_decay": 0.0})
    for name, parameter in network.named_parameters():
        matrix = parameter.ndim > 1 and "nearness" not in name
        groups[0 if matrix else 1]["params"].append(parameter)  # type: ignore[attr-defined]
    optimizer = torch.optim.AdamW(groups, lr=rounds.rate, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rounds.rate, total_steps=steps, pct_start=0.15, cycle_momentum=False
    )
    return optimizer, schedule


def _blocks(stream: Stream, rounds: Rounds, rng: np.random.Generator) -> Iterator[Block]:
    """The stream cut into rows at a random phase, which are as full as rows can be."""
    length, n = rounds.history, len(stream.items)
    size = -(-(n + length) // length) * length
    ahead = int(rng.integers(length))

    def laid(values: Array, fill: int) -> Array:
        out = np.full(size + 1, fill, np.int64)
        out[ahead : ahead + n] = values
        return out

    owners = laid(ragged.owners(stream.offsets), -1)
    follows = ((owners[1:] == owners[:-1]) & (owners[1:] >= 0)).reshape(-1, length)
    items = laid(stream.items, 0)
    columns = [items, laid(stream.events, 0), laid(stream.pauses, 0), owners]
    rows = [each[:-1].reshape(-1, length) for each in columns]
    wanted = items[1:].reshape(-1, length)
    order = rng.permutation(np.flatnonzero(follows.any(axis=1)))
    for start in range(0, len(order), rounds.rows):
        own = order[start : start + rounds.rows]
        read, events, pauses, owner = (each[own] for each in rows)
        yield Block(read, events, pauses, owner, follows[own], wanted[own][follows[own]])
