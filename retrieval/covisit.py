"""Order-aware co-occurrence: which items follow which, counted within a window."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import MINUTE, PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.kernels import compiled
from recsys.features.schema import NO_SIZES, Sizes
from recsys.features.settings import check_at_most
from recsys.features.threads import over_rows
from recsys.retrieval import contributions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.links import Links, Steps
from recsys.retrieval.sessions import check_gap, sessions_of
from recsys.retrieval.topk import offer

_VANISHING = 1e-30  # what adds so little to a float32 may leave it at 0, which is untouched
_LEAST_WEIGHT = 1e-20  # below it sums could underflow to 0, and nothing is offered for 0


@dataclass
class CoVisit:
    """Counts pairs of items in each user's sequence and scores what follows the newest items.

    A pair at distance d within `window` adds `forward` / d to first -> second and `backward` / d
    to second -> first. Of one user the heaviest of equal pairs counts, once in each direction.
    Strengths are damped by how many users had both ends,
    count / (users(source) ** source_damping * users(target) ** target_damping), and a
    history's score is their sum over its `last` items, each older one weighing `decay` of the next.
    A pair counts as much as the event that it leads to weighs, to the power of `event_power`, and
    half as much for every `half_life` of time between its ends. A log without a clock has no
    silence: there `session_gap` bounds nothing, and no pair is far apart.
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
    session_gap: float | None = None  # minutes of silence that no pair reaches across
    event_power: float = 0.0  # 0: all events count the same
    half_life: float | None = None  # minutes; None: time makes no difference
    _links: Links = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(self, window=1_000, last=10_000, neighbours=100_000, half_life=1e6)
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
        if not 0 <= self.event_power <= 2:
            raise SettingsError(f"event_power must be between 0 and 2; got {self.event_power}")
        if self.half_life is not None and not self.half_life > 0:
            raise SettingsError(f"half_life must be above 0; got {self.half_life}")
        check_gap(self.session_gap)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        self._links = self._count(interactions)
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        steps = histories.once(self._links, self._steps)
        items, scores = self._links.best(steps, k, allowed)
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        return self._links.score(histories.once(self._links, self._steps), items)

    def contributions(self, histories: Histories, items: Rows) -> Floats:
        weights = contributions.by_age(histories, self._by_age)
        return contributions.of_links(self._links, histories, weights, items)

    def links(self, sources: Rows, targets: Rows) -> Floats:
        return self._links.between(sources, targets)

    def similar(self, items: Rows, k: int, allowed: Allowed) -> Candidates:
        found, scores = self._links.best(Steps.single(items), k, allowed)
        return Candidates.of_one(np.full(len(items), PAD, np.int32), found, scores, self.name)

    def save(self, folder: Path) -> None:
        self._links.save(folder)

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        self._links = Links.load(folder, sizes)
        return self

    def _steps(self, histories: Histories) -> Steps:
        return Steps.newest(histories, self._by_age)

    @property
    def _by_age(self) -> Floats:
        """(ages,) what the newest items weigh, the newest first."""
        weights = (self.decay ** np.arange(self.last)).astype(np.float32)
        return weights[weights >= _LEAST_WEIGHT]

    def _count(self, log: Interactions) -> Links:
        occurrences = np.argsort(log.item_rows, kind="stable")
        of_item = ragged.offsets_of(log.item_counts)
        popularity = np.maximum(log.item_users, 1).astype(np.float32)
        arguments = (
            of_item, occurrences, log.item_rows, log.user_rows,
            sessions_of(log, self.session_gap), log.weights**self.event_power, log.times,
            self._fading(log), self.window, self.forward, self.backward,
            popularity**-self.source_damping, popularity**-self.target_damping,
        )  # fmt: skip
        sizes = np.zeros(len(log.items), np.int64)
        over_rows(_sizes, len(sizes), *arguments, self.neighbours, sizes)
        offsets = ragged.offsets_of(sizes)
        targets = np.zeros(offsets[-1], np.int32)
        strengths = np.zeros(offsets[-1], np.float32)
        over_rows(_fill, len(sizes), *arguments, offsets, targets, strengths)
        return Links(offsets, targets, strengths)

    def _fading(self, log: Interactions) -> float:
        """By which power of 2 a pair counts less per microsecond between its ends."""
        if self.half_life is None or log.clock != "time":
            return 0.0
        return 1 / (self.half_life * MINUTE)


@compiled
def _neighbours(
    item: int, of_item: Array, occurrences: Array, items: Array, owners: Array, sessions: Array,
    worths: Array, times: Array, fading: float, window: int, forward: float, backward: float,
    source_damping: Array, target_damping: Array, sums: Array, most: Array, touched: Array,
) -> int:  # fmt: skip
    """Sum the damped pair weights of one item into `sums`; returns how many items it touched.

    Its occurrences lie user by user, and of each user in each direction the heaviest pair counts:
    `most` (items,) is what it weighs, and 0 again behind.
    """
    found, first = 0, 0
    own = occurrences[of_item[item] : of_item[item + 1]]
    while first < len(own):
        after = first + 1
        while after < len(own) and owners[own[after]] == owners[own[first]]:
            after += 1
        for direction in (1, -1):
            base = forward if direction == 1 else backward
            if base == 0:
                continue
            for occurrence in own[first:after]:
                for distance in range(1, window + 1):
                    place = occurrence + direction * distance
                    if place < 0 or place >= len(items) or sessions[place] != sessions[occurrence]:
                        break
                    other, weight = items[place], base
                    if fading > 0:
                        weight *= 2.0 ** (-fading * abs(times[place] - times[occurrence]))
                    weight *= (
                        worths[place] / distance * source_damping[item] * target_damping[other]
                    )
                    more = weight - most[other]  # than this user brought so far
                    if weight < _VANISHING or more <= 0:
                        continue
                    if sums[other] == 0:
                        touched[found] = other
                        found += 1
                    sums[other] += more
                    most[other] = weight
            for occurrence in own[first:after]:
                for distance in range(1, window + 1):
                    place = occurrence + direction * distance
                    if place < 0 or place >= len(items):
                        break
                    most[items[place]] = 0
        first = after
    return found


@compiled
def _sizes(
    start: int, stop: int, of_item: Array, occurrences: Array, items: Array, owners: Array,
    sessions: Array, worths: Array, times: Array, fading: float, window: int, forward: float,
    backward: float, source_damping: Array, target_damping: Array, limit: int, sizes: Array,
) -> None:  # fmt: skip
    sums, most = np.zeros(len(sizes), np.float32), np.zeros(len(sizes))
    touched = np.zeros(len(sizes), np.int32)
    for item in range(start, stop):
        found = _neighbours(
            item, of_item, occurrences, items, owners, sessions, worths, times, fading, window,
            forward, backward, source_damping, target_damping, sums, most, touched,
        )  # fmt: skip
        sums[touched[:found]] = 0
        sizes[item] = min(found, limit)


@compiled
def _fill(
    start: int, stop: int, of_item: Array, occurrences: Array, items: Array, owners: Array,
    sessions: Array, worths: Array, times: Array, fading: float, window: int, forward: float,
    backward: float, source_damping: Array, target_damping: Array, offsets: Array, targets: Array,
    strengths: Array,
) -> None:  # fmt: skip
    sums, most = np.zeros(len(of_item) - 1, np.float32), np.zeros(len(of_item) - 1)
    touched = np.zeros(len(of_item) - 1, np.int32)
    for item in range(start, stop):
        found = _neighbours(
            item, of_item, occurrences, items, owners, sessions, worths, times, fading, window,
            forward, backward, source_damping, target_damping, sums, most, touched,
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
