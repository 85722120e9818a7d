"""Features of the hour and the weekday: whether an item is chosen when the user is here."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.features.arrays import DAY, PAD, Array, Floats, Times
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group

_HOURS, _PARTS, _WEEKDAYS = 24, 4, 7
_LEAST_HOURS = 3  # dates of one zone are at one hour in UTC, with summer time at two
_PRIOR = 20.0  # events spread as those of the whole log that an item's are thought to begin with


@dataclass(frozen=True)
class Told:
    """What the times of a log tell: dates tell no hour, months no day.

    It is asked of a whole log once, and not of each past that it is cut to: with every answer
    features come and go.
    """

    hours: bool = False
    weekdays: bool = False

    @classmethod
    def of(cls, log: Interactions) -> Self:
        """Hours where there are three of UTC or more, weekdays where there are all seven."""
        if log.clock != "time" or not len(log):
            return cls()
        return cls(
            hours=_different(_hour(log.times)) >= _LEAST_HOURS,
            weekdays=_different(_weekday(log.times)) == _WEEKDAYS,
        )


@dataclass(frozen=True)
class DayTimes:
    """How much more than of all items the events of an item lie in a part of the day or week."""

    of_parts: Floats | None  # (items, 4) log-ratios; None where times tell no hour
    of_weekdays: Floats | None  # (items, 7) the same; None where times tell no day

    @classmethod
    def of(cls, log: Interactions, told: Told) -> Self:
        """Parts of the day are six hours of UTC; `told` is by the whole log that this is of."""
        return cls(
            _lifts(log, _part(log.times), _PARTS) if told.hours else None,
            _lifts(log, _weekday(log.times), _WEEKDAYS) if told.weekdays else None,
        )


def of_day(times: DayTimes, histories: Histories, items: Array) -> Group:
    """(b, w, 0 to 2) how the part of the day and the weekday of each newest event suit the item.

    `items` are (b, w). The newest event's and not those of now: lists to learn from are cut at one
    moment for all. 0 where nobody told when the events were.
    """
    told = []
    if times.of_parts is not None:
        told.append(("suits part of day", times.of_parts, _part))
    if times.of_weekdays is not None:
        told.append(("suits weekday", times.of_weekdays, _weekday))

    def write(columns: Array) -> None:
        if not histories.timed:
            columns[:] = 0
            return
        last = histories.now - histories.pause()
        for place, (_, lifts, part_of) in enumerate(told):
            over_rows(_suit, len(items), part_of(last), lifts, items, columns[:, :, place])

    return group("time of day", [name for name, *_ in told], write)


def _part(times: Times) -> Array:
    return _hour(times) * _PARTS // _HOURS


def _hour(times: Times) -> Array:
    return times % DAY * _HOURS // DAY


def _weekday(times: Times) -> Array:
    return times // DAY % _WEEKDAYS


def _different(parts: Array) -> int:
    return int(np.count_nonzero(np.bincount(parts)))


def _lifts(log: Interactions, parts: Array, n: int) -> Floats:
    """(items, n) the logarithm of each part's share of an item's events over that of all events.

    The events of one user and kind with an item count as one, spread over their parts.
    """
    keys = log.item_rows.astype(np.int64) * n + parts
    counts = np.bincount(keys, log.repeats.shares, minlength=len(log.items) * n).reshape(-1, n)
    shares = (counts.sum(axis=0) + 1) / (counts.sum() + n)
    own = (counts + _PRIOR * shares) / (counts.sum(axis=1, keepdims=True) + _PRIOR)
    lifts: Floats = np.log(own / shares).astype(np.float32)
    return lifts


@compiled
def _suit(start: int, stop: int, part: Array, lifts: Array, items: Array, column: Array) -> None:
    for row in range(start, stop):
        for place in range(items.shape[1]):
            item = items[row, place]
            column[row, place] = 0 if item == PAD else lifts[item, part[row]]
