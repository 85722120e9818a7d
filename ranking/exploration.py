"""Places of lists that are given by lot, with the probability of what the lot gave."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.ranking.rules import Caps, take


@dataclass(frozen=True)
class Drawn:
    """What the lots gave."""

    columns: Rows  # (b, slots) of the candidates, PAD where a lot is empty
    propensity: Floats  # (b, slots) the probability of that candidate at that place, 1 where PAD

    def among(self, places: Array) -> "Drawn":
        """The same where the candidates were those at `places` (b, n) of more."""
        columns = np.take_along_axis(places, self.columns, axis=1)
        columns = np.where(self.columns == PAD, PAD, columns).astype(np.int32)
        return Drawn(columns, self.propensity)


def lots(items: Rows, able: Mask, columns: Rows, caps: Caps, slots: int, depth: int) -> Rows:
    """(b, w) which lot each candidate lies in, PAD where in none.

    The first `depth` candidates that are `able` (b, w) and not on the list (`columns`, (b, k)) are
    dealt out best first, each to the lot that holds fewest. Every lot gives one item, whatever the
    others give, so no item can come twice, draws are independent and the probability of an item at
    its place is that within its lot. A candidate is left out if a cap could be passed: lots that
    hold a value count as if each gave it.
    """
    dealt = np.full(items.shape, PAD, np.int32)
    over_rows(
        _deal,
        len(items),
        items,
        able,
        columns,
        caps.values,
        caps.most,
        slots,
        depth,
        dealt,
    )
    return dealt


def probabilities(dealt: Rows, logits: Floats, slots: int, temperature: float | None) -> Array:
    """(b, slots, w) of each candidate in each lot: a softmax of logits / temperature, or even."""
    own = dealt[:, None, :] == np.arange(slots)[:, None]
    if temperature is None:
        weights = own.astype(np.float64)
    else:
        heat = np.where(own, logits[:, None, :].astype(np.float64) / temperature, -np.inf)
        most = heat.max(axis=2, keepdims=True, initial=-np.inf)
        weights = np.exp(heat - np.where(np.isfinite(most), most, 0))
    total = weights.sum(axis=2, keepdims=True)
    chances: Array = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return chances


def drawn(chances: Array, keys: Array) -> Drawn:
    """One candidate of each lot (b, slots, w), by the key (b,) uint64 of each list."""
    slots = np.arange(chances.shape[1], dtype=np.uint64)
    luck = uniform(mixed(keys[:, None] + slots[None, :]))
    reach = np.cumsum(chances, axis=2)
    last = chances.shape[2] - 1 - (chances[:, :, ::-1] > 0).argmax(axis=2)  # rounding stops short
    columns = np.minimum((reach <= luck[:, :, None]).sum(axis=2), last)
    propensity = np.take_along_axis(chances, columns[:, :, None], axis=2)[:, :, 0]
    empty = propensity == 0
    return Drawn(
        np.where(empty, PAD, columns).astype(np.int32),
        np.where(empty, 1, propensity).astype(np.float32),
    )


def placed(columns: Rows, lots: Drawn) -> tuple[Rows, Floats]:
    """Lists (b, k) with the lots at their last empty places, and the propensity of each place."""
    columns, propensity = columns.copy(), np.ones(columns.shape, np.float32)
    slots = lots.columns.shape[1]
    empty = np.argsort(columns == PAD, axis=1, kind="stable")[:, columns.shape[1] - slots :]
    np.put_along_axis(columns, empty, lots.columns, axis=1)
    np.put_along_axis(propensity, empty, lots.propensity, axis=1)
    return columns, propensity


def mixed(keys: Array) -> Array:
    """Keys (...) uint64 whose every bit depends on every bit of those given.

    The finisher of SplitMix64 (Steele, Lea & Flood 2014), after one step of its counter: draws
    need no generator for each list, and a list is the same in whichever block it is made.
    """
    with np.errstate(over="ignore"):
        z = keys + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)


def uniform(keys: Array) -> Array:
    """Keys (...) uint64 as float64 in [0, 1), by their highest 53 bits."""
    return np.asarray((keys >> np.uint64(11)) * 2.0**-53, np.float64)


@compiled
def _deal(
    start: int,
    stop: int,
    items: Array,
    able: Array,
    columns: Array,
    values: Array,
    most: Array,
    slots: int,
    depth: int,
    dealt: Array,
) -> None:
    places = columns.shape[1] + items.shape[1]
    taken = np.empty((len(most), places), values.dtype)  # by the list, and by lots behind it
    lots = np.empty(places, np.int64)  # PAD for what is on the list
    for row in range(start, stop):
        own = items[row]
        on = np.zeros(len(own), np.bool_)
        n = 0
        for column in columns[row]:
            if column != PAD:
                on[column] = True
                lots[n] = PAD
                n = take(own[column], values, taken, n)
        sizes = np.zeros(slots, np.int64)
        for i in range(len(own)):
            if sizes.sum() == depth:
                break
            if own[i] == PAD or on[i] or not able[row, i]:
                continue
            lot = _smallest(own[i], sizes, values, most, taken, lots[:n])
            if lot != PAD:
                dealt[row, i] = lot
                sizes[lot] += 1
                lots[n] = lot
                n = take(own[i], values, taken, n)


@compiled
def _smallest(
    item: int, sizes: Array, values: Array, most: Array, taken: Array, lots: Array
) -> int:
    """The lot that holds fewest of those that may hold the item too, PAD where none may.

    `taken` (c, places) are the values of what is on the list or in `lots` (n,).
    """
    barred = 0  # a bit for each lot
    for cap in range(len(most)):
        value = values[cap, item]
        if value == PAD:
            continue
        used, holding = 0, 0  # by the list and by lots that hold the value; a bit for each of these
        for place in range(len(lots)):
            if taken[cap, place] != value:
                continue
            if lots[place] == PAD:
                used += 1
            elif not holding >> lots[place] & 1:
                used += 1
                holding |= 1 << lots[place]
        if used >= most[cap]:
            barred |= ~holding
    best = PAD
    for lot in range(len(sizes)):
        if not barred >> lot & 1 and (best == PAD or sizes[lot] < sizes[best]):
            best = lot
    return best
