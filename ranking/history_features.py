"""Features of the history itself, the same for all of its candidates."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from recsys.features.arrays import DAY, MINUTE, PAD, Array
from recsys.features.histories import Histories
from recsys.features.ragged import owners
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group
from recsys.ranking.past import DAYS
from recsys.ranking.recent import Recent


def of_history(
    histories: Histories, recent: Recent, events: tuple[str, ...], has_clock: bool
) -> Group:
    """Its length, repeats and kinds of events; with a clock its pace, session and silence."""
    told = {
        "history length": np.log1p(histories.lengths),
        "share of repeats": _repeats(recent),
    }
    told |= _kinds(recent, events)
    told |= _of_clock(histories, recent) if has_clock else {}

    def write(columns: Array) -> None:
        table = np.stack(list(told.values()), axis=1).astype(np.float32)
        over_rows(_repeat, len(table), table, columns)

    return group("the history", list(told), write)


def _repeats(recent: Recent) -> Array:
    """(b,) the share of the newest items that stand among them more than once."""
    ordered = np.sort(recent.items, axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    known = (recent.items != PAD).sum(axis=1)
    shares: Array = again.sum(axis=1) / np.maximum(known, 1)
    return shares


def _kinds(recent: Recent, events: Sequence[str]) -> dict[str, Array]:
    """(b,) the decayed share of each event but the first, and whether it was the last."""
    worth = recent.worth
    total = np.maximum(worth.sum(axis=1), 1e-6)
    told = {}
    for code, event in enumerate(events[1:], 1):
        of = recent.events == code
        told[f"share of {event}"] = (worth * of).sum(axis=1) / total
        told[f"last is {event}"] = of[:, 0].astype(np.float32)
    return told


def _of_clock(histories: Histories, recent: Recent) -> dict[str, Array]:
    """(b,) events of late, the silence since the last, and how long the last session was."""
    owner = owners(histories.offsets)
    ages = np.maximum(histories.now[owner] - histories.times, 0) / DAY
    told = {"days of silence": np.log1p(histories.pause() / DAY)}
    for days in DAYS:
        counts = np.bincount(owner, np.exp(-ages / days), minlength=len(histories))
        told[f"events of {days} days"] = np.log1p(counts)
    length = histories.now - histories.pause() - recent.begun
    told["events of session"] = np.log1p(recent.session)
    told["minutes of session"] = np.log1p(length / MINUTE)
    return told


@njit(nogil=True, cache=True)
def _repeat(start: int, stop: int, of_history: Array, columns: Array) -> None:
    for row in range(start, stop):
        for place in range(columns.shape[1]):
            columns[row, place] = of_history[row]
