"""Lists to learn from: candidates as they would be served, and which of them were chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats, Mask, Offsets, Rows
from recsys.ranking.grades import Graded, reached
from recsys.ranking.position_bias import PositionBias
from recsys.ranking.spool import Features, Spool, joined, some_of
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates

_AT_ONCE = 256
"""Lists whose features are read together where all are."""


@dataclass(frozen=True)
class Chosen:
    """What each query chose after its moment, as ragged arrays."""

    offsets: Offsets  # (b + 1,)
    items: Rows  # (n,) distinct within a query
    weights: Floats  # (n,) > 0
    events: NDArray[np.uint8]  # (n,) what each was chosen by, as the log codes its events
    positions: NDArray[np.uint16] | None = None  # (n,) the place it was chosen at; 0 unknown

    def take(self, queries: Array) -> "Chosen":
        """Some of the queries, by position."""
        offsets, flat = ragged.gather(self.offsets, queries)
        return self._at(offsets, flat)

    def weighed(self, bias: PositionBias | None) -> "Chosen":
        """The same, where each choice counts for the looks that its place gets."""
        if bias is None or self.positions is None:
            return self
        return replace(self, weights=self.weights * bias.weights(self.positions))

    def factors(self, bias: PositionBias | None) -> Floats:
        """(b,) by what factor each query's choices together count for more than without `bias`."""
        owner, queries = ragged.owners(self.offsets), len(self.offsets) - 1
        plain = np.bincount(owner, self.weights, queries)
        counted = np.bincount(owner, self.weighed(bias).weights, queries)
        none = np.ones(queries)
        return np.divide(counted, plain, out=none, where=plain > 0).astype(np.float32)

    def labels(self, candidates: Candidates) -> Floats:
        """(b, w) the weight of each candidate that was chosen, 0 for the others."""
        place = self._places(candidates.items)
        if not len(self.weights):
            return np.zeros(place.shape, np.float32)
        return np.where(place != PAD, self.weights[place], np.float32(0))

    def codes(self, items: Rows) -> NDArray[np.int16]:
        """(b, w) which event chose each item of the lists (b, w), PAD where none did."""
        place = self._places(items)
        if not len(self.events):
            return np.full(place.shape, PAD, np.int16)
        return np.where(place != PAD, self.events.astype(np.int16)[place], np.int16(PAD))

    def hits(self, items: Rows) -> Mask:
        """(b, k) which items of each list were chosen; PAD never was."""
        hits: Mask = self._places(items) != PAD
        return hits

    def ranks(self, items: Rows) -> Rows:
        """(n,) where each chosen item stands in the list (b, k) of its query, PAD if nowhere."""
        places = self._places(items)
        ranks = np.full(len(self.items), PAD, np.int32)
        ranks[places[places != PAD]] = np.nonzero(places != PAD)[1]
        return ranks

    def within(self, allowed: Allowed) -> "Chosen":
        """What was chosen and may be offered."""
        owner = ragged.owners(self.offsets)
        hidden = _places(allowed.offsets, allowed.excluded, owner, self.items) != PAD
        kept = allowed.mask[self.items] & ~hidden
        counts = np.bincount(owner[kept], minlength=len(self.offsets) - 1)
        return self._at(ragged.offsets_of(counts), kept)

    def _at(self, offsets: Offsets, flat: Array) -> "Chosen":
        """Other lists of these choices, by mask or place among all."""
        positions = None if self.positions is None else self.positions[flat]
        return Chosen(offsets, self.items[flat], self.weights[flat], self.events[flat], positions)

    def _places(self, items: Rows) -> Array:
        owner = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        return np.where(items == PAD, PAD, _places(self.offsets, self.items, owner, items))


def _places(offsets: Offsets, items: Rows, owner: Array, asked: Array) -> Array:
    """Where `asked` stands in the list of its `owner`, PAD where it does not."""
    if not len(items):
        return np.full(asked.shape, PAD)
    span = 1 + int(max(items.max(), asked.max(initial=0)))
    keys = ragged.owners(offsets).astype(np.int64) * span + items
    order = np.argsort(keys)
    wanted = owner.astype(np.int64) * span + asked
    place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[place] == wanted, place, PAD)


@dataclass(frozen=True)
class TrainingLists:
    """Candidates of past moments with their features, and which of them were chosen."""

    features: Features  # (n, w, f), perhaps on disk: read those of some lists at a time
    labels: Floats  # (n, w) weight of a chosen item, else 0; each list has a chosen one
    filled: Mask  # (n, w) False behind the end of a short list
    users: Rows  # (n,) PAD for a list of nobody known
    names: tuple[str, ...]  # (f,)
    queries: int  # moments asked about, with or without a chosen candidate
    positives: int  # items chosen at those moments
    missed: int  # those of them that no source had found: counted, and nothing to learn from
    grades: Graded | None = None  # (n, w) which event chose each; None: all are of one kind
    events: tuple[str, ...] = ("chosen",)  # the names of the grades from 1 on
    offered: int | None = None  # candidates at those moments, drawn or not; None: unknown
    weights: Floats | None = None  # (n,) what each list counts in the loss; None: all the same

    def __len__(self) -> int:
        return len(self.labels)

    def stretches(self) -> Iterator[Array]:
        """The places of all lists in their order, as many at a time as are read at once."""
        for start in range(0, len(self), _AT_ONCE):
            yield np.arange(start, min(start + _AT_ONCE, len(self)))

    def spooled(self, spool: Spool) -> "TrainingLists":
        """The same with their features in a spool; raises TrainingError where it has no room."""
        if isinstance(self.features, np.ndarray):
            return replace(self, features=spool.append(self.features))
        return self

    def outcomes(self, lists: Array) -> Mask:
        """(b, w, h) whether each candidate of some lists was chosen by an event or a stronger one.

        Lists are given by their places (b,).
        """
        if self.grades is None:
            return self.labels[lists, :, None] > 0
        return reached(self.grades[lists], len(self.events))

    def take(self, places: Array) -> "TrainingLists":
        """Some of the lists, by position, counted for themselves."""
        taken = replace(
            self,
            features=some_of(self.features, places),
            labels=self.labels[places],
            filled=self.filled[places],
            users=self.users[places],
            grades=None if self.grades is None else self.grades[places],
            offered=None,
            weights=None if self.weights is None else self.weights[places],
        )
        return taken.counting(len(places), int((taken.labels > 0).sum()))

    @classmethod
    def none(cls) -> "TrainingLists":
        """No lists at all."""
        empty = np.zeros((0, 0), np.float32)
        nobody = np.zeros(0, np.int32)
        none = np.zeros((0, 0, 0), np.float32)
        return cls(none, empty, empty > 0, nobody, (), 0, 0, 0, offered=0)

    @classmethod
    def of(
        cls, features: Floats, names: tuple[str, ...], candidates: Candidates, labels: Floats,
        negatives: int, rng: np.random.Generator,
        grades: Graded | None = None, events: tuple[str, ...] = ("chosen",),
        weights: Floats | None = None, disliked: Mask | None = None,
    ) -> "TrainingLists":  # fmt: skip
        """Of each list all chosen candidates and `negatives` others: those that were `disliked`
        (n, w) soon after, where any is, and of the rest some that are drawn evenly.

        Each of the lists (n, w) has at least one label (n, w) above 0, where `grades` (n, w) are
        above 0 too; the counts are those of the lists themselves. `weights` (n,) are what they
        count.
        """
        places = _drawn(labels, candidates.filled, negatives, rng, disliked)
        rows = np.arange(len(labels))[:, None]
        found = int((labels > 0).sum())
        return cls(
            features=features[rows, places],
            labels=labels[rows, places],
            filled=candidates.filled[rows, places],
            users=candidates.users,
            names=names,
            queries=len(labels),
            positives=found,
            missed=0,
            grades=None if grades is None else grades[rows, places],
            events=events,
            offered=int(candidates.filled.sum()),
            weights=weights,
        )

    def counting(self, queries: int, positives: int, offered: int | None = None) -> "TrainingLists":
        """The same lists as part of so many moments, at which so many items were chosen.

        `offered` are the candidates at those of them with a choice that might have been offered,
        whether or not it was; None leaves their number unknown.
        """
        return replace(
            self,
            queries=queries,
            positives=positives,
            missed=positives - int((self.labels > 0).sum()),
            offered=offered,
        )

    @classmethod
    def joined(cls, parts: Sequence["TrainingLists"]) -> "TrainingLists":
        """Lists of several blocks or moments as one; narrower ones are filled up."""
        full = [part for part in parts if len(part)]
        if not full:
            return replace(
                cls.none(),
                queries=sum(part.queries for part in parts),
                positives=sum(part.positives for part in parts),
                missed=sum(part.missed for part in parts),
                offered=_sum_of_known([part.offered for part in parts]),
            )
        width = max((part.labels.shape[1] for part in full), default=0)
        return cls(
            features=joined([part.features for part in full], width),
            labels=np.concatenate([_widened(part.labels, width) for part in full]),
            filled=np.concatenate([_widened(part.filled, width) for part in full]),
            users=np.concatenate([part.users for part in full]),
            names=full[0].names,
            queries=sum(part.queries for part in parts),
            positives=sum(part.positives for part in parts),
            missed=sum(part.missed for part in parts),
            grades=_joined_grades(full, width),
            events=full[0].events,
            offered=_sum_of_known([part.offered for part in parts]),
            weights=_joined_weights(full),
        )


def _joined_weights(parts: Sequence[TrainingLists]) -> Floats | None:
    """Those of all lists; where a part has none its lists count 1 each."""
    if all(part.weights is None for part in parts):
        return None
    each = [np.ones(len(p), np.float32) if p.weights is None else p.weights for p in parts]
    return np.concatenate(each)


def _joined_grades(parts: Sequence[TrainingLists], width: int) -> Graded | None:
    known = [part.grades for part in parts if part.grades is not None]
    if len(known) < len(parts):
        return None
    return np.concatenate([_widened(each, width) for each in known])


def _sum_of_known(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _drawn(
    labels: Floats,
    filled: Mask,
    negatives: int,
    rng: np.random.Generator,
    disliked: Mask | None = None,
) -> Array:
    """Places (n, width) of all chosen candidates, of those disliked and of others drawn evenly; the
    unfilled last."""
    most = int((labels > 0).sum(axis=1).max(initial=0))
    lottery = rng.random(labels.shape, np.float32) - 2 * (labels > 0) + 2 * ~filled
    if disliked is not None:
        lottery -= disliked & filled & (labels == 0)
    width = min(labels.shape[1], most + negatives)
    return np.argsort(lottery, axis=1)[:, :width]


def _widened(values: Array, width: int) -> Array:
    missing = width - values.shape[1]
    return np.pad(values, [(0, 0), (0, missing)] + [(0, 0)] * (values.ndim - 2))
