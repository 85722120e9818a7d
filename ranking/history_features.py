"""Features of the history itself, the same for all of its candidates."""

import numpy as np

from recsys.features.arrays import DAY, MINUTE, PAD, Array
from recsys.features.histories import Histories
from recsys.features.kernels import compiled
from recsys.features.ragged import owners
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group
from recsys.ranking.past import DAYS
from recsys.ranking.recent import Recent

_OF_CLOCK = (
    "days of silence",
    *(f"events of {days} days" for days in DAYS),
    "events of session",
    "minutes of session",
)


def of_history(
    histories: Histories, recent: Recent, events: tuple[str, ...], has_clock: bool
) -> Group:
    """(b, w, n) its length, repeats and kinds of events; with a clock its pace, session, silence.

    n is 2, with 2 for each event but the first, and 6 more with a clock.
    """

    def write(columns: Array) -> None:
        told = [np.log1p(histories.lengths), _repeats(recent), *_kinds(recent, len(events))]
        told += _of_clock(histories, recent) if has_clock else []
        table = np.stack(told, axis=1).astype(np.float32)
        over_rows(_repeat, len(table), table, columns)

    names = ["history length", "share of repeats"]
    names += [f"{what} {event}" for event in events[1:] for what in ("share of", "last is")]
    return group("the history", [*names, *(_OF_CLOCK if has_clock else [])], write)


def _repeats(recent: Recent) -> Array:
    """(b,) the share of the newest items that stand among them more than once."""
    ordered = np.sort(recent.items, axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    known = (recent.items != PAD).sum(axis=1)
    shares: Array = again.sum(axis=1) / np.maximum(known, 1)
    return shares


def _kinds(recent: Recent, events: int) -> list[Array]:
    """(b,) the decayed share of each event but the first, and whether it was the last."""
    worth = recent.worth
    total = np.maximum(worth.sum(axis=1), 1e-6)
    told = []
    for code in range(1, events):
        of = recent.events == code
        told += [(worth * of).sum(axis=1) / total, of[:, 0]]
    return told


def _of_clock(histories: Histories, recent: Recent) -> list[Array]:
    """(b,) each, as `_OF_CLOCK` names them; events of late are decayed counts."""
    owner = owners(histories.offsets)
    ages = np.maximum(histories.now[owner] - histories.times, 0) / DAY
    lately = [np.bincount(owner, np.exp(-ages / days), len(histories)) for days in DAYS]
    length = histories.now - histories.pause() - recent.begun
    told = [histories.pause() / DAY, *lately, recent.session, length / MINUTE]
    return [np.log1p(each) for each in told]


@compiled
def _repeat(start: int, stop: int, of_history: Array, columns: Array) -> None:
    for row in range(start, stop):
        for place in range(columns.shape[1]):
            columns[row, place] = of_history[row]
