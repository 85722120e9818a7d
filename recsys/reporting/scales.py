"""Scales: numbers to places in a plot, and the round numbers that are written beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Span = tuple[float, float]

ACROSS: Span = (1.5, 98.5)
"""Where a row's scale begins and ends, in percent of its width: room for half a mark."""


@dataclass(frozen=True)
class Scale:
    """Numbers to places: from `low` at the first to `high` at the last of `span`, in percent."""

    low: float
    high: float
    span: Span = ACROSS
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value; what lies outside is held at the edge."""
        first, last = self.span
        share = (self._bent(value) - self._bent(self.low)) / self._length
        return first + (last - first) * min(max(share, 0.0), 1.0)

    @cached_property
    def ticks(self) -> tuple[float, ...]:
        """Two to six round values."""
        return _decades(self.low, self.high) if self.log else _steps(self.low, self.high)

    @cached_property
    def _length(self) -> float:
        return (self._bent(self.high) - self._bent(self.low)) or 1.0

    def _bent(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value


def scale_of(values: Sequence[float], span: Span = ACROSS, *, zero: bool = True) -> Scale:
    """A scale that holds all values, from 0 if asked, ends at round values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = (low, low + 1) if low == 0 else (low - abs(low) / 2, high + abs(high) / 2)
    step = _step(low, high)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, span)


def log_scale_of(values: Sequence[float], span: Span = ACROSS) -> Scale:
    """A logarithmic scale with some air around all values, which are above 0."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    return Scale(low / 1.6, high * 1.6, span, log=True)


def tick_said(tick: float) -> str:
    """A tick as it is written."""
    return f"{tick:,.6g}" if abs(tick) < 1e6 else f"{tick:.0e}"


def _step(low: float, high: float) -> float:
    """A round distance that divides the range into about four."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)


def _steps(low: float, high: float) -> tuple[float, ...]:
    if high <= low:
        return (low,)
    step = _step(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten between two values; with fewer than two of them also their doubles, fives."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        ticks = [float(f"{each}e{power}") for power in powers for each in factors]
        inside = tuple(tick for tick in ticks if low <= tick <= high)
        if len(inside) > 1:
            return inside
    return inside


def ends(value: float | None, interval: Span | None) -> list[float]:
    """What a scale has to hold of a value and its interval."""
    return [end for end in (value, *(interval or ())) if end is not None]
