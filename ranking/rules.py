"""The filling of lists under rules: pinned places, caps per value, and least numbers of a kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows


@dataclass(frozen=True)
class Caps:
    """How many items of one value a list may hold at the most, by several columns."""

    values: Rows  # (c, items) PAD: no value, and no cap
    most: Array  # (c,)

    @classmethod
    def of(cls, caps: Sequence[tuple[Rows, int]], items: int) -> "Caps":
        """Of columns (items,) of codes, each with the most of one value."""
        values = np.array([codes for codes, _ in caps], np.int32).reshape(len(caps), items)
        most = np.array([most for _, most in caps], np.int64)
        return cls(values, most)


@dataclass(frozen=True)
class Least:
    """How many items of several kinds a list should hold at the least."""

    marked: Mask  # (m, items)
    need: Array  # (m,)


@dataclass(frozen=True)
class Filled:
    """Which candidates the lists hold, and what the rules did about it."""

    columns: Rows  # (b, k) of the candidates, PAD where a place stays empty
    held: Rows  # (b, w) the cap that left the candidate out, PAD where none did
    pulled: Rows  # (b, w) the kind for whose sake it is on the list, PAD where for none
    short: Mask  # (b, m) there are too few of the kind


def filled(items: Rows, pinned: Rows, caps: Caps, least: Least, free: int = 0) -> Filled:
    """Lists of k places, from candidates (b, w) in their order, best first.

    `pinned` (b, k) are columns of the candidates that stand at given places, PAD elsewhere; they
    count towards caps and kinds. The last `free` of the other places stay empty. The rest take the
    first candidates that no cap holds back. Only where too few of a kind would come in, its first
    candidates that no cap holds back are taken before all others, kind by kind; everything then
    stands in the order of the candidates.
    """
    shape = items.shape
    columns = np.full(pinned.shape, PAD, np.int32)
    held, pulled = np.full(shape, PAD, np.int32), np.full(shape, PAD, np.int32)
    short = np.zeros((len(items), len(least.need)), bool)
    over_rows(
        _fill,
        len(items),
        items,
        pinned,
        caps.values,
        caps.most,
        least.marked,
        least.need,
        free,
        columns,
        held,
        pulled,
        short,
    )
    return Filled(columns, held, pulled, short)


@compiled
def full_cap(item: int, values: Array, most: Array, taken: Array, n: int) -> int:
    """The first cap that has no room for the item, PAD where there is none.

    `taken` (c, places) are the values of the n items on the list: a list is short, while of values
    there may be as many as items.
    """
    for cap in range(len(most)):
        value = values[cap, item]
        if value == PAD:
            continue
        used = 0
        for place in range(n):
            used += taken[cap, place] == value
        if used >= most[cap]:
            return cap
    return PAD


@compiled
def take(item: int, values: Array, taken: Array, n: int) -> int:
    """Put the values of an item behind those of n others; there are n + 1 then."""
    for cap in range(len(values)):
        taken[cap, n] = values[cap, item]
    return n + 1


@compiled
def _fill(
    start: int,
    stop: int,
    items: Array,
    pinned: Array,
    values: Array,
    most: Array,
    marked: Array,
    need: Array,
    free: int,
    columns: Array,
    held: Array,
    pulled: Array,
    short: Array,
) -> None:
    taken = np.empty((len(most), pinned.shape[1]), values.dtype)
    nothing = np.zeros_like(need)
    for row in range(start, stop):
        own, pins = items[row], pinned[row]
        on = np.zeros(len(own), np.bool_)
        n, room = 0, -free
        for place in range(len(pins)):
            if pins[place] == PAD:
                room += 1
            else:
                on[pins[place]] = True
                n = take(own[pins[place]], values, taken, n)
        fixed = on.copy()
        _choose(own, room, values, most, taken, n, marked, nothing, on, held[row], pulled[row])
        if _lacks(own, on, marked, need):
            plain = on.copy()
            on[:] = fixed
            held[row] = PAD
            _choose(own, room, values, most, taken, n, marked, need, on, held[row], pulled[row])
            pulled[row][plain] = PAD  # would have been there anyhow
        for kind in range(len(need)):
            short[row, kind] = _of_kind(own, on, marked[kind]) < need[kind]
        _place(on, fixed, pins, free, columns[row])


@compiled
def _choose(
    own: Array,
    room: int,
    values: Array,
    most: Array,
    taken: Array,
    n: int,
    marked: Array,
    need: Array,
    on: Array,
    held: Array,
    pulled: Array,
) -> None:
    """Mark in `on` up to `room` more candidates: first what each kind needs, then in order.

    Values of the n items that are on the list stand in `taken`; those of the others follow them.
    """
    for kind in range(len(need)):
        have = _of_kind(own, on, marked[kind])
        for i in range(len(own)):
            if room <= 0 or have >= need[kind]:
                break
            if own[i] == PAD or on[i] or not marked[kind, own[i]]:
                continue
            if full_cap(own[i], values, most, taken, n) == PAD:
                on[i] = True
                pulled[i] = kind
                n = take(own[i], values, taken, n)
                have += 1
                room -= 1
    for i in range(len(own)):
        if room <= 0:
            break
        if own[i] == PAD or on[i]:
            continue
        held[i] = full_cap(own[i], values, most, taken, n)
        if held[i] == PAD:
            on[i] = True
            n = take(own[i], values, taken, n)
            room -= 1


@compiled
def _of_kind(own: Array, on: Array, marked: Array) -> int:
    have = 0
    for i in range(len(own)):
        if on[i] and marked[own[i]]:
            have += 1
    return have


@compiled
def _lacks(own: Array, on: Array, marked: Array, need: Array) -> bool:
    lacking = 0
    for kind in range(len(need)):
        lacking += max(need[kind] - _of_kind(own, on, marked[kind]), 0)
    return lacking > 0


@compiled
def _place(on: Array, fixed: Array, pins: Array, free: int, columns: Array) -> None:
    """Pins at their places, the others in order at the places left, but for the last `free`."""
    room = -free
    for place in range(len(pins)):
        columns[place] = pins[place]
        if pins[place] == PAD:
            room += 1
    place = 0
    for i in range(len(on)):
        if on[i] and not fixed[i] and room > 0:
            while columns[place] != PAD:
                place += 1
            columns[place] = i
            room -= 1
