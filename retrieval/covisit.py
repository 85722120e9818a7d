"""Order-aware co-occurrence: which items follow which, counted within a window."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numba import njit

from recsys.features import npz, ragged
from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.topk import offer, unheap

_LEAST_WEIGHT = 1e-20  # below it sums could underflow to 0, which marks items not yet touched


@dataclass(frozen=True, slots=True)
class Links:
    """A sparse (items, items) matrix: how strongly each item leads to others."""

    offsets: Offsets  # (items + 1,)
    targets: Rows  # (n,) ascending within an item
    strengths: Floats  # (n,) > 0


@dataclass
class CoVisit:
    """Counts pairs of items in each user's sequence and scores what follows the newest items.

    A pair at distance d within `window` adds `forward` / d to first -> second and `backward` / d
    to second -> first. Strengths are damped by the popularity of both ends,
    count / (popularity(source) ** source_damping * popularity(target) ** target_damping), and a
    history's score is their sum over its `last` items, each older one weighing `decay` of the next.
    """

    reason: ClassVar[str] = "often chosen with {item}"

    name: str = "covisit"
    window: int = 5
    forward: float = 1.0
    backward: float = 0.3
    source_damping: float = 0.5
    target_damping: float = 0.3
    last: int = 20
    decay: float = 0.8
    neighbours: int = 2000
    _links: Links = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("window", "last", "neighbours"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("forward", "backward"):  # sums of float32 must not vanish
            if not (getattr(self, name) == 0 or 1e-3 <= getattr(self, name) <= 1e3):
                value = getattr(self, name)
                raise SettingsError(f"{name} must be 0, or between .001 and 1000; got {value}")
        for name in ("source_damping", "target_damping"):
            if not 0 <= getattr(self, name) <= 2:
                raise SettingsError(f"{name} must be between 0 and 2; got {getattr(self, name)}")
        if not 0 <= self.decay <= 1:
            raise SettingsError(f"decay must be between 0 and 1; got {self.decay}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        self._links = self._count(interactions)
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        links, recent = self._links, histories.last(self.last)
        items = np.full((len(histories), k), PAD, np.int32)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        over_rows(
            _best, len(histories), links.offsets, links.targets, links.strengths, recent,
            self._weights(), allowed.mask, allowed.offsets, allowed.excluded, items, scores,
        )  # fmt: skip
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        links, recent = self._links, histories.last(self.last)
        scores = np.zeros(items.shape, np.float32)
        over_rows(
            _scores, len(items), links.offsets, links.targets, links.strengths, recent,
            self._weights(), items, scores,
        )  # fmt: skip
        return scores

    def links(self, sources: Rows, targets: Rows) -> Floats:
        links = self._links
        strengths = np.zeros((*targets.shape, sources.shape[1]), np.float32)
        over_rows(
            _pairs, len(targets), links.offsets, links.targets, links.strengths, sources, targets,
            strengths,
        )  # fmt: skip
        return strengths

    def similar(self, items: Rows, k: int, allowed: Allowed) -> Candidates:
        links = self._links
        found = np.full((len(items), k), PAD, np.int32)
        scores = np.full((len(items), k), -np.inf, np.float32)
        over_rows(
            _best, len(items), links.offsets, links.targets, links.strengths, items[:, None],
            np.ones(1, np.float32), allowed.mask, allowed.offsets, allowed.excluded, found, scores,
        )  # fmt: skip
        return Candidates.of_one(np.full(len(items), PAD, np.int32), found, scores, self.name)

    def save(self, folder: Path) -> None:
        links = self._links
        npz.write(
            folder / "links.npz",
            offsets=links.offsets,
            targets=links.targets,
            strengths=links.strengths,
        )

    def load(self, folder: Path) -> Self:
        self._links = Links(*npz.read(folder / "links.npz", "offsets", "targets", "strengths"))
        return self

    def _weights(self) -> Floats:
        return (self.decay ** np.arange(self.last)).astype(np.float32)

    def _count(self, log: Interactions) -> Links:
        occurrences = np.argsort(log.item_rows, kind="stable")
        of_item = ragged.offsets_of(log.item_counts)
        popularity = np.maximum(log.item_counts, 1).astype(np.float32)
        arguments = (
            of_item, occurrences, log.item_rows, log.user_rows, self.window, self.forward,
            self.backward, popularity**-self.source_damping, popularity**-self.target_damping,
        )  # fmt: skip
        sizes = np.zeros(len(log.items), np.int64)
        over_rows(_sizes, len(sizes), *arguments, self.neighbours, sizes)
        offsets = ragged.offsets_of(sizes)
        targets = np.zeros(offsets[-1], np.int32)
        strengths = np.zeros(offsets[-1], np.float32)
        over_rows(_fill, len(sizes), *arguments, offsets, targets, strengths)
        return Links(offsets, targets, strengths)


@njit(nogil=True, cache=True)
def _neighbours(
    item: int, of_item: Array, occurrences: Array, items: Array, users: Array, window: int,
    forward: float, backward: float, source_damping: Array, target_damping: Array,
    sums: Array, touched: Array,
) -> int:  # fmt: skip
    """Sum the damped pair weights of one item into `sums`; returns how many items it touched."""
    found = 0
    for occurrence in occurrences[of_item[item] : of_item[item + 1]]:
        for distance in range(1, window + 1):
            for direction in (1, -1):
                weight = forward if direction == 1 else backward
                place = occurrence + direction * distance
                if weight == 0 or place < 0 or place >= len(items):
                    continue
                if users[place] != users[occurrence]:
                    continue
                other = items[place]
                if sums[other] == 0:
                    touched[found] = other
                    found += 1
                sums[other] += weight / distance * source_damping[item] * target_damping[other]
    return found


@njit(nogil=True, cache=True)
def _sizes(
    start: int, stop: int, of_item: Array, occurrences: Array, items: Array, users: Array,
    window: int, forward: float, backward: float, source_damping: Array, target_damping: Array,
    limit: int, sizes: Array,
) -> None:  # fmt: skip
    sums = np.zeros(len(sizes), np.float32)
    touched = np.zeros(len(sizes), np.int32)
    for item in range(start, stop):
        found = _neighbours(
            item, of_item, occurrences, items, users, window, forward, backward, source_damping,
            target_damping, sums, touched,
        )  # fmt: skip
        sums[touched[:found]] = 0
        sizes[item] = min(found, limit)


@njit(nogil=True, cache=True)
def _fill(
    start: int, stop: int, of_item: Array, occurrences: Array, items: Array, users: Array,
    window: int, forward: float, backward: float, source_damping: Array, target_damping: Array,
    offsets: Array, targets: Array, strengths: Array,
) -> None:  # fmt: skip
    sums = np.zeros(len(of_item) - 1, np.float32)
    touched = np.zeros(len(of_item) - 1, np.int32)
    for item in range(start, stop):
        found = _neighbours(
            item, of_item, occurrences, items, users, window, forward, backward, source_damping,
            target_damping, sums, touched,
        )  # fmt: skip
        own = targets[offsets[item] : offsets[item + 1]]
        best = np.empty(len(own), np.float32)
        filled = 0
        for place in range(found):
            filled = offer(own, best, filled, touched[place], sums[touched[place]])
        own.sort()
        for place in range(len(own)):
            strengths[offsets[item] + place] = sums[own[place]]
        sums[touched[:found]] = 0


@njit(nogil=True, cache=True)
def _gather(
    recent: Array, weights: Array, offsets: Array, targets: Array, strengths: Array,
    sums: Array, touched: Array,
) -> int:  # fmt: skip
    """Sum what the `recent` items (newest first) lead to; returns how many items it touched."""
    found = 0
    for age in range(len(recent)):
        if recent[age] == PAD or weights[age] < _LEAST_WEIGHT:
            break
        for place in range(offsets[recent[age]], offsets[recent[age] + 1]):
            other = targets[place]
            if sums[other] == 0:
                touched[found] = other
                found += 1
            sums[other] += weights[age] * strengths[place]
    return found


@njit(nogil=True, cache=True)
def _best(
    start: int, stop: int, offsets: Array, targets: Array, strengths: Array, recent: Array,
    weights: Array, mask: Array, of_query: Array, excluded: Array, items: Array, scores: Array,
) -> None:  # fmt: skip
    sums = np.zeros(len(mask), np.float32)
    touched = np.zeros(len(mask), np.int32)
    if items.shape[1] == 0:
        return
    for row in range(start, stop):
        found = _gather(recent[row], weights, offsets, targets, strengths, sums, touched)
        sums[excluded[of_query[row] : of_query[row + 1]]] = 0
        own_items, own_scores = items[row], scores[row]  # a view in the loop would cost more
        filled, worst = 0, np.float32(0)
        for place in range(found):
            other = touched[place]
            score = sums[other]
            sums[other] = 0
            if score > worst and mask[other]:
                filled = offer(own_items, own_scores, filled, other, score)
                if filled == len(own_items):
                    worst = np.nextafter(own_scores[0], np.float32(0))  # ties are for the heap
        unheap(own_items, own_scores, filled)


@njit(nogil=True, cache=True)
def _scores(
    start: int, stop: int, offsets: Array, targets: Array, strengths: Array, recent: Array,
    weights: Array, items: Array, scores: Array,
) -> None:  # fmt: skip
    sums = np.zeros(len(offsets) - 1, np.float32)
    touched = np.zeros(len(offsets) - 1, np.int32)
    for row in range(start, stop):
        found = _gather(recent[row], weights, offsets, targets, strengths, sums, touched)
        for place in range(items.shape[1]):
            if items[row, place] != PAD:
                scores[row, place] = sums[items[row, place]]
        for place in range(found):
            sums[touched[place]] = 0


@njit(nogil=True, cache=True)
def _pairs(
    start: int, stop: int, offsets: Array, targets: Array, strengths: Array, sources: Array,
    items: Array, pairs: Array,
) -> None:  # fmt: skip
    row_of = np.zeros(len(offsets) - 1, np.float32)
    for row in range(start, stop):
        for age in range(sources.shape[1]):
            source = sources[row, age]
            if source == PAD:
                continue
            own = slice(offsets[source], offsets[source + 1])
            row_of[targets[own]] = strengths[own]
            for place in range(items.shape[1]):
                if items[row, place] != PAD:
                    pairs[row, place, age] = row_of[items[row, place]]
            row_of[targets[own]] = 0
