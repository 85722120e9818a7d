"""Past moments to learn from: what was known before each, and what was chosen after it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import Array, Mask, Rows
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.ranking.lists import Chosen


@dataclass(frozen=True)
class Moment:
    """A cut through the log; the sources are fitted on `past` and never see what was chosen."""

    past: Interactions
    histories: Histories  # of the users who chose something afterwards
    chosen: Chosen  # (len(histories)) what they chose
    left_out: int  # users who chose something and have no history
    left_out_positives: int = 0  # what they chose
    stretch: int | None = None  # microseconds in which it was all chosen; None: the next choices

    def sample(self, most: int, rng: np.random.Generator) -> "Moment":
        """At most so many of the users, drawn evenly."""
        if len(self.histories) <= most:
            return self
        return self.take(np.sort(rng.choice(len(self.histories), most, replace=False)))

    def take(self, queries: Array) -> "Moment":
        """Some of the users, by position."""
        return replace(
            self, histories=self.histories.take(queries), chosen=self.chosen.take(queries)
        )

    def blocks(self, size: int) -> Iterator["Moment"]:
        """All of the users in order, `size` at a time."""
        for start in range(0, len(self.histories), size):
            yield self.take(np.arange(start, min(start + size, len(self.histories))))


def moments_in_time(log: Interactions, moments: int, stretch: float) -> Iterator[Moment]:
    """Cutoffs at the quantiles 1 - stretch, 1 - 2 stretch, ... of the times, the newest first."""
    end = int(log.times.max()) + 1
    for step in range(1, moments + 1):
        start = int(np.quantile(log.times, 1 - step * stretch, method="nearest"))
        past, rest = log.split_at(start)
        yield replace(moment(past, rest.split_at(end)[0], start), stretch=end - start)
        end = start


def moments_of_last_items(log: Interactions, moments: int, hides: Mask) -> Iterator[Moment]:
    """Each user's last item that no earlier event hid, the one before it, ...

    `hides` (events,) are the events after which the policy offers an item no more. What a user
    went on to do with the item (a view became a purchase) belongs to the choice; later events of
    items had before are in neither half.
    """
    past = log
    for _ in range(moments):
        before, chosen = _last_choice(past, hides)
        past, future = past.where(before), past.where(chosen)
        yield moment(past, future)


def _last_choice(log: Interactions, hides: Mask) -> tuple[Mask, Mask]:
    """(events,) what lies before each user's last choice, and the events with the chosen item.

    A user who would have nothing before it keeps all.
    """
    position = np.arange(len(log)) - log.offsets[log.user_rows]
    able = (position > 0) & ~_hidden(log, hides)
    last = np.zeros(len(log.users), np.int64)  # no choice stands at place 0
    np.maximum.at(last, log.user_rows[able], position[able])
    item = log.item_rows[np.minimum(log.offsets[:-1] + last, len(log) - 1)]
    start = last[log.user_rows]
    chosen = (start > 0) & (position >= start) & (log.item_rows == item[log.user_rows])
    return (start == 0) | (position < start), chosen


def _hidden(log: Interactions, hides: Mask) -> Mask:
    """(events,) whether an earlier event of the user has taken the item off the offer."""
    hidden = np.zeros(len(log), bool)
    if not hides.any():
        return hidden
    order = np.lexsort((log.item_rows, log.user_rows))
    users, items = log.user_rows[order], log.item_rows[order]
    first = np.ones(len(log), bool)
    first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    bars = np.cumsum(hides[log.event_codes[order]])
    before: Array = bars - hides[log.event_codes[order]]
    starts = np.maximum.accumulate(np.where(first, np.arange(len(log)), 0))
    hidden[order] = before > before[starts]
    return hidden


def moments_of_drawn_items(
    log: Interactions, moments: int, rng: np.random.Generator
) -> Iterator[Moment]:
    """One event of each user, another one, ...: of a log without order the last says nothing."""
    past = log
    for _ in range(moments):
        past, drawn = past.split_drawn(rng)
        yield moment(past, drawn)


def moment(
    past: Interactions,
    future: Interactions,
    now: int | Array | None = None,
    targets: Mask | None = None,
) -> Moment:
    """The users of `future` who have a past, and what they chose.

    `now` is the cutoff, one for all or (users,); without one each user's moment is the first event
    of `future`. `targets` (events,) marks the events that count as choosing.
    """
    if targets is not None:
        future = future.where(targets[future.event_codes])
    active = future.active_users()
    users = active[past.counts[active] > 0]
    strangers = active[past.counts[active] == 0]
    of_strangers = len(chosen_by(future, strangers).items)
    histories = Histories.of(past, users, _moments_of(users, future, now))
    return Moment(past, histories, chosen_by(future, users), len(strangers), of_strangers)


def _moments_of(users: Rows, future: Interactions, now: int | Array | None) -> Array | int:
    if now is None:
        return future.times[future.offsets[users]]
    return now[users] if isinstance(now, np.ndarray) else now


def chosen_by(future: Interactions, users: Array) -> Chosen:
    """The distinct items that each user (b,) chose, by their greatest weight and strongest event.

    The strongest is worth most by itself: three put into a cart are no purchase. The place of a
    choice is the first that is known: what follows a click on a list need not come from a list.
    """
    offsets, flat = ragged.gather(future.offsets, users)
    owner = ragged.owners(offsets)
    items, weights = future.item_rows[flat], future.weights[flat]
    events = future.event_codes[flat]
    strengths = np.array(future.worths)[events] if future.worths else weights
    order = np.lexsort((-weights, -strengths, items, owner))
    owner, items, weights, events = owner[order], items[order], weights[order], events[order]
    first = np.ones(len(items), bool)
    first[1:] = (owner[1:] != owner[:-1]) | (items[1:] != items[:-1])
    starts = np.flatnonzero(first)
    greatest = np.maximum.reduceat(weights, starts) if len(starts) else weights
    counts = np.bincount(owner[first], minlength=len(users))
    positions = None if future.positions is None else future.positions[flat]
    if positions is not None and len(starts):
        known = np.where(positions[order] > 0, order, len(order))  # events lie in time order
        earliest = np.minimum.reduceat(known, starts)
        positions = np.append(positions, np.uint16(0))[earliest]
    offsets = ragged.offsets_of(counts)
    return Chosen(offsets, items[first], greatest, events[first], positions)
