"""What happened to each of some things (items, categories), as of any moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows, Times
from recsys.features.kernels import compiled
from recsys.features.ragged import offsets_of
from recsys.features.threads import over_rows


@dataclass(frozen=True)
class Tally:
    """What is known of things (...) at a moment each.

    Of a user's events of one kind with one item the newest counts: all others are repeats.
    """

    counts: Floats  # (..., e) events of each kind, without repeats
    decayed: Floats  # (..., s) the same of all kinds, each worth exp(-age / span)
    first: Times  # (...) when the first event was; the moment itself where there was none
    last: Times  # (...) when the last was; for none the start of all, or the moment if earlier


@dataclass(frozen=True)
class Events:
    """Events of `n` things, of `kinds` kinds, with spans in the unit of the times."""

    things: Rows  # (events,) PAD for what belongs to none
    times: Times  # (events,)
    codes: NDArray[np.uint8]  # (events,) below `kinds`
    gaps: Times  # (events,) the time since the event that it repeats; PAD of one that repeats none
    n: int
    kinds: int
    spans: Sequence[float]

    @property
    def start(self) -> int:
        """When the first of all was; 0 without any."""
        return int(self.times.min()) if len(self.times) else 0

    @property
    def end(self) -> int:
        """When the last of all was; 0 without any."""
        return int(self.times.max()) if len(self.times) else 0

    def at_end(self) -> Tally:
        """(n,) what is known of each thing after all events."""
        things, times, codes, gaps = self.owned()
        n, kinds, end = self.n, self.kinds, self.end
        keys, new = things.astype(np.int64) * kinds + codes, gaps == PAD
        counts = np.bincount(keys[new], minlength=n * kinds)
        decayed = np.empty((n, len(self.spans)), np.float32)
        for place, span in enumerate(self.spans):
            added = np.where(new, 1.0, -np.expm1(-gaps / span))  # what it repeats counts no more
            decayed[:, place] = np.bincount(things, added * np.exp((times - end) / span), n)
        first, last = np.full(n, end), np.full(n, self.start)
        np.minimum.at(first, things, times)
        np.maximum.at(last, things, times)
        return Tally(counts.reshape(n, kinds).astype(np.float32), decayed, first, last)

    def owned(self) -> tuple[Rows, Times, NDArray[np.uint8], Times]:
        """Things, times, codes and gaps of the events that belong to a thing."""
        own = self.things != PAD
        if own.all():
            return self.things, self.times, self.codes, self.gaps
        return self.things[own], self.times[own], self.codes[own], self.gaps[own]


@dataclass(frozen=True)
class Timeline:
    """Events sorted by thing and time, each with what was known of its thing then."""

    offsets: Offsets  # (n + 1,)
    times: Times  # (events,)
    counts: Floats  # (events, e) as in Tally
    decayed: Floats  # (events, s) as in Tally
    spans: Array  # (s,)
    start: int  # when the first event of all was

    @classmethod
    def of(cls, events: Events) -> Self:
        """Of the events that belong to a thing."""
        things, times, codes, gaps = events.owned()
        order = np.lexsort((times, things))
        offsets = offsets_of(np.bincount(things, minlength=events.n))
        spans, times = np.array(events.spans), times[order]
        counts = np.zeros((len(order), events.kinds), np.float32)
        decayed = np.zeros((len(order), len(spans)), np.float32)
        _summed_up(offsets, times, codes[order], gaps[order], spans, counts, decayed)
        return cls(offsets, times, counts, decayed, spans, events.start)

    def at(self, things: Rows, moments: Times) -> Tally:
        """(b, w) what is known of `things` (b, w) at the `moments` (b,), events of then included.

        Of PAD nothing is known.
        """
        shape = things.shape
        known = Tally(
            np.zeros((*shape, self.counts.shape[1]), np.float32),
            np.zeros((*shape, len(self.spans)), np.float32),
            np.repeat(moments, shape[1]).reshape(shape),
            np.repeat(np.minimum(moments, self.start), shape[1]).reshape(shape),
        )
        over_rows(
            _until, len(things), self.offsets, self.times, self.counts, self.decayed, self.spans,
            things, moments, known.counts, known.decayed, known.first, known.last,
        )  # fmt: skip
        return known


@compiled
def _summed_up(
    offsets: Array, times: Array, codes: Array, gaps: Array, spans: Array, counts: Array,
    decayed: Array,
) -> None:  # fmt: skip
    """What was known with each event: sums that decay are told from those of the event before.

    One that repeats another takes the place of what is left of that: it adds the rest to 1 alone.
    They run in 64 bits, for in 32 a sum of ones stops at 2 ** 24.
    """
    so_far, lately = np.zeros(counts.shape[1]), np.zeros(len(spans))
    for thing in range(len(offsets) - 1):
        so_far[:], lately[:] = 0, 0
        for event in range(offsets[thing], offsets[thing + 1]):
            if event > offsets[thing]:
                for span in range(len(spans)):
                    lately[span] *= np.exp(-(times[event] - times[event - 1]) / spans[span])
            if gaps[event] < 0:
                so_far[codes[event]] += 1
                lately += 1
            else:
                for span in range(len(spans)):
                    lately[span] -= np.expm1(-gaps[event] / spans[span])
            counts[event], decayed[event] = so_far, lately


@compiled
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
