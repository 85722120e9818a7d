"""Features of how an item's categories, tags and numbers suit what the history was about."""

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows
from recsys.features.kernels import compiled
from recsys.features.ragged import offsets_of
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group
from recsys.ranking.recent import Recent

Codes = tuple[Offsets, Rows]
"""Lists of codes (categories or tags): offsets (items + 1,) and flat codes."""


def listed(values: Rows) -> Codes:
    """One code per item (items,), PAD for none, as lists of none or one."""
    return offsets_of(values != PAD), values[values != PAD]


def code_affinity(
    name: str, lists: Codes, recent: Recent, items: Rows, events: tuple[str, ...], has_clock: bool
) -> Group:
    """(b, w, n) the decayed share of the newest events whose items share codes with each item.

    `items` are (b, w). Of all events, of the newest alone, of each but the first kind, and of the
    last session where there is a clock; and how few steps ago one was.
    """
    kinds = len(events) - 1

    def write(columns: Array) -> None:
        over_rows(
            _match_codes, len(items), recent.items, recent.events, recent.weights, recent.session,
            *lists, kinds, has_clock, items, columns,
        )  # fmt: skip

    names = [f"{name} affinity", f"{name} of last item", f"{name} nearness"]
    names += [f"{name} affinity by {event}" for event in events[1:]]
    return group(name, [*names, *([f"{name} in session"] if has_clock else [])], write)


def number_distance(name: str, values: Floats, recent: Recent, items: Rows) -> Group:
    """(b, w, 4) each item's number, how far it is from the history's mean, and where among its own.

    `values` (items,) are NaN where nothing is known; `items` are (b, w).
    """

    def write(columns: Array) -> None:
        over_rows(
            _compare, len(items), values, recent.items, recent.weights, items, columns
        )  # fmt: skip

    names = [name, f"{name} against history", f"{name} distance", f"{name} quantile in history"]
    return group(name, names, write)


@compiled
def _compare(
    start: int, stop: int, values: Array, recent: Array, weights: Array, items: Array,
    columns: Array,
) -> None:  # fmt: skip
    for row in range(start, stop):
        total, mean, known = np.float32(0), np.float32(0), 0
        own = np.empty(recent.shape[1], np.float32)
        for age in range(recent.shape[1]):
            if recent[row, age] != PAD and np.isfinite(values[recent[row, age]]):
                own[known] = values[recent[row, age]]
                total += weights[age]
                mean += weights[age] * own[known]
                known += 1
        if known:
            mean /= total
        for place in range(items.shape[1]):
            columns[row, place] = 0
            if items[row, place] == PAD or not np.isfinite(values[items[row, place]]):
                continue
            value = values[items[row, place]]
            columns[row, place, 0] = value
            if not known:
                continue
            below = np.float32(0)
            for other in own[:known]:
                below += np.float32(1) if other < value else np.float32(0)
                below += np.float32(0.5) if other == value else np.float32(0)
            columns[row, place, 1] = value - mean
            columns[row, place, 2] = abs(value - mean)
            columns[row, place, 3] = below / known - np.float32(0.5)


@compiled
def _match_codes(
    start: int, stop: int, recent: Array, events: Array, weights: Array, session: Array,
    offsets: Array, codes: Array, kinds: int, has_clock: bool, items: Array, columns: Array,
) -> None:  # fmt: skip
    width = 3 + kinds + has_clock
    for row in range(start, stop):
        slots = _slots_for(recent[row], offsets)
        profile = np.zeros((len(slots), width), np.float32)
        total, in_session = np.float32(0), np.float32(0)
        for age in range(recent.shape[1]):
            if recent[row, age] != PAD:
                total += weights[age]
                in_session += weights[age] if age < session[row] else np.float32(0)
        for age in range(recent.shape[1]):
            item = recent[row, age]
            if item == PAD:
                break
            for code in codes[offsets[item] : offsets[item + 1]]:
                slot = _slot_of(code, slots)
                slots[slot] = code
                own = profile[slot]
                own[0] += weights[age] / total
                if age == 0:
                    own[1] = 1
                if own[2] == 0:
                    own[2] = 1 / np.sqrt(np.float32(1 + age))
                if kinds and events[row, age]:
                    own[2 + events[row, age]] += weights[age] / total
                if has_clock and age < session[row]:
                    own[3 + kinds] += weights[age] / in_session
        for place in range(items.shape[1]):
            item = items[row, place]
            begin, end = (offsets[item], offsets[item + 1]) if item != PAD else (0, 0)
            size = np.float32(max(1, end - begin))
            columns[row, place] = 0
            for code in codes[begin:end]:
                slot = _slot_of(code, slots)
                if slots[slot] == code:
                    for column in range(width):
                        columns[row, place, column] += profile[slot, column]
            for column in range(width):
                columns[row, place, column] /= size


@compiled
def _slots_for(recent: Array, offsets: Array) -> Array:
    """A hash table (2 ** n,) at most half full of the codes of the items up to the first PAD."""
    most, size = 1, 2
    for item in recent:
        if item == PAD:
            break
        most += offsets[item + 1] - offsets[item]
    while size < 2 * most:
        size *= 2
    return np.full(size, PAD, np.int32)


@compiled
def _slot_of(code: int, slots: Array) -> int:
    """Where a code stands, or the PAD where it would: the first free one from its own on."""
    slot = code & (len(slots) - 1)
    while slots[slot] != PAD and slots[slot] != code:
        slot = (slot + 1) & (len(slots) - 1)
    return slot
