"""What the log says of items, or of groups of items, as of its end and any moment before it."""

from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Self

import numpy as np

from recsys.features.arrays import DAY, PAD, Rows, Times
from recsys.features.interactions import Interactions
from recsys.ranking.timeline import Events, Tally, Timeline

DAYS = (1, 7, 30)
"""An event counts for exp(-age / span) where there is a clock, by each of these spans."""

_STEPS = (1, 5, 20)  # the same in each user's own events, where there is an order alone

_sorting = Lock()  # blocks side by side ask at once, and cached_property has no lock of its own


@dataclass(frozen=True)
class Past:
    """Events of a log by the things that its items count for."""

    log: Interactions
    things: Rows  # (items,) the thing that each item counts for; PAD for none
    n: int  # things

    @classmethod
    def of_all(cls, log: Interactions) -> Self:
        """Of the log as a whole: its items are one thing."""
        return cls(log, np.zeros(len(log.items), np.int32), 1)

    @property
    def spans(self) -> tuple[int, ...]:
        """(s,) days, or steps in each user's own events."""
        return DAYS if self.log.clock == "time" else _STEPS

    @cached_property
    def at_end(self) -> Tally:
        """(n,) what is known after all events; it is kept, which is meant for few things."""
        return self.events().at_end()

    def at(self, things: Rows, moments: Times) -> Tally:
        """(b, w) what is known of `things` (b, w) at the `moments` (b,) of a clock."""
        with _sorting:
            timeline = self._timeline
        return timeline.at(things, moments)

    def events(self) -> Events:
        """Made anew for each who asks: the end of the log needs them once."""
        log = self.log
        times, unit = log.times, DAY
        if log.clock != "time":  # steps before each user's newest event
            times, unit = np.arange(len(log)) - log.offsets[log.user_rows + 1] + 1, 1
        spans = [span * float(unit) for span in self.spans]
        earlier = log.repeats.earlier
        gaps = np.where(earlier == PAD, PAD, times - times[earlier])
        things = self.things[log.item_rows]
        return Events(things, times, log.event_codes, gaps, self.n, len(log.events), spans)

    @cached_property
    def _timeline(self) -> Timeline:
        return Timeline.of(self.events())
