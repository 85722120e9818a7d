"""Past moments to learn from: what was known before each, and what was chosen after it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.dislikes import Dislikes
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.policy import Whole
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
    disliked: Dislikes | None = None  # (len(histories)) what they said no to afterwards
    disliked_positives: int = 0  # what was chosen afterwards, and then disliked: no choice

    def sample(self, most: int, rng: np.random.Generator) -> "Moment":
        """At most so many of the users, drawn evenly."""
        if len(self.histories) <= most:
            return self
        return self.take(np.sort(rng.choice(len(self.histories), most, replace=False)))

    def take(self, queries: Array) -> "Moment":
        """Some of the users, by position."""
        return replace(
            self,
            histories=self.histories.take(queries),
            chosen=self.chosen.take(queries),
            disliked=None if self.disliked is None else self.disliked.take(queries),
        )

    def refused(self, items: Rows, queries: Array) -> Mask | None:
        """(b, w) which of the items (b, w) of some queries (b,) were disliked afterwards; None
        where none was."""
        if self.disliked is None or not len(self.disliked):
            return None
        owner = np.broadcast_to(queries[:, None], items.shape).ravel()
        ever = np.full(items.size, np.iinfo(np.int64).min)
        disliked = self.disliked.cover(owner, items.ravel(), ever).reshape(items.shape)
        refused: Mask = disliked & (items != PAD)
        return refused

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


def moments_of_last_items(
    log: Interactions, moments: int, hides: Mask, whole: Whole | None = None
) -> Iterator[Moment]:
    """Each user's last item that no earlier event hid, the one before it, ...

    `hides` (events,) are the events after which the policy offers an item no more, `whole` those
    after which it offers none of the product. What a user
    went on to do with the item (a view became a purchase) belongs to the choice; later events of
    items had before are in neither half.
    """
    past = log
    for _ in range(moments):
        before, chosen = _last_choice(past, hides, whole)
        past, future = past.where(before), past.where(chosen)
        yield moment(past, future)


def _last_choice(log: Interactions, hides: Mask, whole: Whole | None = None) -> tuple[Mask, Mask]:
    """(events,) what lies before each user's last choice, and the events with the chosen item.

    A user who would have nothing before it keeps all.
    """
    position = np.arange(len(log)) - log.offsets[log.user_rows]
    able = (position > 0) & ~_hidden(log, hides, log.item_rows)
    if whole is not None:
        product = whole.products[log.item_rows]
        own = len(whole.offsets) + log.item_rows  # of no product: hidden by itself alone
        able &= ~_hidden(log, whole.by, np.where(product == PAD, own, product))
    if log.dislikes is not None:
        able &= ~log.dislikes.cover(log.user_rows, log.item_rows, log.times)
    last = np.zeros(len(log.users), np.int64)  # no choice stands at place 0
    np.maximum.at(last, log.user_rows[able], position[able])
    item = log.item_rows[np.minimum(log.offsets[:-1] + last, len(log) - 1)]
    start = last[log.user_rows]
    chosen = (start > 0) & (position >= start) & (log.item_rows == item[log.user_rows])
    return (start == 0) | (position < start), chosen


def _hidden(log: Interactions, hides: Mask, items: Array) -> Mask:
    """(events,) whether an earlier event of the user has taken the item (events,) off the offer."""
    hidden = np.zeros(len(log), bool)
    if not hides.any():
        return hidden
    order = np.lexsort((items, log.user_rows))
    users, items = log.user_rows[order], items[order]
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
    liked = future.of_interest()
    unliked = len(distinct(future)) - len(distinct(liked)) if len(liked) < len(future) else 0
    future = liked
    if targets is not None:
        future = future.where(targets[future.event_codes])
    active = future.active_users()
    users = active[past.counts[active] > 0]
    strangers = active[past.counts[active] == 0]
    of_strangers = len(chosen_by(future, strangers).items)
    histories = Histories.of(past, users, _moments_of(users, future, now))
    no = None if future.dislikes is None else future.dislikes.take(users)
    return Moment(
        past,
        histories,
        chosen_by(future, users),
        len(strangers),
        of_strangers,
        disliked=no,
        disliked_positives=unliked,
    )


def distinct(log: Interactions) -> Array:
    """(n,) a number for each different (user, item) of a log."""
    return np.unique(log.user_rows.astype(np.int64) * len(log.items) + log.item_rows)


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
