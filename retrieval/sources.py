"""Several sources of candidates, asked as one."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.memory import hand_back
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.fusion import Fusion
from recsys.retrieval.mixture import Mixture
from recsys.retrieval.retriever import Retriever, resumes

_log = logging.getLogger("recsys")

PASSING = (RuntimeError, ValueError, MemoryError, OSError)
"""What a source may fail with while the others go on."""


@dataclass(frozen=True)
class Source:
    """A retriever and how many candidates it may offer; with a depth of 0 it only gives scores."""

    retriever: Retriever
    depth: int

    @property
    def name(self) -> str:
        return self.retriever.name

    def offer(self, histories: Histories, allowed: Allowed, least: int = 0) -> Candidates | None:
        """Its candidates to its depth, or to `least` if that is more; None where it fails."""
        k = min(max(self.depth, least), len(allowed.mask))
        try:
            return self.retriever.retrieve(histories, k, allowed)
        except PASSING as error:
            _log.error("source %r failed and is passed over: %s", self.name, error)
            return None


@dataclass(frozen=True)
class Older:
    """What sources of an older log leave to those of a newer one: not all that they learnt."""

    resuming: Mapping[str, Retriever]  # by name, those that a fit can go on from
    left_out: Mapping[str, str]  # by name, why it could not be fitted


@dataclass(frozen=True)
class Sources:
    """All sources of an engine, in the order in which their opinions are kept."""

    members: tuple[Source, ...]
    fusion: Fusion = field(default_factory=Fusion)
    mixture: Mixture | None = None  # where one was learnt
    left_out: Mapping[str, str] = field(default_factory=dict)  # by name, why

    @property
    def retrievers(self) -> list[Retriever]:
        return [member.retriever for member in self.members]

    @property
    def offering(self) -> list[Source]:
        """Those that offer candidates."""
        return [member for member in self.members if member.depth > 0]

    def fit(
        self,
        log: Interactions,
        catalog: Catalog,
        step: Callable[[str], None] = lambda name: None,
        older: "Older | None" = None,
    ) -> tuple["Sources", list[str]]:
        """Fit every source; returns those that could be, and why the others were left out.

        Those that can go on from `older`, which comes of a log that this one contains; what could
        not be fitted there is left out here, as whoever learnt from those does not know it.
        Raises DataError where none is left that offers candidates.
        """
        fitted, left_out = [], dict(older.left_out) if older else {}
        for member in self.members:
            step(member.name)
            if member.name in left_out:
                continue
            try:
                _learn(member, log, catalog, older)
                fitted.append(member)
            except DataError as error:
                left_out[member.name] = str(error)
            hand_back()
        left = replace(self, members=tuple(fitted), left_out=left_out)
        if not left.offering:
            raise DataError(f"no source is left that offers candidates: {'; '.join(left.notes)}")
        return left, left.notes

    @property
    def notes(self) -> list[str]:
        """Which sources were left out and why, and what counts for nothing without them."""
        notes = [f"source {name!r} is left out: {why}" for name, why in self.left_out.items()]
        if idle := sorted(self.fusion.sources - {member.name for member in self.members}):
            notes.append(
                "weights and quotas in fusion count for nothing of what is left out: "
                f"{', '.join(idle)}"
            )
        return notes

    def older(self) -> "Older":
        """What these leave to sources of a newer log."""
        kept = {m.name: m.retriever for m in self.members if resumes(m.retriever)}
        return Older(kept, self.left_out)

    def retrieve(self, histories: Histories, allowed: Allowed) -> tuple[Candidates, list[str]]:
        """The union of what all sources offer, each to its depth.

        A source that fails offers nothing: the second value names those that failed.
        """
        whole, failed = self.united(histories, allowed)
        return self.fusion.cut(whole), failed

    def united(
        self, histories: Histories, allowed: Allowed, least: int = 0
    ) -> tuple[Candidates, list[str]]:
        """As `retrieve`, before the settings of the fusion cut anything off; each source to `least`
        if that is more than its depth.
        """
        offers = [member.offer(histories, allowed, least) for member in self.offering]
        failed = [m.name for m, own in zip(self.offering, offers, strict=True) if own is None]
        return self.joined(offers, histories), failed

    def joined(self, offers: Sequence[Candidates | None], histories: Histories) -> Candidates:
        """The union, uncut, of an offer of each source that offers; None where one failed."""
        lists = [
            nothing(histories, member.name) if own is None else own
            for member, own in zip(self.offering, offers, strict=True)
        ]
        return self.fusion.united(lists, self.mixture)


def _learn(member: Source, log: Interactions, catalog: Catalog, older: Older | None) -> None:
    retriever = member.retriever
    before = older.resuming.get(member.name) if older else None
    if resumes(retriever) and isinstance(before, type(retriever)):
        retriever.refit(log, catalog, before)
    else:
        retriever.fit(log, catalog)


def nothing(histories: Histories, name: str) -> Candidates:
    """The lists of a source that offers nobody anything."""
    shape = (len(histories), 1)
    items = np.full(shape, PAD, np.int32)
    return Candidates.of_one(histories.users, items, np.full(shape, -np.inf, np.float32), name)


def named(sources: Sequence[Source], name: str) -> Source:
    """The source of this name; raises DataError where there is none."""
    for source in sources:
        if source.name == name:
            return source
    raise DataError(f"there is no source {name!r}; there are {[s.name for s in sources]}")
