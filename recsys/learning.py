"""Past moments to learn from: what was known before each, and what was chosen after it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import Array, Mask
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
        yield moment(past, rest.split_at(end)[0], start)
        end = start


def moments_of_last_items(log: Interactions, moments: int) -> Iterator[Moment]:
    """Each user's last item, the one before it, ..."""
    past = log
    for _ in range(moments):
        past, last = past.split_last(1)
        yield moment(past, last)


def moment(
    past: Interactions, future: Interactions, now: int | None = None, targets: Mask | None = None
) -> Moment:
    """The users of `future` who have a past, and what they chose.

    `now` is the cutoff; without one each user's moment is the first event after it. `targets`
    (events,) marks the events that count as choosing.
    """
    if targets is not None:
        future = future.where(targets[future.event_codes])
    active = future.active_users()
    users = active[past.counts[active] > 0]
    now_of = future.times[future.offsets[users]] if now is None else now
    histories = Histories.of(past, users, now_of)
    return Moment(past, histories, _chosen(future, users), len(active) - len(users))


def _chosen(future: Interactions, users: Array) -> Chosen:
    """The distinct items of each user, with their greatest weight."""
    offsets, flat = ragged.gather(future.offsets, users)
    owner = ragged.owners(offsets)
    items, weights = future.item_rows[flat], future.weights[flat]
    order = np.lexsort((-weights, items, owner))
    owner, items, weights = owner[order], items[order], weights[order]
    first = np.ones(len(items), bool)
    first[1:] = (owner[1:] != owner[:-1]) | (items[1:] != items[:-1])
    counts = np.bincount(owner[first], minlength=len(users))
    return Chosen(ragged.offsets_of(counts), items[first], weights[first])
