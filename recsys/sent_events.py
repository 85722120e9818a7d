"""Events that a request brings along: of sessions, or of known users since the fit."""

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from recsys.features.accepted import weights_of
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows, Times
from recsys.features.columns import UNNAMED, EventType, LogColumns
from recsys.features.dislikes import disliked
from recsys.features.errors import DataError
from recsys.features.ids import read_ids
from recsys.features.interactions import Interactions
from recsys.features.shown_values import shown
from recsys.features.times import parse_order, parse_times
from recsys.features.vocabulary import Vocabulary
from recsys.limits import Limits
from recsys.sent_frames import SentFrame, frame_of, is_frame

ONE_LIST = "{'a visit': ['i1', 'i2']}"


@dataclass(frozen=True)
class SentEvents:
    """The events of all who are named, each one's in their order."""

    names: pl.Series  # (b,) of sessions or users
    owners: Array  # (n,) position in `names`, ascending
    items: Rows  # (n,) PAD for an item that the engine does not know
    codes: Array  # (n,) events by their place in those of the log
    times: Times  # (n,) the end of the log where no times are told
    weights: Floats  # (n,)
    hides: Mask | None  # (n,) whether each hides its item; None: as the log's event of its code
    disliked: Mask | None  # (n,) which say no, where any can
    timed: bool  # are times told?
    unknown_events: Array  # (b,) how many were left out of each: of no event that settings name,
    late: Array  # (b,) or later than now
    strange: str = ""  # one of those events
    mixed: bool = False  # did names come as text and integers side by side? They are text then

    @property
    def unknown_items(self) -> Array:
        """(b,) how many events of each are of unknown items."""
        return np.bincount(self.owners[self.items == PAD], minlength=len(self.names))

    def known(self) -> "SentEvents":
        """The same without events of unknown items."""
        return self.at(np.flatnonzero(self.items != PAD))

    def remarks(self) -> list[list[str]]:
        """What was left out of each, in words."""
        said: list[list[str]] = [[] for _ in range(len(self.names))]
        for counts, words in (
            (self.unknown_items, "of unknown items left out"),
            (self.unknown_events, f"of unknown kinds such as {self.strange} left out"),
            (self.late, "with a time in the future left out"),
        ):
            for number in np.flatnonzero(counts):
                said[number].append(f"{counts[number]} events {words}")
        return said

    def at(self, places: Array) -> "SentEvents":
        """Some of the events, by place."""
        taken = ("owners", "items", "codes", "times", "weights")
        own = {name: getattr(self, name)[places] for name in taken}
        for name in ("hides", "disliked"):
            mask = getattr(self, name)
            own[name] = None if mask is None else mask[places]
        return replace(self, **own)


@dataclass(frozen=True)
class EventReader:
    """Reads what a request brings into the terms of one engine."""

    columns: LogColumns
    log: Interactions
    events: Mapping[str, EventType]
    limits: Limits = field(default_factory=Limits)

    def read(self, sent: Any, noun: str) -> SentEvents:
        """Events of a frame of any library, or item ids by name; `noun` is what messages call it.

        Times, weights and quantities count where a frame brings those columns; without time or
        order events count in the order of their rows, as if they happened at the end of the log.
        Raises DataError where anything cannot be read.
        """
        if isinstance(sent, Mapping):
            self._check_map(sent, noun)
            found = self._of_lists(sent, noun)
        elif is_frame(sent):
            found = self._of_frame(frame_of(sent, self.columns, noun), noun)
        else:
            raise DataError(
                f"{noun} must be a frame of events or map names to lists of item ids, as in "
                f"{ONE_LIST}; got {shown(sent)}"
            )
        counts = np.bincount(found.owners, minlength=len(found.names))
        self._check(len(found.names), int(counts.max(initial=0)), len(found.owners))
        order = np.argsort(found.owners, kind="stable")
        return found.at(order)

    def _check(self, names: int, longest: int, events: int) -> None:
        self.limits.check("max_sessions", names, "sessions")
        self.limits.check("max_session_events", longest, "events of one session")
        self.limits.check("max_events", events, "events in all")

    def _check_map(self, sent: Mapping[Any, Any], noun: str) -> None:
        """Columns by name, as JSON has a table, are no lists by session."""
        if self.columns.user in sent and self.columns.item in sent:
            raise DataError(
                f"{noun} must be a frame of events or map names to lists of item ids, as in "
                f"{ONE_LIST}; this maps {self.columns.user!r} and {self.columns.item!r}, the "
                "columns of the log: make a frame of it"
            )

    def _of_lists(self, sent: Mapping[Any, Any], noun: str) -> SentEvents:
        self.limits.check("max_sessions", len(sent), "sessions")
        most = self.limits.max_session_events
        lists = [_items_of(own, name, noun, most) for name, own in sent.items()]
        read = read_ids(list(sent), noun.removesuffix("s"))
        names = read.values
        items = self.log.items.found([item for own in lists for item in own])[1]
        codes = np.full(len(items), self._least(), np.uint8)
        nothing = np.zeros(len(names), np.int64)
        return SentEvents(
            names=names,
            owners=np.repeat(np.arange(len(names)), [len(own) for own in lists]),
            items=items,
            codes=codes,
            times=np.full(len(items), self.log.end, np.int64),
            weights=weights_of(pl.DataFrame(), self.log.events, codes, self.events),
            hides=None,
            disliked=None,
            timed=False,
            unknown_events=nothing,
            late=nothing,
            mixed=read.are_text is not None,
        )

    def _of_frame(self, sent: SentFrame, noun: str) -> SentEvents:
        ids = _names_of(sent.users.values, noun)
        names = ids.unique(maintain_order=True)
        owners = pl.Series(Vocabulary(names, noun).rows(ids))
        items = pl.Series(self.log.items.found_read(sent.items)[1])
        table = pl.DataFrame([owners.alias(_OWNER), items.alias(_ITEM), *sent.rest])
        table = self._without_impressions(table)
        table = table.with_columns(self._kinds(table))
        unknown, table = table.filter(_IS_UNKNOWN), table.filter(~_IS_UNKNOWN)
        table, timed = self._in_order(table, noun)
        late = table[_TIME] > self._latest()
        told, table = table.filter(late), table.filter(~late)
        kinds, named = table[_KIND].to_numpy(), (*self.log.events, *self._others())
        no = self._disliked(table)
        others = kinds >= len(self.log.events)
        any_other = bool(others.any())
        hides_otherwise = bool((others if no is None else others & ~no).any())
        return SentEvents(
            names=names,
            owners=table[_OWNER].to_numpy(),
            items=table[_ITEM].to_numpy(),
            codes=self._stand_ins()[kinds] if any_other else kinds.astype(np.uint8),
            times=table[_TIME].to_numpy(),
            weights=weights_of(self._amounts(table, noun, no), named, kinds, self.events),
            hides=self._hides(named)[kinds] if hides_otherwise else None,
            disliked=no,
            timed=timed,
            unknown_events=np.bincount(unknown[_OWNER].to_numpy(), minlength=len(names)),
            late=np.bincount(told[_OWNER].to_numpy(), minlength=len(names)),
            strange=repr(unknown[str(self.columns.event)][0]) if len(unknown) else "",
            mixed=sent.users.are_text is not None,
        )

    def _without_impressions(self, table: pl.DataFrame) -> pl.DataFrame:
        """The rows of what a visitor did, not of what was only shown."""
        names = [name for name, event in self.events.items() if event.impression]
        if not names or self.columns.event not in table.columns:
            return table
        return table.filter(~pl.col(str(self.columns.event)).is_in(names).fill_null(False))

    def _kinds(self, table: pl.DataFrame) -> pl.Series:
        """The event of each row by its place among those of the log and then `_others`; null for an
        unknown one, and the one of the least weight where no column says.
        """
        if self.columns.event not in table.columns:
            return pl.Series(_KIND, np.full(len(table), self._least(), np.uint16))
        known = [*self.log.events, *self._others()]
        return (
            table[str(self.columns.event)]
            .replace_strict(known, range(len(known)), default=None, return_dtype=pl.UInt16)
            .alias(_KIND)
        )

    def _others(self) -> list[str]:
        """Events that settings name and the log has not had."""
        return [
            name
            for name, event in self.events.items()
            if name not in self.log.events and not event.impression
        ]

    def _stand_ins(self) -> Array:
        """(events of the log, then others) the log's event that each is read as: the others as that
        which is nearest in weight, of those that hide alike if there are any.
        """
        names, own = list(self.log.events), np.arange(len(self.log.events))
        weights, hides = np.array([self._event(n).weight for n in names]), self._hides(names)
        nearest = [
            np.lexsort((abs(weights - self._event(n).weight), hides == self._event(n).offer_again))[
                0
            ]
            for n in self._others()
        ]
        return np.concatenate([own, np.array(nearest, np.int64)]).astype(np.uint8)

    def _event(self, name: str) -> EventType:
        return self.events.get(name, UNNAMED)

    def _hides(self, names: Iterable[str]) -> Mask:
        return np.array([not self._event(name).offer_again for name in names], np.bool_)

    def _least(self) -> int:
        """The event that says least, which is what an event of no known kind counts as."""
        return int(np.argmin([self._event(name).weight for name in self.log.events]))

    def _latest(self) -> int:
        """The latest moment that has been, as in the log."""
        if self.log.clock != "time":
            return self.log.end
        now = datetime.now(UTC).timestamp() + self.columns.future_tolerance
        return max(self.log.end, int(now * 1e6))

    def _in_order(self, table: pl.DataFrame, noun: str) -> tuple[pl.DataFrame, bool]:
        """The rows by time or order, with their moments as the log counts them; are any told?"""
        end, columns = pl.lit(self.log.end, pl.Int64), self.columns
        if columns.order in table.columns:
            places = table.select(parse_order(table.lazy(), str(columns.order)).alias(_TIME))[_TIME]
            _check_read(places, table[str(columns.order)], "orders", noun)
            table = table[np.argsort(places.to_numpy(), kind="stable")]
        if self.log.clock != "time" or columns.time not in table.columns or not len(table):
            return table.with_columns(end.alias(_TIME)), False
        moments = parse_times(table.lazy(), str(columns.time), columns.time_format)
        times = table.select(moments.value.alias(_TIME))[_TIME]
        _check_read(times, table[str(columns.time)], "times", noun)
        return table.with_columns(times).sort(_TIME, maintain_order=True), True

    def _disliked(self, table: pl.DataFrame) -> Mask | None:
        """(n,) which rows say no, by the columns that are there; None where none can."""
        named = {name: getattr(self.columns, name) for name in ("event", "rating")}
        lacking = {name: None for name, column in named.items() if column not in table.columns}
        saying = disliked(self.columns.model_copy(update=lacking), self.events)
        return None if saying is None else table.select(saying).to_series().to_numpy()

    def _amounts(self, table: pl.DataFrame, noun: str, no: Mask | None) -> pl.DataFrame:
        """The columns of weight and quantity under those names, as far as they are there.

        Those of a dislike say nothing, whatever they are.
        """
        named = {"weight": self.columns.weight, "quantity": self.columns.quantity}
        amounts = {
            name: _numbers(table[column], name, noun, no)
            for name, column in named.items()
            if column is not None and column in table.columns
        }
        return pl.DataFrame(amounts)


_OWNER, _ITEM = "__owner", "__item"
_TIME, _KIND = "__time", "__kind"  # names that `frame_of` gives no column
_IS_UNKNOWN = pl.col(_KIND).is_null()


def _items_of(own: Any, name: Any, noun: str, most: int) -> list[Any]:
    """The items of one list; raises DataError where they cannot be read."""
    one = f"{noun.removesuffix('s')} {shown(name)}"
    if isinstance(own, str | bytes | Mapping) or not isinstance(own, Iterable) or _is_table(own):
        raise DataError(
            f"{one} must be a list of item ids, an empty one where there is none yet; "
            f"got {shown(own)}"
        )
    try:
        return list(own if isinstance(own, Sized) else islice(own, most + 1))
    except Exception as error:
        raise DataError(f"{one} cannot be read: {type(error).__name__}: {error}") from error


def _is_table(own: Any) -> bool:
    """Would going through it give the names of columns, or the columns?"""
    return hasattr(own, "columns") and is_frame(own)


def _names_of(ids: pl.Series, noun: str) -> pl.Series:
    if ids.null_count():
        place = int(ids.is_null().arg_max() or 0)
        raise DataError(
            f"every event of {noun} needs an id in {ids.name!r}; row {place} (from 0) has none"
        )
    return ids


def _check_read(read: pl.Series, told: pl.Series, what: str, noun: str) -> None:
    if read.null_count():
        place = int(read.is_null().arg_max() or 0)
        raise DataError(
            f"{noun} hold {read.null_count()} {what} that cannot be read, such as "
            f"{shown(told[place])} in {told.name!r}"
        )


def _numbers(column: pl.Series, name: str, noun: str, no: Mask | None) -> pl.Series:
    """Amounts above 0; text counts as the number that it shows."""
    kind = column.dtype
    read: pl.Series | None = None
    if kind.is_numeric() or kind in (pl.String, pl.Null):
        read = column.cast(pl.Float64, strict=False)
        small = read.cast(pl.Float32, strict=False) if name == "weight" else read  # as it is kept
        bad = ~((small > 0) & small.is_finite()).fill_null(False)
        if no is not None:
            read, bad = read.set(pl.Series(no), 1.0), bad & ~pl.Series(no)
    if read is None or bad.any():
        place = 0 if read is None else int(bad.arg_max() or 0)
        raise DataError(
            f"the {name} of each event of {noun} must be a number above 0; got "
            f"{shown(column[place]) if len(column) else kind} in {column.name!r}"
        )
    return read
