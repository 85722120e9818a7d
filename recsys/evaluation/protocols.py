"""Ways to cut a log into what systems learn from and what they are held against."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.learning import Moment, chosen_by, distinct, moment
from recsys.settings import EngineSettings, EvaluationSettings


@dataclass(frozen=True)
class Window:
    """One cut. Systems are fitted on `moment.past` and asked for lists for `moment.histories`."""

    moment: Moment
    events: tuple[str, ...]  # what the codes of `moment.chosen.events` mean
    about: Mapping[str, Any]  # its cutoff, or how users were drawn
    unknown: int = 0  # positives of items that the log has not: nothing could offer them
    unknown_users: int = 0  # users with a past all of whose positives are such
    without_target: int = 0  # users of whom something was held out, but no target
    notes: tuple[str, ...] = ()  # what to beware of


def windows(
    log: Interactions, settings: EvaluationSettings, test: Interactions | None = None
) -> Iterator[Window]:
    """The cuts of the protocol that the settings name; `test` is the other half of a given split.

    "last-item" holds out each user's last event, "time" all events from a cutoff on, "walk-forward"
    several stretches of time one after the other, each foretold from all before it. "given" takes
    the split as it comes. "fold-in" holds out users (Liang et al. 2018): nothing of them is learnt
    from, a share of their events is their history and the rest is to be found. In these two each
    user is asked at the time of their own last event, and items are as popular as they were then.
    Raises DataError where the log cannot be cut so.
    """
    if settings.protocol == "given" and test is None:
        raise SettingsError("the protocol 'given' needs the other half: [evaluation.test] path")
    cut = _PROTOCOLS[settings.protocol]
    of_both = log.events if test is None else (*log.events, *test.events)
    _check_targets(settings.targets, of_both if settings.protocol == "given" else log.events)
    targets = _mask(log.events, settings.targets)
    for window in cut(log, settings, targets, test):
        if not len(window.moment.past):
            raise DataError(f"the protocol {settings.protocol!r} leaves nothing to learn from")
        yield window


def read_test(settings: EngineSettings, data_dir: Path | None = None) -> Interactions | None:
    """The other half of a given split, with ids of its own; None where no file is named."""
    columns = settings.evaluation.test
    if columns is None:
        return None
    return read_interactions(None, columns, events=settings.events, data_dir=data_dir)[0]


def _last_item(
    log: Interactions, settings: EvaluationSettings, targets: Mask | None, _: Interactions | None
) -> Iterator[Window]:
    log = log.redrawn(settings.seed)
    past, last = log.split_last(1)
    alone = int((log.counts == 1).sum())  # users whose only event stays in the past
    found = moment(past, last, targets=targets)
    found = replace(found, left_out=found.left_out + alone)
    tied = _tied_share(log, targets)
    yield Window(
        moment=found,
        events=log.events,
        about={"tied_share": tied},
        without_target=_without_target(last, targets),
        notes=_drawn_last(tied, log, settings.seed),
    )


def _tied_share(log: Interactions, targets: Mask | None) -> float:
    """The share of users' last events, targets alone, that nothing but a draw made the last."""
    last = log.offsets[1:][log.counts > 1] - 1
    if targets is not None:
        last = last[targets[log.event_codes[last]]]
    return float(log.tied[last].mean()) if len(last) else 0.0


def _drawn_last(tied: float, log: Interactions, seed: int) -> tuple[str, ...]:
    """A note where the last event of some users was drawn."""
    if not tied:
        return ()
    drawn = f"which of them is held out is drawn by evaluation.seed = {seed}"
    if log.clock == "none":
        return (f"the log has no order of events: {drawn}; map interactions.time or order",)
    return (
        f"{tied:.1%} of the held-out events have the very time of another item of their user: "
        f"{drawn}; give a finer time, or map interactions.order beside it",
    )


def _time(
    log: Interactions, settings: EvaluationSettings, targets: Mask | None, _: Interactions | None
) -> Iterator[Window]:
    _needs_clock(log, settings)
    asked = settings.share if settings.date is None else None
    yield _between(log, _cutoff(log, settings), None, targets, asked)


def _walk_forward(
    log: Interactions, settings: EvaluationSettings, targets: Mask | None, _: Interactions | None
) -> Iterator[Window]:
    _needs_clock(log, settings)
    steps, share = settings.windows, settings.share
    if steps * share >= 1:
        raise SettingsError(f"windows x share must be below 1; got {steps} x {share}")
    cuts = [
        int(np.quantile(log.times, 1 - step * share, method="nearest"))
        for step in range(steps, 0, -1)
    ]
    same = sorted({_said(cut) for cut, after in pairwise(cuts) if cut == after})
    if same:
        raise DataError(
            f"windows of the protocol 'walk-forward' coincide at {', '.join(same)}: too many "
            "events have one time; set fewer windows or a larger share, or give a finer time"
        )
    for start, end in zip(cuts, [*cuts[1:], None], strict=True):
        yield _between(log, start, end, targets, share)


def _given(
    log: Interactions, settings: EvaluationSettings, targets: Mask | None, test: Interactions | None
) -> Iterator[Window]:
    if test is None:
        raise SettingsError("the protocol 'given' needs the other half: [evaluation.test] path")
    every, test = test, test.of_interest()
    disliked = len(distinct(every)) - len(distinct(test))
    wanted = _mask(test.events, settings.targets)
    without_target = _without_target(test, wanted)
    if wanted is not None:
        test = test.where(wanted[test.event_codes])
    future, strangers, unknown = _in_rows_of(log, test)
    found = moment(log, future, now=_last_times(log))
    found = replace(
        found,
        left_out=found.left_out + strangers[0],
        left_out_positives=found.left_out_positives + strangers[1],
        disliked_positives=disliked,
    )
    yield Window(
        moment=found,
        events=future.events,
        about={},
        unknown=unknown[1],
        unknown_users=unknown[0],
        without_target=without_target,
        notes=_overlap(log, future),
    )


def _fold_in(
    log: Interactions, settings: EvaluationSettings, targets: Mask | None, _: Interactions | None
) -> Iterator[Window]:
    rng = np.random.default_rng(settings.seed)
    able = np.flatnonzero(log.counts > 1)
    size = min(round(len(able) * settings.fold_users), len(able) - 1)
    if size < 1:
        raise DataError(
            f"the protocol 'fold-in' holds out a share of {settings.fold_users} of the users who "
            f"have at least 2 events; of {len(able)} that is nobody, or everybody"
        )
    users = np.sort(rng.permutation(able)[:size]).astype(np.int32)
    held = np.isin(log.user_rows, users)
    of_held = log.where(held)
    known = _drawn(of_held, settings.fold_share, rng)
    history, future = of_held.where(known), of_held.where(~known)
    every, future = future, future.of_interest()
    disliked = len(distinct(every)) - len(distinct(future))
    without_target = _without_target(future, targets)
    if targets is not None:
        future = future.where(targets[future.event_codes])
    users = future.active_users()
    histories = Histories.of(history, users, _last_times(history)[users])
    chosen = chosen_by(future, users)
    found = Moment(log.where(~held), histories, chosen, 0, 0, disliked_positives=disliked)
    about = {"held_out_users": len(users), "folded_in": settings.fold_share}
    yield Window(found, log.events, about, without_target=without_target)


_PROTOCOLS: Mapping[str, Callable[..., Iterator[Window]]] = {
    "last-item": _last_item,
    "time": _time,
    "walk-forward": _walk_forward,
    "given": _given,
    "fold-in": _fold_in,
}


def _between(
    log: Interactions, start: int, end: int | None, targets: Mask | None, asked: float | None
) -> Window:
    """What came before `start` against what came from then on, until `end`.

    `asked` is the share of the events that this should be.
    """
    past, future = log.split_at(start)
    if end is not None:
        future = future.split_at(end)[0]
    if not len(past) or not len(future):
        raise DataError(f"the cutoff {_said(start)} leaves one side without events")
    held = len(future) / len(log)
    return Window(
        moment=moment(past, future, start, targets),
        events=log.events,
        about={
            "cutoff": _said(start),
            "last_event": _said(future.times.max()),
            "held_share": held,
        },
        without_target=_without_target(future, targets),
        notes=_more_than(asked, held, start, int((future.times == start).sum())),
    )


def _more_than(asked: float | None, held: float, start: int, at_once: int) -> tuple[str, ...]:
    """A note where events of one time, which no cut can part, make far more than was asked."""
    if asked is None or held <= 2 * asked or at_once == 1:
        return ()
    return (
        f"a share of {asked:.1%} of the events was asked for, and {held:.1%} are held out from "
        f"{_said(start)} on: {at_once:,} events have that very time; set a date, or give a finer "
        "time",
    )


def _drawn(log: Interactions, share: float, rng: np.random.Generator) -> Mask:
    """(n,) a random share of each user's events: at least one, and never all."""
    lottery = rng.random(len(log))
    order = np.lexsort((lottery, log.user_rows))
    place = np.empty(len(log), np.int64)
    place[order] = np.arange(len(log)) - log.offsets[log.user_rows[order]]
    counts = log.counts[log.user_rows]
    kept: Mask = place < np.clip(np.round(counts * share), 1, counts - 1)
    return kept


def _in_rows_of(
    log: Interactions, test: Interactions
) -> tuple[Interactions, tuple[int, int], tuple[int, int]]:
    """`test` in the rows of `log`, and what has none there, as (users, positives).

    First users that `log` does not know and their positives, then the others' positives of items
    that it does not know and the users who have no other positives.
    """
    users = log.users.rows(test.users.ids)[test.user_rows]
    items = log.items.rows(test.items.ids)[test.item_rows]
    stranger = users == PAD
    unknown = (items == PAD) & ~stranger
    kept = np.flatnonzero(~stranger & ~unknown)
    kept = kept[np.argsort(users[kept], kind="stable")]
    future = replace(
        test,
        users=log.users,
        items=log.items,
        user_rows=users[kept],
        item_rows=items[kept],
        event_codes=test.event_codes[kept],
        times=test.times[kept],
        weights=test.weights[kept],
        positions=None if test.positions is None else test.positions[kept],
        ranks=None if test.ranks is None else test.ranks[kept],
        shown=None,
        dislikes=None,
    )
    strangers = len(np.unique(test.user_rows[stranger])), _pairs(test, stranger)
    lost = np.setdiff1d(users[unknown], users[kept])
    return future, strangers, (len(lost), _pairs(test, unknown))


def _overlap(log: Interactions, future: Interactions) -> tuple[str, ...]:
    """A note where events of the future, in the rows of the log, stand in the log too."""
    timed = log.clock == future.clock == "time"
    columns = ["user_rows", "item_rows", *(["times"] if timed else [])]
    held, known = (pl.DataFrame({c: getattr(e, c) for c in columns}) for e in (future, log))
    n = len(held.join(known, on=columns, how="semi"))
    if not n:
        return ()
    same = "user, item and time" if timed else "user and item"
    return (
        f"{n:,} of {len(future):,} test events stand in the log too, with the same {same}: they "
        "are learnt from, unless the split is mended",
    )


def _pairs(log: Interactions, some: Mask) -> int:
    """How many different (user, item) there are among some events."""
    keys = log.user_rows[some].astype(np.int64) * len(log.items) + log.item_rows[some]
    return len(np.unique(keys))


def _last_times(log: Interactions) -> Array:
    """(users,) when each user's last event was, 0 without any."""
    times = np.zeros(len(log.users), np.int64)
    users: Rows = log.active_users()
    times[users] = log.times[log.offsets[users + 1] - 1]
    return times


def _needs_clock(log: Interactions, settings: EvaluationSettings) -> None:
    if log.clock != "time":
        raise DataError(
            f"the protocol {settings.protocol!r} needs a time column; this log has {log.clock!r}: "
            "use the protocol 'last-item'"
        )


def _cutoff(log: Interactions, settings: EvaluationSettings) -> int:
    if settings.date is None:
        return int(np.quantile(log.times, 1 - settings.share, method="nearest"))
    try:
        date = datetime.fromisoformat(settings.date)
    except ValueError as error:
        raise DataError(f"evaluation.date {settings.date!r} is not a date: {error}") from None
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1e6)


def _said(time_: Any) -> str:
    return datetime.fromtimestamp(int(time_) / 1e6, UTC).isoformat()


def _check_targets(names: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = set(names) - set(known)
    if unknown:
        raise DataError(
            f"unknown target events {sorted(unknown)}; the log has {list(dict.fromkeys(known))}"
        )


def _mask(events: tuple[str, ...], names: tuple[str, ...]) -> Mask | None:
    """(events,) which of them are targets; None where all are."""
    return np.array([name in names for name in events]) if names else None


def _without_target(future: Interactions, targets: Mask | None) -> int:
    """How many users of `future` have no target in it."""
    if targets is None:
        return 0
    aimed = future.where(targets[future.event_codes])
    return len(future.active_users()) - len(aimed.active_users())
