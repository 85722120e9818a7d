"""What the log says of each item at a moment: how often, how lately, by what, whether it rises."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from recsys.features.arrays import DAY, PAD, Array, Floats, Rows, Times
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.ranking.past import Past
from recsys.ranking.timeline import Tally

_PRIOR = 20.0  # events of the whole log's mixture that an item's is thought to begin with


@dataclass(frozen=True)
class ItemStatistics:
    """Numbers of items by name, as of the moments that they are asked at, or the end of a log."""

    past: Past  # of items, or groups of them
    whole: Past  # of the log, which they are told against: one that all may share
    brief: bool = False  # the popularity and the trend of the middle span and the last rate alone

    @classmethod
    def of(cls, whole: Past) -> Self:
        """Of each item of a log by itself."""
        items = len(whole.log.items)
        return cls(Past(whole.log, np.arange(items, dtype=np.int32), items), whole)

    @classmethod
    def of_groups(cls, whole: Past, groups: Rows) -> Self:
        """In brief of the group of each item (items,); PAD of an item in none."""
        return cls(Past(whole.log, groups, int(groups.max(initial=PAD)) + 1), whole, brief=True)

    def __post_init__(self) -> None:
        _ = self.table  # read now: no request should wait for it

    @property
    def has_clock(self) -> bool:
        return self.whole.log.clock == "time"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(columns,)"""
        return tuple(np.array(self._every)[self._kept].tolist())

    @property
    def _kept(self) -> list[int]:
        """Which of the columns that there could be there are."""
        if not self.brief:
            return list(range(len(self._every)))
        kept = ["popularity"]
        if self.whole.log.clock != "none":
            _, middle, longest = self._spans
            kept = [f"popularity of {middle}", f"trend, {middle} to {longest}"]
        return [self._every.index(name) for name in [*kept, *self._rates[-1:]]]

    @cached_property
    def _every(self) -> tuple[str, ...]:
        if self.whole.log.clock == "none":
            return ("popularity", *self._rates)
        spans = self._spans
        longer = [*spans[1:], "ever"]
        trends = [f"trend, {a} to {b}" for a, b in zip(spans, longer, strict=True)]
        ages = ["age", "days since last event"] if self.has_clock else []
        lately = [f"popularity of {span}" for span in spans]
        return ("popularity", *lately, *trends, *ages, *self._rates)

    @cached_property
    def table(self) -> Floats:
        """(things + 1, columns) as of the end of the log; the last row is that of no thing."""
        known = self._columns(self.past.events().at_end(), self.whole.at_end, self.whole.log.end)
        return np.concatenate([known, np.zeros((1, known.shape[1]), np.float32)])

    def write(self, items: Rows, moments: Times, columns: Array) -> None:
        """The numbers of `items` (b, w) at the `moments` (b,) into `columns` (b, w, columns)."""
        over_rows(_look_up, len(items), self.table, self.past.things, items, columns)
        early = self._early(moments)
        if len(early):
            columns[early] = self._at(items[early], moments[early])

    def popularity(self, items: Rows, moments: Times) -> Floats:
        """(b, w) the first of the numbers alone, of statistics that are not brief."""
        popularity: Floats = self.table[self._things(items), 0]
        early = self._early(moments)
        if len(early):
            known = self.past.at(self._things(items[early]), moments[early])
            popularity[early] = np.log1p(known.counts.sum(axis=-1))
        return popularity

    def _early(self, moments: Times) -> Array:
        """Which of the moments (b,) lie before the end of the log, for which there is no table."""
        end = self.whole.log.end
        return np.flatnonzero(moments < end) if self.has_clock else np.zeros(0, np.int64)

    def _things(self, items: Rows) -> Rows:
        return np.where(items == PAD, np.int32(PAD), self.past.things[items])

    def _at(self, items: Rows, moments: Times) -> Floats:
        things, all_ = self._things(items), np.zeros((len(items), 1), np.int32)
        known, whole = self.past.at(things, moments), self.whole.at(all_, moments)
        columns = self._columns(known, whole, moments[:, None])
        columns[things == PAD] = 0
        return columns

    def _columns(self, known: Tally, whole: Tally, moments: Times | int) -> Floats:
        """(..., columns) of what is known of things and of the whole log, told in logarithms."""
        count, all_ = known.counts.sum(axis=-1), whole.counts.sum(axis=-1)
        told = [np.log1p(count)]
        if self.whole.log.clock != "none":
            told += [np.log1p(known.decayed[..., span]) for span in range(len(self.whole.spans))]
            longer = np.concatenate([known.decayed[..., 1:], count[..., None]], axis=-1)
            expected = whole.decayed / _at_least(
                np.concatenate([whole.decayed[..., 1:], all_[..., None]], axis=-1)
            )
            trends = np.log((known.decayed + 1) / (longer * expected + 1))
            told += list(np.moveaxis(trends, -1, 0))
        if self.has_clock:
            told += [
                np.log1p(np.maximum(moments - each, 0) / DAY) for each in (known.first, known.last)
            ]
        if len(self._rates):
            shares = (whole.counts + 1) / (whole.counts + 1).sum(axis=-1, keepdims=True)
            own = (known.counts + _PRIOR * shares) / (count[..., None] + _PRIOR)
            told += list(np.moveaxis(np.log(own / shares), -1, 0)[1:])
        return np.stack([told[k] for k in self._kept], axis=-1).astype(np.float32)

    @cached_property
    def _rates(self) -> tuple[str, ...]:
        return tuple(f"rate of {event}" for event in self.whole.log.events[1:])

    @property
    def _spans(self) -> tuple[str, ...]:
        """(s,) in words"""
        unit = "days" if self.has_clock else "steps"
        return tuple(f"{span} {unit}" for span in self.whole.spans)


def _at_least(values: Array) -> Array:
    return np.maximum(values, 1e-6)


@compiled
def _look_up(
    start: int, stop: int, table: Array, things: Array, items: Array, columns: Array
) -> None:
    for row in range(start, stop):
        for place in range(items.shape[1]):
            item = items[row, place]
            thing = things[item] if item >= 0 else -1  # the last row of the table
            for column in range(table.shape[1]):
                columns[row, place, column] = table[thing, column]
