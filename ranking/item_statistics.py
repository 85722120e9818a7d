"""What the log says of each item at a moment: how often, how lately, by what, whether it rises."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numba import njit

from recsys.features.arrays import DAY, PAD, Array, Floats, Rows, Times
from recsys.features.interactions import Interactions
from recsys.features.threads import over_rows
from recsys.ranking.timeline import Known, Timeline

DAYS = (1, 7, 30)
"""An event counts for exp(-age / span) where there is a clock, by each of these spans."""

_STEPS = (1, 5, 20)  # the same in each user's own events, where there is an order alone
_PRIOR = 20.0  # events of the whole log's mixture that an item's is thought to begin with


@dataclass(frozen=True)
class ItemStatistics:
    """Numbers of items by name, as of the moments that they are asked at, or the end of a log."""

    log: Interactions
    things: Rows  # (items,) the thing that each item counts for: itself, or a group; PAD for none
    n: int  # things
    brief: bool = False  # the popularity and the trend of the middle span and the last rate alone

    @classmethod
    def of(cls, log: Interactions) -> Self:
        """Of each item by itself."""
        return cls(log, np.arange(len(log.items), dtype=np.int32), len(log.items))

    @classmethod
    def of_groups(cls, log: Interactions, groups: Rows) -> Self:
        """In brief of the group of each item (items,); PAD of an item in none."""
        return cls(log, groups, int(groups.max(initial=PAD)) + 1, brief=True)

    def __post_init__(self) -> None:
        _ = self.table  # read now: no request should wait for it

    @property
    def has_clock(self) -> bool:
        return self.log.clock == "time"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(columns,)"""
        return tuple(np.array(self._every)[self._kept].tolist())

    @property
    def _kept(self) -> list[int]:
        """Which of the columns that there could be there are."""
        every = len(self._every)
        if not self.brief:
            return list(range(every))
        middle = [0] if self.log.clock == "none" else [2, 5]
        return [*middle, *([every - 1] if self._rates else [])]

    @cached_property
    def _every(self) -> tuple[str, ...]:
        if self.log.clock == "none":
            return ("popularity", *self._rates)
        spans = [f"{span} {self._unit}" for span in self._spans]
        longer = [*spans[1:], "ever"]
        trends = [f"trend, {a} to {b}" for a, b in zip(spans, longer, strict=True)]
        ages = ["age", "days since last event"] if self.has_clock else []
        lately = [f"popularity of {span}" for span in spans]
        return ("popularity", *lately, *trends, *ages, *self._rates)

    @cached_property
    def table(self) -> Floats:
        """(things + 1, columns) as of the end of the log; the last row is that of no thing."""
        every = self._timeline.at_end
        counts, decayed = (
            each.sum(axis=0, dtype=np.float64) for each in (every.counts, every.decayed)
        )
        whole = Known(counts, decayed, every.first, every.last)
        known = self._columns(every, whole, self._timeline.end)
        return np.concatenate([known, np.zeros((1, known.shape[1]), np.float32)])

    def write(self, items: Rows, moments: Times, columns: Array) -> None:
        """The numbers of `items` (b, w) at the `moments` (b,) into `columns` (b, w, columns)."""
        over_rows(_look_up, len(items), self.table, self.things, items, columns)
        early = np.flatnonzero(moments < self._timeline.end)
        if self.has_clock and len(early):
            columns[early] = self._at(items[early], moments[early])

    def _at(self, items: Rows, moments: Times) -> Floats:
        things = np.where(items == PAD, PAD, self.things[items])
        none = np.zeros((len(items), 1), np.int32)
        known, whole = self._timeline.at(things, moments), self._whole.at(none, moments)
        columns = self._columns(known, whole, moments[:, None])
        columns[things == PAD] = 0
        return columns

    def _columns(self, known: Known, whole: Known, moments: Times | int) -> Floats:
        """(..., columns) of what is known of things and of the whole log, told in logarithms."""
        count, all_ = known.counts.sum(axis=-1), whole.counts.sum(axis=-1)
        told = [np.log1p(count)]
        if self.log.clock != "none":
            told += [np.log1p(known.decayed[..., span]) for span in range(len(self._spans))]
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
        return tuple(f"rate of {event}" for event in self.log.events[1:])

    @property
    def _unit(self) -> str:
        return "days" if self.has_clock else "steps"

    @property
    def _spans(self) -> tuple[int, ...]:
        return DAYS if self.has_clock else _STEPS

    @cached_property
    def _timeline(self) -> Timeline:
        return self._of(self.things, self.n)

    @cached_property
    def _whole(self) -> Timeline:
        return self._of(np.where(self.things == PAD, PAD, 0).astype(np.int32), 1)

    def _of(self, things: Rows, n: int) -> Timeline:
        log = self.log
        times, unit = log.times, DAY
        if not self.has_clock:  # steps before each user's newest event
            times, unit = np.arange(len(log)) - log.offsets[log.user_rows + 1] + 1, 1
        spans = [span * float(unit) for span in self._spans]
        return Timeline(things[log.item_rows], times, log.event_codes, n, len(log.events), spans)


def _at_least(values: Array) -> Array:
    return np.maximum(values, 1e-6)


@njit(nogil=True, cache=True)
def _look_up(
    start: int, stop: int, table: Array, things: Array, items: Array, columns: Array
) -> None:
    for row in range(start, stop):
        for place in range(items.shape[1]):
            item = items[row, place]
            thing = things[item] if item >= 0 else -1  # the last row of the table
            for column in range(table.shape[1]):
                columns[row, place, column] = table[thing, column]
