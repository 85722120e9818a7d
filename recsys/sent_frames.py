"""Frames of events that a request brings along, of any library, as polars has them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from recsys.features import frames
from recsys.features.columns import LogColumns, Role
from recsys.features.errors import DataError
from recsys.features.ids import ReadIds, read_ids
from recsys.features.roles import About, typed

_FAULTS = (Exception, pl.exceptions.PanicException)  # the second is no Exception
_ROW = "__row"
_TYPED: tuple[Role, ...] = ("event", "time", "order", "position")
"""Roles that are read as in a log; ids and amounts have readers that name the row."""


@dataclass(frozen=True)
class SentFrame:
    """The events of a frame: the ids as they came, and what else it tells of each."""

    users: ReadIds  # (n,)
    items: ReadIds  # (n,)
    rest: pl.DataFrame  # (n) the other columns of the log, as far as they are there


def is_frame(sent: object) -> bool:
    """Is it a table of any library that `fit` takes, or a list of such parts?"""
    if isinstance(sent, list | tuple):
        return bool(sent) and all(is_frame(part) for part in sent)
    return frames.is_frame(sent) or (
        not isinstance(sent, pl.Series) and hasattr(sent, "columns") and hasattr(sent, "dtypes")
    )


def frame_of(sent: Any, columns: LogColumns, noun: str) -> SentFrame:
    """The columns of events that are there: user and item must be, all others may.

    Raises DataError where it cannot be read.
    """
    parts = list(sent) if isinstance(sent, list | tuple) else [sent]
    try:
        read = [_part(part, columns, noun) for part in parts]
        rest = read[0][2] if len(read) == 1 else _stacked(read)
        users, items = (_ids([part[place] for part in read], columns, place) for place in (0, 1))
    except DataError:
        raise
    except _FAULTS as error:
        said = str(error).partition("\n")[0]
        raise DataError(f"{noun} cannot be read: {type(error).__name__}: {said}") from error
    return SentFrame(users, items, rest)


def _part(sent: Any, columns: LogColumns, noun: str) -> tuple[Any, Any, pl.DataFrame]:
    """Its users and items as they came, and the rest in the types of their roles."""
    there, ids = _columns_of(sent), (columns.user, columns.item)
    missing = sorted(set(ids) - set(there))
    if missing:
        raise DataError(f"{noun} lack the columns {missing}; they have {there}")
    roles = {name: role for name, role in columns.roles.items() if name in there}
    twice = [name for name, n in Counter(there).items() if n > 1 and name in roles]
    if twice:
        raise DataError(f"{noun} have several columns called {twice[0]!r}")
    others = {name: role for name, role in roles.items() if name not in ids}
    texts = [name for name, role in others.items() if role == "event"]
    of_pandas = _is_of_pandas(sent)
    needed = list(others) if of_pandas else list(roles)
    table = sent if isinstance(sent, pl.DataFrame) else None
    if table is None or any(table.schema[name] == pl.Object for name in others):
        table = frames.as_polars(sent, needed, texts, noun).select(needed).collect()
    users, items = (sent[name] if of_pandas else table[name] for name in ids)
    return users, items, _with_roles(table.select(list(others)), others, columns, noun)


def _stacked(parts: Sequence[tuple[Any, Any, pl.DataFrame]]) -> pl.DataFrame:
    """The rests of parts, of which one may have no column."""
    rows = [
        pl.DataFrame([pl.Series(_ROW, range(len(users)), pl.Int64), *rest])
        for users, _, rest in parts
    ]
    return pl.concat(rows, how="diagonal_relaxed").drop(_ROW)


def _with_roles(
    table: pl.DataFrame, roles: Mapping[str, Role], columns: LogColumns, noun: str
) -> pl.DataFrame:
    asked = {name: role for name, role in roles.items() if role in _TYPED or name == columns.rating}
    if not asked:
        return table
    return typed(table.lazy(), asked, About(noun=noun, key=columns.key))[0].collect()


def _ids(parts: Sequence[Any], columns: LogColumns, place: int) -> ReadIds:
    """The ids of all parts; null where the log has none, text where its setting says so."""
    name, noun = ((columns.user, "user"), (columns.item, "item"))[place]
    read = [read_ids(part, noun) for part in parts]
    one = read[0] if len(read) == 1 else _joined(parts, read, noun)
    values = one.values.alias(name)
    if columns.id_types[name][1] == "string" and values.dtype.is_integer():
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        gone = values.is_in(["", *columns.missing_ids])
        values = values.set(gone, None) if gone.any() else values
    return ReadIds(values, one.are_text)


def _joined(parts: Sequence[Any], read: Sequence[ReadIds], noun: str) -> ReadIds:
    if any(each.are_text is not None for each in read):
        return read_ids(list(chain.from_iterable(parts)), noun)
    return read_ids(list(chain.from_iterable(each.values for each in read)), noun)


def _columns_of(sent: Any) -> list[str]:
    if isinstance(sent, pl.LazyFrame):
        return sent.collect_schema().names()
    # The columns of pyarrow are the data; what speaks Arrow's stream of batches has none.
    if isinstance(sent, pa.Table | pa.RecordBatch) or not hasattr(sent, "columns"):
        return [str(name) for name in sent.schema.names]
    return [str(name) for name in sent.columns]


def _is_of_pandas(sent: Any) -> bool:
    try:
        return bool(nw.from_native(sent).implementation.is_pandas_like())
    except _FAULTS:
        return False
