"""The newest events of histories: what candidates are compared with one by one."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.features.arrays import MINUTE, PAD, Array, Floats, Rows, Times
from recsys.features.histories import Histories
from recsys.features.ragged import owners

PROFILE = 20
"""How many of the newest items a user's category, tag and price profile rests on."""

SILENCE = 30 * MINUTE
"""The microseconds without an event that end a session."""

DECAY = 0.85
"""How much each older event counts against the next newer one."""


@dataclass(frozen=True)
class Recent:
    """The newest `PROFILE` events of each history, newest first."""

    items: Rows  # (b, r) PAD where it is shorter
    events: Array  # (b, r) codes, 0 where it is shorter
    weights: Floats  # (r,)
    session: Array  # (b,) how many of each whole history's newest events are its last session
    begun: Times  # (b,) when that session began; now, for an empty history

    @classmethod
    def of(cls, histories: Histories) -> Self:
        """Sessions mean something only where the times are of a clock."""
        items = histories.last(PROFILE)
        place = np.maximum(histories.offsets[1:, None] - 1 - np.arange(PROFILE), 0)
        events = histories.events[place] if len(histories.events) else np.zeros(place.shape)
        starts = _session_starts(histories)
        begun = histories.now.copy()
        some = histories.lengths > 0
        begun[some] = histories.times[starts[some]]
        return cls(
            items=items,
            events=np.where(items == PAD, 0, events).astype(np.uint8),
            weights=(DECAY ** np.arange(PROFILE)).astype(np.float32),
            session=histories.offsets[1:] - starts,
            begun=begun,
        )

    @property
    def worth(self) -> Floats:
        """(b, r) the weight of each event, 0 where a history is shorter."""
        return np.where(self.items == PAD, np.float32(0), self.weights)


def _session_starts(histories: Histories) -> Array:
    """(b,) where the last session of each history begins in the flat arrays."""
    times, offsets = histories.times, histories.offsets
    begins = np.ones(len(times), bool)
    begins[1:] = np.diff(times) > SILENCE
    starts = offsets[:-1].copy()
    np.maximum.at(starts, owners(offsets)[begins], np.flatnonzero(begins))
    return starts
