"""Features of items that the history has already: how often, by which event, how long ago."""

import numpy as np

from recsys.features.arrays import DAY, Array, Rows
from recsys.features.histories import Histories
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group
from recsys.ranking.recent import Recent


def repeats(
    histories: Histories, recent: Recent, items: Rows, events: tuple[str, ...], has_clock: bool
) -> Group:
    """(b, w, n) how often each history has each of the `items` (b, w), and how few steps ago.

    Also how often by each event but the first; with a clock how few days ago, and how often in the
    last session.
    """
    kinds = len(events) - 1

    def write(columns: Array) -> None:
        over_rows(
            _count_repeats, len(items), histories.offsets, histories.items, histories.events,
            histories.times, histories.now, recent.session, kinds, has_clock, items,
            np.argsort(items, axis=1), columns,
        )  # fmt: skip

    names = ["times in history", "nearness of last time"]
    names += [f"times in history by {event}" for event in events[1:]]
    if has_clock:
        names += ["nearness in days", "times in session"]
    return group("how often it was had", names, write)


@compiled
def _count_repeats(
    start: int, stop: int, offsets: Array, history: Array, events: Array, times: Array, now: Array,
    session: Array, kinds: int, has_clock: bool, items: Array, orders: Array, columns: Array,
) -> None:  # fmt: skip
    for row in range(start, stop):
        order = orders[row]
        ordered = items[row][order]
        end = offsets[row + 1]
        columns[row] = 0
        for position in range(offsets[row], end):
            place = np.searchsorted(ordered, history[position])
            if place == len(ordered) or ordered[place] != history[position]:
                continue
            own = columns[row, order[place]]
            own[0] += 1
            own[1] = 1 / np.sqrt(np.float32(end - position))
            if kinds and events[position]:
                own[1 + events[position]] += 1
            if has_clock:
                days = max(now[row] - times[position], 0) / DAY
                own[2 + kinds] = 1 / (1 + days)
                own[3 + kinds] += position >= end - session[row]
        for place in range(items.shape[1]):
            own = columns[row, place]
            own[0] = np.log1p(own[0])
            for kind in range(kinds):
                own[2 + kind] = np.log1p(own[2 + kind])
            if has_clock:
                own[3 + kinds] = np.log1p(own[3 + kinds])
