"""What happened to each of some things (items, categories), as of any moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows, Times
from recsys.features.ragged import offsets_of
from recsys.features.threads import over_rows


@dataclass(frozen=True)
class Known:
    """What is known of things (...) at a moment each."""

    counts: Floats  # (..., e) events of each kind
    decayed: Floats  # (..., s) events, each worth exp(-age / span)
    first: Times  # (...) when the first event was; the moment itself where there was none
    last: Times  # (...) when the last was; for none the start of all, or the moment if earlier


@dataclass(frozen=True)
class Timeline:
    """Events of `n` things, of `kinds` kinds, with spans in the unit of the times."""

    things: Rows  # (events,) PAD for what belongs to none
    times: Times  # (events,)
    codes: NDArray[np.uint8]  # (events,) below `kinds`
    n: int
    kinds: int
    spans: Sequence[float]

    @cached_property
    def start(self) -> int:
        return int(self.times.min(initial=np.iinfo(np.int64).max)) if len(self.times) else 0

    @cached_property
    def end(self) -> int:
        return int(self.times.max()) if len(self.times) else 0

    @cached_property
    def at_end(self) -> Known:
        """(n,) what is known of each thing after all events."""
        own = self.things != PAD
        things, times = self.things[own], self.times[own]
        counts = np.bincount(
            things.astype(np.int64) * self.kinds + self.codes[own], minlength=self.n * self.kinds
        )
        ages = (self.end - times) / np.array(self.spans)[:, None]
        decayed = [np.bincount(things, np.exp(-each), minlength=self.n) for each in ages]
        first, last = np.full(self.n, self.end), np.full(self.n, self.start)
        np.minimum.at(first, things, times)
        np.maximum.at(last, things, times)
        return Known(
            counts.reshape(self.n, self.kinds).astype(np.float32),
            np.stack(decayed, axis=1).astype(np.float32),
            first,
            last,
        )

    def at(self, things: Rows, moments: Times) -> Known:
        """(b, w) what is known of `things` (b, w) at the `moments` (b,), events of then included.

        Of PAD nothing is known.
        """
        shape = things.shape
        known = Known(
            np.zeros((*shape, self.kinds), np.float32),
            np.zeros((*shape, len(self.spans)), np.float32),
            np.repeat(moments, shape[1]).reshape(shape),
            np.repeat(np.minimum(moments, self.start), shape[1]).reshape(shape),
        )
        over_rows(
            _until, len(things), *self._sorted, np.array(self.spans), things, moments,
            known.counts, known.decayed, known.first, known.last,
        )  # fmt: skip
        return known

    @cached_property
    def _sorted(self) -> tuple[Offsets, Times, Floats, Floats]:
        """Offsets (n + 1,), and of each thing's events in order the times, and what was known."""
        own = np.flatnonzero(self.things != PAD)
        order = own[np.lexsort((self.times[own], self.things[own]))]
        offsets = offsets_of(np.bincount(self.things[own], minlength=self.n))
        times = self.times[order]
        counts = np.zeros((len(order), self.kinds), np.float32)
        decayed = np.zeros((len(order), len(self.spans)), np.float32)
        _summed_up(offsets, times, self.codes[order], np.array(self.spans), counts, decayed)
        return offsets, times, counts, decayed


@njit(nogil=True, cache=True)
def _summed_up(
    offsets: Array, times: Array, codes: Array, spans: Array, counts: Array, decayed: Array
) -> None:
    """What was known with each event: sums that decay are told from those of the event before.

    They run in 64 bits, for in 32 a sum of ones stops at 2 ** 24.
    """
    so_far, lately = np.zeros(counts.shape[1]), np.zeros(len(spans))
    for thing in range(len(offsets) - 1):
        so_far[:], lately[:] = 0, 0
        for event in range(offsets[thing], offsets[thing + 1]):
            if event > offsets[thing]:
                for span in range(len(spans)):
                    lately[span] *= np.exp(-(times[event] - times[event - 1]) / spans[span])
            so_far[codes[event]] += 1
            lately += 1
            counts[event], decayed[event] = so_far, lately


@njit(nogil=True, cache=True)
def _until(
    start: int, stop: int, offsets: Array, times: Array, counts: Array, decayed: Array,
    spans: Array, things: Array, moments: Array, own_counts: Array, own_decayed: Array,
    first: Array, last: Array,
) -> None:  # fmt: skip
    for row in range(start, stop):
        moment = moments[row]
        for place in range(things.shape[1]):
            thing = things[row, place]
            if thing < 0:
                continue
            begin, end = offsets[thing], offsets[thing + 1]
            event = begin + np.searchsorted(times[begin:end], moment, side="right") - 1
            if event < begin:
                continue
            own_counts[row, place] = counts[event]
            for span in range(len(spans)):
                age = (moment - times[event]) / spans[span]
                own_decayed[row, place, span] = decayed[event, span] * np.exp(-age)
            first[row, place], last[row, place] = times[begin], times[event]
