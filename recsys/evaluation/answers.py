"""The lists of every system for the users who are scored, block by block."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from recsys.evaluation.account import Found
from recsys.evaluation.held import Held
from recsys.features.arrays import PAD, Array, Rows
from recsys.features.memory import hand_back
from recsys.features.threads import side_by_side
from recsys.fitted import FUSED, TWO_STAGE, block_size
from recsys.ranked import Ranked
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import Source, Sources, nothing

if TYPE_CHECKING:
    from recsys.engine import Engine

Made = TypeVar("Made")

USERS_AT_ONCE = 2_500
"""Users that one stage answers before the next is asked: it bounds the memory of candidates."""

_FIRST = 4
"""Users who are asked for once before the clock starts."""


@dataclass(frozen=True)
class Answers:
    """What each system offered (its lists, best first), and what that cost."""

    items: Mapping[str, Rows]  # per system (b, k) PAD where a list is short
    seconds: Mapping[str, float]
    """Of a source what it takes to its depth or the longest list; of the fused list with those of
    all sources and of the policy; of the two-stage list with those of the fused one."""
    found: Found
    failed: tuple[str, ...]  # sources that could not answer, once for each block of users


def ask(
    engine: "Engine", held: Held, k: int, longest: int, told: Callable[[float], None]
) -> Answers:
    """Ask every source, fuse what they offer, rank it; `told` the share that is done.

    Lists are of length `longest`, of the candidates that a request for `k` items has. The first `k`
    are those that are served, rules and diversity among it; no place is given by lot, as what is
    drawn is there to learn from and not because it is thought best.
    """
    final = engine.learnt.fitted.final
    if final is not None:
        final.check(k)
    asking = _Asking(engine, k, longest)
    done = 0
    for block in held.blocks(USERS_AT_ONCE):
        asking.add(block)
        done += len(block)
        told(done / len(held))
    return asking.answers()


@dataclass
class _Block:
    """Some users, and what each stage has made of the one before."""

    held: Held
    allowed: Allowed
    offers: list[Candidates | None] = field(default_factory=list)  # of each source
    whole: Candidates | None = None  # the union of them
    kept: Candidates | None = None  # what the width leaves of it
    served: Candidates | None = None  # with those behind it that a longer list needs
    failed: list[str] = field(default_factory=list)  # sources that offered nothing
    ranked: Ranked | None = None

    @classmethod
    def of(cls, held: Held) -> "_Block":
        return cls(held, held.policy.allowed(held.histories))


@dataclass
class _Asking:
    """The answers so far."""

    engine: "Engine"
    k: int
    longest: int
    items: dict[str, list[Rows]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # of each stage alone
    allowing: float = 0.0  # seconds in which the policy said what may be offered
    found: list[Found] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, held: Held) -> None:
        """Ask every system for these users: each source once, the rest from what they offered."""
        first = None if self.seconds else _Block.of(next(held.blocks(_FIRST)))
        started = time.perf_counter()
        parts = held.blocks(block_size(len(held.catalog)))
        blocks = list(side_by_side(_Block.of, parts))
        self.allowing += time.perf_counter() - started
        for name, stage in self._stages():
            if first is not None:  # what a first call compiles and loads is not its cost
                stage(first)
            started = time.perf_counter()
            lists = [_wide(items, self.longest) for items in side_by_side(stage, blocks)]
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - started
            self.items.setdefault(name, []).extend(lists)
        self.failed.extend(name for block in blocks for name in _made(block.ranked).failed)
        self.found.append(Found.joined(list(side_by_side(self._found, blocks))))
        blocks.clear()
        hand_back()

    def answers(self) -> Answers:
        """All of them as one."""
        sources = [member.name for member in self._sources.offering]
        names = (TWO_STAGE, FUSED, *sources)
        items = {name: np.concatenate(self.items[name]) for name in names}
        seconds = {name: self.seconds[name] for name in names}
        seconds[FUSED] += self.allowing + sum(seconds[name] for name in sources)
        seconds[TWO_STAGE] += seconds[FUSED]
        return Answers(items, seconds, Found.joined(self.found), tuple(self.failed))

    @property
    def _sources(self) -> Sources:
        return self.engine.learnt.fitted.sources

    def _stages(self) -> Iterator[tuple[str, Callable[[_Block], Rows]]]:
        """In their order, as each needs what those before it left in the block."""
        for member in self._sources.offering:
            yield member.name, partial(self._offer, member)
        yield FUSED, self._unite
        yield TWO_STAGE, self._rank

    def _offer(self, source: Source, block: _Block) -> Rows:
        """What a source offers to its depth, which is what it costs to have it."""
        histories = block.held.histories
        own = source.offer(histories, block.allowed, self.longest)
        block.offers.append(own)
        return (
            nothing(histories, source.name).items if own is None else own.items[:, : self.longest]
        )

    def _unite(self, block: _Block) -> Rows:
        """The union as a request for `k` has it."""
        fitted, sources = self.engine.learnt.fitted, self._sources
        offers = [
            None if own is None else own.top(member.depth)
            for own, member in zip(block.offers, sources.offering, strict=True)
        ]
        histories = block.held.histories
        block.whole = sources.joined(offers, histories)
        block.kept = sources.fusion.cut(block.whole)
        block.served = fitted.lengthened(block.kept, histories, block.allowed, self.k)
        block.failed = [
            m.name for m, own in zip(sources.offering, offers, strict=True) if own is None
        ]
        block.offers.clear()
        return fitted.fused(block.served, self.longest).candidates.items

    def _rank(self, block: _Block) -> Rows:
        fitted, served = self.engine.learnt.fitted, _made(block.served)
        histories, allowed = block.held.histories, block.allowed
        block.ranked = fitted.listed(histories, allowed, served, block.failed, self.k, self.longest)
        return block.ranked.candidates.items

    def _found(self, block: _Block) -> Found:
        whole, kept = _made(block.whole), _made(block.kept)
        return Found.of(block.held, whole, kept, self._sources.offering)


def _made(made: Made | None) -> Made:
    """What an earlier stage has made."""
    if made is None:
        raise RuntimeError("a stage ran before the one that it needs")
    return made


def _wide(items: Rows, k: int) -> Array:
    return np.pad(items, [(0, 0), (0, k - items.shape[1])], constant_values=PAD)
