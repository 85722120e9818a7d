"""One step of the source "sequence": what it reads, what it is held against, and its gradients."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys.features.arrays import Array, Floats, Mask, Rows
from recsys.features.threads import side_by_side
from recsys.retrieval.sequence_loss import sampled_softmax_loss
from recsys.retrieval.sequence_network import SequenceNetwork

_UNIFORM = 0.5  # the share of negatives drawn evenly; the others come as often as they are had


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of events, (b, l) each: a row may hold the ends and beginnings of several histories."""

    items: Array
    events: Array
    pauses: Array
    owners: Array  # PAD where a row is not full
    follows: Mask  # does the same user have another event?
    wanted: Rows  # (m,) the items of those events

    def parts(self, count: int) -> list["Block"]:
        """The rows in `count` stretches of about the same length; none of them without a row."""
        stretches = np.array_split(np.arange(len(self.items)), min(count, len(self.items)))
        return [self._rows(slice(int(rows[0]), int(rows[-1]) + 1)) for rows in stretches]

    def _rows(self, own: slice) -> "Block":
        before = int(self.follows[: own.start].sum())
        follows = self.follows[own]
        return Block(
            items=self.items[own],
            events=self.events[own],
            pauses=self.pauses[own],
            owners=self.owners[own],
            follows=follows,
            wanted=self.wanted[before : before + int(follows.sum())],
        )


@dataclass(frozen=True, slots=True)
class Negatives:
    """Items that a step is held against."""

    items: Rows  # (n,)
    log_expected: Floats  # (n,) the logarithm of how often each was to be expected among them


class Lottery:
    """Draws negatives from what anybody had: half evenly, half as often as it was had."""

    def __init__(self, counts: Array) -> None:
        seen = counts > 0
        self._items = np.flatnonzero(seen).astype(np.int32)
        self._shares = (_UNIFORM * seen / seen.sum() + (1 - _UNIFORM) * counts / counts.sum())[seen]
        self._edges = np.cumsum(self._shares)

    def draw(self, number: int, rng: np.random.Generator) -> Negatives:
        """So many items; all of them, each expected once, where there are no more."""
        if len(self._items) <= number:
            return Negatives(self._items, np.zeros(len(self._items), np.float32))
        places = np.searchsorted(self._edges, rng.random(number) * self._edges[-1], side="right")
        places = np.minimum(places, len(self._items) - 1)
        expected = np.log(number * self._shares[places]).astype(np.float32)
        return Negatives(self._items[places], expected)


class Replicas:
    """A network and copies of it that share its numbers, to work on the parts of a step at once.

    Each has gradients and random numbers of its own, and gradients are added up in a fixed order:
    what comes of a step does not hang on how many cores there are.
    """

    def __init__(self, network: SequenceNetwork, count: int, rng: np.random.Generator) -> None:
        self.networks = [network, *(_sharing(network) for _ in range(count - 1))]
        device = network.space.content.device
        for each in self.networks:
            seed = int(rng.integers(2**31))
            each.draws_from(torch.Generator(device.type).manual_seed(seed))

    def step(self, block: Block, negatives: Negatives) -> float:
        """The loss, a mean over the wanted items; its gradients are left to the first network."""
        for network in self.networks:
            network.train().zero_grad()
        parts = block.parts(len(self.networks))

        def gradients(place: int) -> float:
            share = len(parts[place].wanted) / len(block.wanted)
            loss = _loss(self.networks[place], parts[place], negatives) * share
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.item()

        losses = list(side_by_side(gradients, range(len(parts))))
        _add_up(self.networks[: len(parts)])
        return sum(losses)


def _sharing(network: SequenceNetwork) -> SequenceNetwork:
    """A copy with the same numbers in the same place."""
    shared: dict[int, Any] = {id(each): nn.Parameter(each.data) for each in network.parameters()}
    shared |= {id(each): each for each in network.buffers()}
    return deepcopy(network, shared)


@torch.no_grad()
def _add_up(networks: Sequence[SequenceNetwork]) -> None:
    """Add the gradients of all to those of the first."""
    for own, *others in zip(*(each.parameters() for each in networks), strict=True):
        for other in others:
            if own.grad is None:
                own.grad = other.grad
            elif other.grad is not None:
                own.grad += other.grad


def _loss(network: SequenceNetwork, block: Block, negatives: Negatives) -> Tensor:
    n, m = block.items.size, len(block.wanted)
    device = network.space.content.device

    def there(values: Array) -> Tensor:
        return torch.from_numpy(values).to(device)

    rows, places = np.unique(
        np.concatenate([block.items.ravel(), block.wanted, negatives.items]), return_inverse=True
    )
    table = network.space(there(rows))  # each item of the step once
    place = there(places)
    read, wanted, offered = (
        # Indexing would add the gradients up in any order; this is deterministic.
        functional.embedding(own, table) for own in (place[:n], place[n : n + m], place[n + m :])
    )  # fmt: skip
    bfloat16 = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    with bfloat16:
        led = network(
            read.view(*block.items.shape, -1), there(block.events), there(block.pauses),
            there(block.owners),
        )[there(block.follows)]  # fmt: skip
    which = place.to(torch.int32)
    return sampled_softmax_loss(
        led.float(), wanted, offered, there(negatives.log_expected), which[n : n + m],
        which[n + m :],
    )  # fmt: skip
