"""The lists of every system for the users who are scored, block by block."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from recsys.evaluation.account import Found
from recsys.evaluation.held import Held
from recsys.features.arrays import PAD, Array, Rows
from recsys.features.histories import Histories
from recsys.features.threads import side_by_side
from recsys.fitted import block_size
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import PASSING, Source, nothing

if TYPE_CHECKING:
    from recsys.engine import Engine

TWO_STAGE, FUSED = "two-stage", "fused"

USERS_AT_ONCE = 10_000
"""Users that one system answers before the next is asked: it bounds the memory of candidates."""

_FIRST = 4
"""Users who are asked for once before the clock starts."""


@dataclass(frozen=True)
class Answers:
    """What each system offered (its lists, best first), and what that cost."""

    items: Mapping[str, Rows]  # per system (b, k) PAD where a list is short
    seconds: Mapping[str, float]
    found: Found
    failed: tuple[str, ...]  # sources that could not answer, once for each block of users


def ask(
    engine: "Engine", held: Held, k: int, longest: int, told: Callable[[float], None]
) -> Answers:
    """Ask every source, the fused list and the two-stage list; `told` the share that is done.

    Lists are of length `longest`, of the candidates that a request for `k` items has.
    """
    asking = _Asking(engine, k, longest)
    done = 0
    for block in held.blocks(USERS_AT_ONCE):
        asking.add(block)
        done += len(block)
        told(done / len(held))
    return asking.answers()


@dataclass
class _Asking:
    """The answers so far."""

    engine: "Engine"
    k: int
    longest: int
    items: dict[str, list[Rows]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, held: Held) -> None:
        """Ask every system for these users."""
        fitted, k, longest = self.engine.learnt.fitted, self.k, self.longest
        self._ask(TWO_STAGE, held, self._both_stages)
        self._ask(FUSED, held, lambda h, a: fitted.fused(h, a, longest, k).candidates)
        for member in fitted.sources.offering:
            self._ask(member.name, held, partial(self._one_source, member))
        self.found.append(self._account(held))

    def answers(self) -> Answers:
        """All of them as one."""
        items = {name: np.concatenate(parts) for name, parts in self.items.items()}
        return Answers(items, self.seconds, Found.joined(self.found), tuple(self.failed))

    def _both_stages(self, histories: Histories, allowed: Allowed) -> Candidates:
        ranked = self.engine.learnt.fitted.rank(histories, allowed, self.longest, self.k)
        self.failed.extend(ranked.failed)
        return ranked.candidates

    def _one_source(self, source: Source, histories: Histories, allowed: Allowed) -> Candidates:
        """What a source offers to its depth, which is what it costs to have it."""
        k = min(max(source.depth, self.longest), len(allowed.mask))
        try:
            return source.retriever.retrieve(histories, k, allowed).top(self.longest)
        except PASSING:
            self.failed.append(source.name)
            return nothing(histories, source.name)

    def _ask(
        self, name: str, held: Held, system: Callable[[Histories, Allowed], Candidates]
    ) -> None:
        def items(block: Held) -> Rows:
            histories = block.histories
            return _wide(system(histories, held.policy.allowed(histories)).items, self.longest)

        if name not in self.seconds:  # what a first call compiles and loads is not its cost
            items(next(held.blocks(_FIRST)))
        started = time.perf_counter()
        parts = list(side_by_side(items, self._blocks(held)))
        self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - started
        self.items.setdefault(name, []).extend(parts)

    def _account(self, held: Held) -> Found:
        fitted = self.engine.learnt.fitted

        def found(block: Held) -> Found:
            allowed = held.policy.allowed(block.histories)
            whole, _ = fitted.sources.united(block.histories, allowed, self.k)
            kept = fitted.sources.fusion.cut(whole, self.k)
            return Found.of(block, whole, kept, fitted.sources.offering)

        return Found.joined(list(side_by_side(found, self._blocks(held))))

    def _blocks(self, held: Held) -> Sequence[Held]:
        return list(held.blocks(block_size(len(held.catalog))))


def _wide(items: Rows, k: int) -> Array:
    return np.pad(items, [(0, 0), (0, k - items.shape[1])], constant_values=PAD)
