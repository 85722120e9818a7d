"""Histories of several kinds of events at any hour, and lists of candidates, drawn by a seed."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Rows
from recsys.features.histories import Histories
from tests.worlds import DAY, log_of

ITEMS = 7
EVENTS = ("view", "cart", "purchase")


@dataclass(frozen=True)
class Eventful:
    """Three histories, one of them empty, and a list of candidates for each."""

    histories: Histories
    items: Rows  # (3, w) distinct within a list, PAD where it is short

    def events(self, query: int) -> list[tuple[int, int, int]]:
        """Item, code and time of each event of a history, newest first."""
        own = slice(self.histories.offsets[query], self.histories.offsets[query + 1])
        told = self.histories
        every = zip(told.items[own], told.events[own], told.times[own], strict=True)
        return [(int(item), int(code), int(time)) for item, code, time in every][::-1]


def eventful(seed: int, most: int = 30) -> Eventful:
    rng = np.random.default_rng(seed)
    lengths = [int(rng.integers(1, most)), int(rng.integers(1, 4))]
    sequences = [rng.integers(0, ITEMS, length).tolist() for length in lengths]
    gaps = rng.choice([0, 60_000_000, 30 * 60_000_000, DAY], sum(lengths))
    log = log_of(*sequences, [], items=ITEMS, times=np.cumsum(gaps).tolist(), clock="time")
    log.event_codes[:] = rng.integers(0, len(EVENTS), len(log))
    now = int(gaps.sum()) + int(rng.integers(0, DAY))
    items = np.stack([rng.permutation(ITEMS)[:5] for _ in range(3)]).astype(np.int32)
    items[rng.random(3) < 0.5, 3:] = PAD
    return Eventful(Histories.of(log, np.arange(3, dtype=np.int32), now), items)
