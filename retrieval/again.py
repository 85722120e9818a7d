"""What is due to be bought again: items of the history whose usual interval has passed."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from recsys.features import npz
from recsys.features.arrays import DAY, PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Clock, Interactions
from recsys.features.kernels import compiled
from recsys.features.schema import NO_SIZES, ArraySchema, Sizes, floats
from recsys.features.settings import check_at_most
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.boards import category_codes
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.topk import offer, unheap

_LEAST_SPREAD = 0.25  # of the logarithm of intervals: 28 % up or down
_LEAST_DAYS = 1 / 24  # between two events of one moment


@dataclass
class Again:
    """Offers the items that a history holds by how likely each is to be chosen again just now.

    An item is chosen again at all with probability p, after an interval whose logarithm is normal;
    the score is the hazard of that mixture, p f(t) / (1 - p F(t)) per day, at the time t since the
    history had it last (Boag 1949, a model with a cured fraction). p and the mean logarithm are an
    item's own, shrunk to its category's and those to all items', with `prior` observations each.
    Without a clock t is a number of events. What the policy hides is not offered: of purchases that
    is everything, unless `offer_again` is true of them.
    """

    reason: ClassVar[str] = "due again"

    name: str = "again"
    prior: float = 5.0
    category: str | None = None  # which category column; by default the first, if there is one
    events: tuple[str, ...] = ()  # those that count as having an item; all by default
    _chances: Floats = field(init=False, repr=False)  # (items,) p, 0 for an item nobody had
    _centres: Floats = field(init=False, repr=False)  # (items,) mean log interval
    _spread: float = field(init=False, repr=False)  # standard deviation of log intervals
    _counts: Array = field(init=False, repr=False)  # (event codes,) bool
    _in_days: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(self, prior=1e9)
        if not self.prior > 0:
            raise SettingsError(f"prior must be above 0 observations; got {self.prior}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn intervals; raises DataError where nobody had an item twice."""
        unknown = set(self.events) - set(interactions.events)
        if unknown:
            raise DataError(
                f"the source {self.name!r} counts events {sorted(unknown)}; "
                f"the log has {list(interactions.events)}"
            )
        counts = [not self.events or name in self.events for name in interactions.events]
        self._counts, self._in_days = np.array(counts, bool), interactions.clock == "time"
        had, logs, of = _intervals(interactions, self._counts)
        if not len(logs):
            raise DataError(f"the source {self.name!r} needs items that somebody had twice")
        codes = _groups(catalog, self.category)
        times_again = np.bincount(of, minlength=len(had))
        sums = np.bincount(of, logs, minlength=len(had))
        self._centres = _shrunk(sums, times_again, codes, self.prior).astype(np.float32)
        chances = _shrunk(times_again, np.maximum(had, times_again), codes, self.prior)
        self._chances = np.where(had > 0, chances, 0).astype(np.float32)
        self._spread = max(_LEAST_SPREAD, float(np.std(logs - self._centres[of])))
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The `k` items of each history most due; PAD where it holds fewer that may be offered."""
        items = np.full((len(histories), k), PAD, np.int32)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        if k:
            over_rows(
                _most_due, len(items), *self._asked(histories), allowed.mask, allowed.offsets,
                allowed.excluded, items, scores,
            )  # fmt: skip
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        scores = np.zeros(items.shape, np.float32)
        over_rows(_due, len(items), *self._asked(histories), items, scores)
        return scores

    def save(self, folder: Path) -> None:
        npz.write(
            folder / "again.npz", chances=self._chances, centres=self._centres,
            spread=np.array(self._spread), counts=self._counts, in_days=np.array(self._in_days),
        )  # fmt: skip

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        self._chances, self._centres, spread, self._counts, in_days = npz.read(
            folder / "again.npz", _SCHEMAS, sizes
        )
        self._spread, self._in_days = float(spread), bool(in_days)
        return self

    def _asked(self, histories: Histories) -> tuple[object, ...]:
        return (
            histories.offsets, histories.items, self._counts[histories.events],
            self._elapsed(histories), self._chances, self._centres, self._spread,
        )  # fmt: skip

    def _elapsed(self, histories: Histories) -> Array:
        """(n,) days from each event to now, or how many events ago it was (the last is 1)."""
        lengths = histories.lengths
        if self._in_days:
            return elapsed(np.repeat(histories.now, lengths) - histories.times, "time")
        ends = np.repeat(histories.offsets[1:], lengths)
        return elapsed(ends - np.arange(len(histories.items)), "order")


_SCHEMAS = {
    "chances": floats("items", least=0, most=1),
    "centres": floats("items"),
    "spread": ArraySchema("float64", (), least=_LEAST_SPREAD),
    "counts": ArraySchema("bool", ("events",)),
    "in_days": ArraySchema("bool", ()),
}


def elapsed(between: Array, clock: Clock) -> Array:
    """Days, or events, of a difference of times or places; never 0."""
    if clock == "time":
        return np.maximum(between / DAY, _LEAST_DAYS)
    return np.maximum(between.astype(np.float64), 1)


def _intervals(log: Interactions, counts: Array) -> tuple[Array, Array, Rows]:
    """How many users' occasions each item has (items,), log intervals (n,), their items (n,)."""
    kept = np.flatnonzero(counts[log.event_codes])
    place = np.arange(len(log)) if log.clock != "time" else log.times
    users, items, places = log.user_rows[kept], log.item_rows[kept], place[kept]
    order = np.lexsort((places, items, users))
    users, items, places = users[order], items[order], places[order]
    again = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    again &= places[1:] > places[:-1]  # twice at one moment is one occasion
    between = elapsed(np.diff(places)[again], "time" if log.clock == "time" else "order")
    return np.bincount(items, minlength=len(log.items)), np.log(between), items[1:][again]


def _groups(catalog: Catalog, category: str | None) -> Rows:
    """(items,) the category of each item; one and the same where the catalogue has none."""
    if category is None and not catalog.categories():
        return np.zeros(len(catalog), np.int32)
    return category_codes(catalog, category) + 1


def _shrunk(sums: Array, counts: Array, groups: Rows, prior: float) -> Array:
    """(items,) means sums / counts, shrunk to those of their group and these to that of all."""
    whole = sums.sum() / counts.sum()
    group_sums = np.bincount(groups, sums)
    group_counts = np.bincount(groups, counts)
    of_group = (group_sums + prior * whole) / (group_counts + prior)
    return (sums + prior * of_group[groups]) / (counts + prior)  # type: ignore[no-any-return]


@compiled
def _hazard(chance: float, centre: float, spread: float, time: float) -> float:
    """p f(t) / (1 - p F(t)) of a log-normal interval."""
    z = (math.log(time) - centre) / spread
    density = math.exp(-0.5 * z * z) / (time * spread * math.sqrt(2 * math.pi))
    passed = 0.5 * math.erfc(-z / math.sqrt(2))
    return np.float32(chance * density / (1 - chance * passed))  # type: ignore[return-value]


@compiled
def _due(
    start: int, stop: int, offsets: Array, past: Array, counts: Array, times: Array,
    chances: Array, centres: Array, spread: float, items: Array, scores: Array,
) -> None:  # fmt: skip
    since = np.zeros(len(chances), np.float64)  # 0: not in the history
    for row in range(start, stop):
        own = range(offsets[row], offsets[row + 1])
        for event in own:
            if counts[event]:
                since[past[event]] = times[event]  # the newest comes last
        for place in range(items.shape[1]):
            item = items[row, place]
            if item != PAD and since[item] > 0:
                scores[row, place] = _hazard(chances[item], centres[item], spread, since[item])
        for event in own:
            since[past[event]] = 0


@compiled
def _most_due(
    start: int, stop: int, offsets: Array, past: Array, counts: Array, times: Array,
    chances: Array, centres: Array, spread: float, mask: Array, of_query: Array, excluded: Array,
    items: Array, scores: Array,
) -> None:  # fmt: skip
    barred = ~mask
    for row in range(start, stop):
        own = excluded[of_query[row] : of_query[row + 1]]
        barred[own] = True
        own_items, own_scores, filled = items[row], scores[row], 0
        for event in range(offsets[row + 1] - 1, offsets[row] - 1, -1):  # the newest counts
            item = past[event]
            if not counts[event] or barred[item]:
                continue
            barred[item] = True
            score = _hazard(chances[item], centres[item], spread, times[event])
            if score > 0:
                filled = offer(own_items, own_scores, filled, item, score)
        unheap(own_items, own_scores, filled)
        for event in range(offsets[row], offsets[row + 1]):
            barred[past[event]] = not mask[past[event]]
        barred[own] = ~mask[own]
