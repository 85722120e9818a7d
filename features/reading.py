"""From a raw log to validated `Interactions`, with an account of the rows that were not taken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from recsys.features.accepted import assemble
from recsys.features.arrays import Array
from recsys.features.columns import DEFAULT_EVENTS, EventType, LogColumns
from recsys.features.dislikes import disliked
from recsys.features.errors import DataError, SettingsError
from recsys.features.gaps import FAR_AFTER, FAR_BEFORE, moment, without_far_times
from recsys.features.interactions import Clock, Interactions
from recsys.features.missing import missing_notes
from recsys.features.outputs import check_file
from recsys.features.rejections import LEFT_OUT, Rejections, is_missing, reason_code
from recsys.features.sources import Rows, Source, collected, left_out, opened
from recsys.features.times import parse_order, parse_times
from recsys.features.vocabulary import Vocabulary

DUPLICATE = "duplicate"
UNKNOWN_EVENT = "unknown event"
NO_PLACE = "position is no whole number from 1"
NO_RATING = "rating is no number"
_DEFAULT_COLUMNS = LogColumns()
_MOST_EVENTS = 255  # codes of events are uint8
_MOST_PLACES = 65_535  # places are uint16
_HEAVY_SHARE, _HEAVY_TIMES = 0.05, 10  # of all events, and of the mean user's: then it is said
_NAMED = 5  # how many unknown events a note names
_STARS = (4, 5, 6, 7, 10)  # the best of the usual scales of ratings


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one row is read: its values, and the reasons not to take it."""

    values: Mapping[str, pl.Expr]  # user, item, and where mapped time, event, weight, ...
    tests: Mapping[str, pl.Expr]  # reason -> whether it applies, said of the values
    clock: Clock
    said: str = ""  # how times are read


def read_interactions(
    source: Source,
    columns: LogColumns = _DEFAULT_COLUMNS,
    *,
    events: Mapping[str, EventType] = DEFAULT_EVENTS,
    items: Vocabulary | None = None,
    now: datetime | None = None,
    strict: bool = False,
    quarantine: Path | None = None,
    data_dir: Path | None = None,
) -> tuple[Interactions, Rejections]:
    """Read, validate, map and sort a log.

    A weight is that of the event x the weight column x (1 + ln quantity). `items` is the
    vocabulary of the catalogue, which that of the log then extends. Impressions (see `EventType`)
    are counted by their position and are no events of the log. Without time and order all
    times are 0. The order of rows changes nothing, unless `columns.ties` says so. Rejected rows are
    written to `quarantine`. In strict mode none may be rejected, except those that `columns.where`
    leaves out.
    Raises DataError where columns are missing, ids are of mixed types or no row is left.
    """
    if quarantine is not None:
        check_file(quarantine, "quarantine")
    rows = opened(source, columns, data_dir)
    words = columns.rating is not None and rows.raw.collect_schema()[columns.rating] == pl.String
    reading = _how_to_read(rows.typed, columns, events, now or datetime.now(UTC), words)
    read = collected(_coded(rows.typed, reading), columns)
    read, far = without_far_times(read, list(reading.tests), columns.max_gap_days)
    tests = list(reading.tests)
    if columns.max_events_per_user is not None:
        tests.append(f"of a user with more than {columns.max_events_per_user:,} events")
        read = _without_robots(read, columns.max_events_per_user, len(tests), events)
    passed = read.filter(pl.col("reason") == 0)
    if columns.ties == "file":
        passed = passed.with_row_index("row")
    declared = dict(events) != dict(DEFAULT_EVENTS)
    log, source_rows = assemble(passed, reading.clock, events, items, declared)
    rejections = Rejections.of(read["reason"], source_rows, tests, DUPLICATE, rows.raw)
    notes = [*rows.notes, *_met(rows, items, columns), *far]
    notes += _notes(log, rejections, reading, rows, columns, events)
    rejections = rejections.noting(*notes)
    if quarantine is not None:
        rejections.write(quarantine)
    if not len(log):
        no = 0 if log.dislikes is None else len(log.dislikes)
        kept = {"dislikes": no, "impressions": rejections.kept - no}
        shown = "".join(f"{n:,} of them {what}, " for what, n in kept.items() if n)
        raise DataError(
            f"no row of the log is left: {rejections.read:,} read, {shown}rejected: "
            f"{rejections.summary()}"
        )
    if strict:
        rejections.raise_if_any()
    return log, rejections


def _how_to_read(
    rows: pl.LazyFrame,
    columns: LogColumns,
    events: Mapping[str, EventType],
    now: datetime,
    rated_in_words: bool,
) -> _Reading:
    values: dict[str, pl.Expr] = {}
    tests: dict[str, pl.Expr] = {}
    condition = left_out(columns, rows)
    if condition is not None:
        values["left_out"], tests[LEFT_OUT] = condition, pl.col("left_out")
    for noun, name in (("user", columns.user), ("item", columns.item)):
        values[noun] = pl.col(name)
        tests[f"null {noun} id"] = is_missing(noun, rows.collect_schema()[name])
    clock, said = _read_clock(rows, columns, now, values, tests)
    if columns.event is not None:
        if len(events) > _MOST_EVENTS:
            raise SettingsError(f"at most {_MOST_EVENTS} events are allowed; got {len(events)}")
        known = pl.Enum(list(events))
        named = pl.col(columns.event).cast(known, strict=False)
        values["event"] = named.to_physical().cast(pl.UInt8)
        tests[UNKNOWN_EVENT] = pl.col("event").is_null()
    no = _disliked(columns, events, values, tests, rated_in_words)
    for noun, column in (("weight", columns.weight), ("quantity", columns.quantity)):
        if column is not None:
            values[noun] = pl.col(column)
            amounts = _amount_tests(noun)
            tests |= amounts if no is None else {why: test & ~no for why, test in amounts.items()}
    if columns.position is not None:
        values["position"] = _place(pl.col(columns.position))
        tests[NO_PLACE] = pl.col("position").is_null()
    return _Reading(values, tests, clock, said)


def _read_clock(
    rows: pl.LazyFrame,
    columns: LogColumns,
    now: datetime,
    values: dict[str, pl.Expr],
    tests: dict[str, pl.Expr],
) -> tuple[Clock, str]:
    """Add how times are read; the kind of clock, and what to say of it."""
    if columns.order is not None:
        name = "time" if columns.time is None else "rank"
        values[name] = parse_order(rows, columns.order)
        tests["order is not a number"] = pl.col(name).is_null()
    if columns.time is None:
        return "none" if columns.order is None else "order", ""
    moments = parse_times(rows, columns.time, columns.time_format)
    utc = now if now.tzinfo else now.replace(tzinfo=UTC)
    latest = int((utc.timestamp() + columns.future_tolerance) * 1e6)
    values["time"] = moments.value
    tests["unparsable time"] = pl.col("time").is_null()
    tests["time in the future"] = pl.col("time") > latest
    tests[FAR_BEFORE] = tests[FAR_AFTER] = pl.lit(False)  # said of all times: see below
    return "time", moments.said


def _disliked(
    columns: LogColumns,
    events: Mapping[str, EventType],
    values: dict[str, pl.Expr],
    tests: dict[str, pl.Expr],
    is_text: bool,
) -> pl.Expr | None:
    """Add how dislikes are read; whether a row is one, said of the values, or None if none can."""
    saying = disliked(columns, events)
    if saying is None:
        return None
    if columns.rating is not None and is_text:  # of numbers NaN says that there is none
        values["rated"] = pl.col(columns.rating)
        tests[NO_RATING] = pl.col("rated").is_nan()
    values["disliked"] = saying
    return pl.col("disliked")


def _place(column: pl.Expr) -> pl.Expr:
    """UInt16: 0 where nothing is said (also NaN), null where it is no whole number from 1."""
    place = column.cast(pl.Float64, strict=False)
    silent = (column.cast(pl.String).fill_null("") == "") | place.is_nan().fill_null(False)
    is_place = place.is_between(1, _MOST_PLACES) & (place == place.floor())
    return pl.when(silent).then(0).when(is_place).then(place).cast(pl.UInt16, strict=False)


def _amount_tests(noun: str) -> dict[str, pl.Expr]:
    # Weights are float32 in the end: what overflows there is not finite, what vanishes is zero.
    amount = pl.col(noun).cast(pl.Float32)
    return {
        f"{noun} not finite": amount.is_null() | ~amount.is_finite(),
        f"negative {noun}": amount < 0,
        f"{noun} is zero": amount == 0,
    }


def _coded(rows: pl.LazyFrame, reading: _Reading) -> pl.LazyFrame:
    """Each row as a few bytes: ids become categories while they stream by, so that the text of
    millions of rows is never held at once."""
    values = rows.select(**reading.values)
    kinds = values.collect_schema()
    ids = [
        pl.col(noun).cast(pl.Categorical(pl.Categories.random()))
        if kinds[noun] == pl.String
        else pl.col(noun)
        for noun in ("user", "item")
    ]
    names = ("time", "rank", "event", "weight", "quantity", "position", "disliked")
    others = [pl.col(name) for name in names if name in kinds]
    return values.select(*ids, *others, reason_code(reading.tests).alias("reason"))


def _without_robots(
    read: pl.DataFrame, most: int, code: int, events: Mapping[str, EventType]
) -> pl.DataFrame:
    """The rows with the reason `code` for those of users who have more than `most` events."""
    passed = pl.col("reason") == 0
    shown = [place for place, event in enumerate(events.values()) if event.impression]
    event = ~pl.col("event").is_in(shown) if "event" in read.columns else pl.lit(True)
    many = (passed & event).sum().over("user") > most
    reason = pl.when(passed & many).then(pl.lit(code, pl.UInt8)).otherwise(pl.col("reason"))
    return read.with_columns(reason=reason)


def _heaviest(log: Interactions) -> Iterator[str]:
    """A note where one user has a large part of the log."""
    most, user = int(log.counts.max()), int(log.counts.argmax())
    typical = len(log) / len(log.active_users())
    if most > _HEAVY_SHARE * len(log) and most > _HEAVY_TIMES * typical:
        yield (
            f"the user {log.users.ids[user]!r} has {most / len(log):.0%} of all events, {most:,}: "
            "what is repeated counts once, and max_events_per_user leaves such users out"
        )


def _met(rows: Rows, items: Vocabulary | None, columns: LogColumns) -> Iterator[str]:
    """A note where the item ids of the log and of the catalogue are of different types."""
    own = rows.typed.collect_schema()[columns.item]
    if items is None or not len(items) or own == pl.Null:
        return
    of = {own.is_integer(): "the log", items.ids.dtype.is_integer(): "the catalogue"}
    if len(of) > 1:
        yield (
            f"item ids are integers in {of[True]} and text in {of[False]}: they are compared as "
            "text; item_type says how each table's are read"
        )


def _notes(
    log: Interactions,
    rejections: Rejections,
    reading: _Reading,
    rows: Rows,
    columns: LogColumns,
    events: Mapping[str, EventType],
) -> Iterator[str]:
    if log.clock == "time" and len(log):
        first, last = (moment(time) for time in _ends(log.times))
        yield f"time: {reading.said}, {first} to {last} UTC"
    if len(log):
        yield from _heaviest(log)
    yield from missing_notes(log.users, log.counts, "events are of", columns)
    yield from missing_notes(log.items, log.item_counts, "events are of", columns)
    dislikes = 0 if log.dislikes is None else len(log.dislikes)
    if dislikes:
        yield f"{dislikes:,} dislikes hide their items from who said so and are no interest"
    yield from _that_look_like_dislikes(log, events)
    if columns.weight is not None and columns.rating is None:
        yield from _that_look_like_ratings(log, columns.weight)
    if impressions := rejections.kept - len(log) - dislikes:
        placed = 0 if log.shown is None else len(log.shown)
        yield f"{impressions:,} impressions are no events; {placed:,} of them have a position"
    if UNKNOWN_EVENT in rejections.counts and columns.event is not None:
        unknown = rows.typed.select(pl.col(columns.event).alias("name"))
        counts = (
            unknown.filter(~pl.col("name").is_in(list(events)))
            .group_by("name")
            .len()
            .sort("len", "name", descending=[True, False])
            .head(_NAMED)
            .collect(engine="streaming")
        )
        named = ", ".join(f"{name!r} ({n:,})" for name, n in counts.iter_rows())
        yield f"unknown events: {named}; known are {', '.join(events)}"


def _that_look_like_dislikes(log: Interactions, events: Mapping[str, EventType]) -> Iterator[str]:
    """A note on events that say no by their names and yes by the settings."""
    for name in log.events:
        usual = DEFAULT_EVENTS.get(name.lower())
        if usual is not None and usual.dislike and name in events:
            yield (
                f"event {name!r} counts as interest (weight {events[name].weight:g}); "
                "dislike = true of it hides its item and counts as none"
            )


def _that_look_like_ratings(log: Interactions, column: str) -> Iterator[str]:
    """A note where weights are those of a scale from bad to good."""
    of_one = np.array(log.worths, np.float32)[log.event_codes] if log.worths else 1
    values = np.unique(np.round(log.weights / of_one, 3))
    on_scale = len(values) <= 2 * _STARS[-1] and bool(np.all(values * 2 == np.floor(values * 2)))
    if on_scale and len(values) > 2 and values[-1] in _STARS:
        yield (
            f"weights {column!r} look like ratings from {values[0]:g} to {values[-1]:g}: low ones "
            "count as interest too; interactions.rating and dislike_below make them dislikes"
        )


def _ends(times: Array) -> tuple[int, int]:
    return int(times.min()), int(times.max())
