"""The accepted rows of a log: mapped to rows, sorted and without duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows, Times
from recsys.features.columns import UNNAMED, EventType
from recsys.features.dislikes import Dislikes
from recsys.features.interactions import Clock, Interactions
from recsys.features.shown import Shown
from recsys.features.ties import drawn, runs_of, several
from recsys.features.vocabulary import Vocabulary

_THEN = ("event", "weight", "quantity", "position", "disliked")
_COMPARED = ("rank", "item", *_THEN)

NO_EVENT = "interaction"
"""What an event is called where no column says."""


class Accepted(NamedTuple):
    """The log that accepted rows make, and where its events come from."""

    log: Interactions
    source: Array  # (taken,) the accepted row that each event was, then of dislikes, impressions


def assemble(
    rows: pl.DataFrame,
    clock: Clock,
    events: Mapping[str, EventType],
    items: Vocabulary | None,
    declared: bool,
) -> Accepted:
    """Make a log of rows with valid columns `user`, `item` and, where they are mapped, `time`,
    `event` (a position in `events`), `weight`, `quantity`, `position` and `disliked`.

    Of a user's events at one time those with the lower `rank` come first, if there is such a
    column, or those with the lower `row`; otherwise their order is drawn (see `ties.drawn`), and
    that of `rows` changes nothing. Of rows that are equal in all columns the first is taken. Events
    that do not occur stay in the log's names only if the caller `declared` them. Impressions are
    counted and make no event, and what is `disliked` makes none: it is kept beside them.
    """
    impressions = _impressions(rows, events)
    if impressions.any():
        return _beside(impressions, rows, clock, events, items, declared)
    user_ids, user_places = _distinct(rows["user"])
    item_ids, item_places = _distinct(rows["item"])
    users = Vocabulary.of(user_ids, "user")
    known = Vocabulary.of(item_ids, "item") if items is None else items.extended(item_ids)
    item_ids = Vocabulary(item_ids).in_type_of(known).ids
    user_rows, times = users.rows(user_ids)[user_places], _times(rows)
    item_rows = known.rows(item_ids)[item_places]
    names, codes = _event_codes(rows, events, declared)
    worths, ranks = [events.get(name, UNNAMED).weight for name in names], _ranks(rows)
    then = [np.array(worths)[codes], *(rows[c].to_numpy() for c in _THEN if c in rows.columns)]
    order = _order(user_rows, times, len(users))
    order = _settled(order, (users.ids, user_rows), (known.ids, item_rows), times, ranks, then)
    order = order[~_repeated(rows, order, user_rows, times)]
    order, disliked, dislikes = _without_disliked(rows, order, user_rows, item_rows, times, users)
    log = Interactions(
        users=users,
        items=known,
        user_rows=user_rows[order],
        item_rows=item_rows[order],
        event_codes=codes[order],
        times=times[order],
        weights=_weights_at(order, rows, names, codes, events),
        events=names,
        clock=clock,
        worths=tuple(worths),
        positions=_positions(rows)[order] if "position" in rows.columns else None,
        ranks=None if ranks is None else ranks[order],
        dislikes=dislikes,
    )
    return Accepted(log, np.concatenate([order, disliked]))


def _without_disliked(
    rows: pl.DataFrame,
    order: Array,
    user_rows: Rows,
    item_rows: Rows,
    times: Times,
    users: Vocabulary,
) -> tuple[Array, Array, Dislikes | None]:
    """The order of the rows that are interest, of those that are dislikes, and these; None where
    no row could be one."""
    said_no = _said_no(rows)[order]
    if not said_no.any():
        return order, order[:0], None
    no = order[said_no]
    dislikes = Dislikes.of(user_rows[no], item_rows[no], times[no], len(users))
    return order[~said_no], no, dislikes


def _said_no(rows: pl.DataFrame) -> Mask:
    """(n,) which rows are dislikes."""
    if "disliked" not in rows.columns:
        return np.zeros(len(rows), np.bool_)
    said_no: Mask = rows["disliked"].to_numpy()
    return said_no


def _weights_at(
    order: Array,
    rows: pl.DataFrame,
    names: tuple[str, ...],
    codes: NDArray[np.uint8],
    events: Mapping[str, EventType],
) -> Floats:
    """(taken,) the weights of the rows in this order; dislikes, which have none, are not in it."""
    if len(order) == len(rows):
        return weights_of(rows, names, codes, events)[order]
    return weights_of(rows[order], names, codes[order], events)


def _impressions(rows: pl.DataFrame, events: Mapping[str, EventType]) -> Mask:
    """Which rows (n,) say that something was shown; (0,) where no row could."""
    of_events = np.array([event.impression for event in events.values()], np.bool_)
    if "event" not in rows.columns or not of_events.any():
        return np.zeros(0, np.bool_)
    are: Mask = of_events[rows["event"].to_numpy()]
    return are


def _beside(
    impressions: Mask,
    rows: pl.DataFrame,
    clock: Clock,
    events: Mapping[str, EventType],
    items: Vocabulary | None,
    declared: bool,
) -> Accepted:
    """The log of the other rows, with what was shown."""
    places, rest = np.flatnonzero(impressions), np.flatnonzero(~impressions)
    log, source = assemble(rows[rest], clock, events, items, declared)
    if "position" in rows.columns:
        of_them = rows[places]
        shown = Shown.of(_times(of_them), _positions(of_them), clock == "time")
        log = replace(log, shown=shown)
    return Accepted(log, np.concatenate([rest[source], places]))


def _positions(rows: pl.DataFrame) -> NDArray[np.uint16]:
    """(n,) places from 1, 0 where unknown."""
    return rows["position"].to_numpy()


def _distinct(column: pl.Series) -> tuple[pl.Series, Rows]:
    """The distinct ids, and for each row (n,) the place of its id among them."""
    used = column.unique()
    if not isinstance(column.dtype, pl.Categorical):
        return used, Vocabulary(used.alias("id")).rows(column)
    codes = used.to_physical().to_numpy()
    place = np.full(codes.max(initial=0) + 1, PAD, np.int32)
    place[codes] = np.arange(len(codes), dtype=np.int32)
    return used.cast(pl.String), place[column.to_physical().to_numpy()]


def _times(rows: pl.DataFrame) -> Times:
    """(n,) the times; order numbers that are not whole become their dense ranks."""
    if "time" not in rows.columns:
        return np.zeros(len(rows), np.int64)
    return _whole(rows["time"])


def _ranks(rows: pl.DataFrame) -> Array | None:
    """(n,) which of a user's events at one time come first; None where nothing says."""
    for name in ("rank", "row"):
        if name in rows.columns:
            return _whole(rows[name])
    return None


def _whole(numbers: pl.Series) -> Array:
    """Int64 that sort alike: numbers that are not whole become their dense ranks."""
    if numbers.dtype.is_float():
        whole = (numbers == numbers.floor()).all() and numbers.abs().max() < 2.0**53  # type: ignore[operator]
        numbers = numbers if whole else numbers.rank("dense")
    return numbers.cast(pl.Int64).to_numpy()


def _settled(
    order: Array,
    users: tuple[pl.Series, Rows],
    items: tuple[pl.Series, Rows],
    times: Times,
    ranks: Array | None,
    then: Sequence[Array],
) -> Array:
    """The `order` by user and time with that of each user's events at one time settled.

    `users` and `items` are ids and rows (n,); `then` (n,) sorts events of one item and rank.
    """
    user_rows, item_rows = users[1], items[1]
    runs = runs_of(user_rows[order], times[order])
    near = np.flatnonzero(several(runs))
    if not len(near):
        return order
    own, runs = order[near], runs[near]
    if ranks is not None:
        by_rank = np.lexsort((ranks[own], runs))
        own = own[by_rank]
        runs = runs_of(runs, ranks[own])
    by_user, by_item = (users[0], user_rows[own]), (items[0], item_rows[own])
    place = drawn(runs, by_user, by_item, [column[own] for column in then])
    settled = order.copy()
    settled[near] = own[place]
    return settled


def _order(user_rows: Rows, times: Times, n_users: int) -> Array:
    """(n,) the rows by user and time; rows that are equal in both stay as they came."""
    if np.all(times[1:] >= times[:-1]):  # logs mostly come in time order: saves the longer sort
        return _grouped(user_rows, n_users)
    by_time = np.argsort(times, kind="stable")
    return by_time[_grouped(user_rows[by_time], n_users)]


def _grouped(user_rows: Rows, n_users: int) -> Array:
    """(n,) the rows user by user, in their order.

    Building a sparse matrix is a counting sort: a quarter of a stable argsort's time.
    """
    n = len(user_rows)
    if not n:
        return np.zeros(0, np.int64)
    ones, place = np.ones(n, np.bool_), np.arange(n)
    order: Array = sp.csr_matrix((ones, (user_rows, place)), shape=(n_users, n)).indices
    return order


def _repeated(rows: pl.DataFrame, order: Array, user_rows: Rows, times: Times) -> Mask:
    """(n,) in this order: is there an earlier row that is equal in all columns?

    Only rows that share user and time with a neighbour are compared: in most logs they are few.
    """
    users, moments = user_rows[order], times[order]
    same = (users[1:] == users[:-1]) & (moments[1:] == moments[:-1])
    repeated = np.zeros(len(order), np.bool_)
    if not same.any():
        return repeated
    near = np.zeros(len(order), np.bool_)
    near[1:] |= same
    near[:-1] |= same
    run = np.cumsum(np.concatenate([[True], ~same]))[: len(order)]
    compared = [name for name in _COMPARED if name in rows.columns]
    suspects = rows.select(compared)[order[near]].with_columns(run=pl.Series(run[near]))
    first = suspects.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    repeated[near] = ~first.to_numpy()
    return repeated


def _event_codes(
    rows: pl.DataFrame, events: Mapping[str, EventType], declared: bool
) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """The names of the log's events, and (n,) the position of each row's event among them."""
    if "event" not in rows.columns:
        return (NO_EVENT,), np.zeros(len(rows), np.uint8)
    codes = rows["event"].to_numpy()
    named = np.array(
        [not (event.impression or event.dislike) for event in events.values()], np.bool_
    )
    if not declared:
        named &= np.bincount(codes, minlength=len(events)) > 0
    place = np.maximum(np.cumsum(named) - 1, 0)  # of a dislike any: it is set apart
    names = tuple(name for name, found in zip(events, named, strict=True) if found)
    if len(rows) and not names:
        return (NO_EVENT,), np.zeros(len(rows), np.uint8)
    return names, place.astype(np.uint8)[codes]


def weights_of(
    rows: pl.DataFrame,
    names: tuple[str, ...],
    codes: NDArray[np.uint8],
    events: Mapping[str, EventType],
) -> Floats:
    """(n,) event weight x weight x (1 + ln quantity); a quantity below one counts as one."""
    of_event = np.array([events.get(name, UNNAMED).weight for name in names], np.float32)
    weights: Floats = of_event[codes]
    if "weight" in rows.columns:
        weights = weights * rows["weight"].cast(pl.Float32).to_numpy()
    if "quantity" in rows.columns:
        quantity = np.maximum(rows["quantity"].to_numpy(), 1.0)
        weights = weights * (1.0 + np.log(quantity)).astype(np.float32)
    return weights
