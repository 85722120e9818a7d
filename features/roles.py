"""The type of each column by what it means, wherever it came from.

id        Int64 where whole (UInt64 where too large for it), else String; see `IdType`
category  as id, and any other value as its text; event: the text of that
text      String, lists joined by spaces
number, price, weight, quantity
          Float64, NaN for what is no number; a number may be a moment: Datetime in UTC
flag      Boolean, Float64 (a stock) or String (words)
tags      List(String), [] where there are none
time, order, position, vector
          as they came, for features/times.py, reading.py and values.py; categories as String
The empty string is missing in every role, and so is NaN.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from recsys.features.columns import IdType, Role
from recsys.features.errors import DataError
from recsys.features.facts import Facts, facts_of, whole_numbers

_EXACT = 2.0**53  # the last whole number up to which floats hold each

_WANTED: Mapping[Role, str] = {
    "id": "text or whole numbers",
    "time": "datetimes, dates, text or numbers",
    "order": "numbers",
    "event": "text or whole numbers",
    "weight": "numbers",
    "quantity": "numbers",
    "position": "whole numbers",
    "number": "numbers",
    "price": "numbers",
    "category": "one value per item",
    "tags": "lists or text",
    "text": "text",
    "flag": "true, false, numbers or words",
    "vector": "lists of numbers",
}


@dataclass(frozen=True, slots=True)
class About:
    """What is to be known of a table whose columns are typed."""

    noun: str = "table"
    """What messages call it."""
    key: str = "table"
    """Its table of the settings."""
    id_types: Mapping[str, tuple[str, IdType]] = field(default_factory=dict)
    """By column of ids: the name of its setting, and its value."""
    missing_ids: tuple[str, ...] = ()
    tag_separator: str = "|"
    untyped: frozenset[str] = frozenset()
    """Columns whose text may stand for numbers, as all of a CSV file."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    role: Role | None  # None: only a condition reads it
    kind: pl.DataType
    about: About

    @property
    def value(self) -> pl.Expr:
        """The values, null where they are missing, categories as text."""
        column = pl.col(self.name)
        if isinstance(self.kind, pl.Categorical | pl.Enum):
            column = column.cast(pl.String)
        if self.is_text:
            gone = ["", *(self.about.missing_ids if self.role == "id" else ())]
            return pl.when(~column.is_in(gone)).then(column)
        if self.kind.is_float():
            finite = column.cast(pl.Float64)
            return pl.when(finite.is_not_nan()).then(finite)
        return column

    @property
    def is_text(self) -> bool:
        return isinstance(self.kind, pl.String | pl.Categorical | pl.Enum)

    @property
    def is_untyped(self) -> bool:
        return self.name in self.about.untyped and self.is_text

    @property
    def as_read(self) -> IdType:
        return self.about.id_types.get(self.name, ("", "auto"))[1]

    def wrong(self, hint: str = "", found: str | None = None) -> DataError:
        """The error of a column that cannot be what it is mapped as."""
        role = self.role or "a column of where"
        wanted = _WANTED[self.role] if self.role else "one value per row"
        return DataError(
            f"{role} {self.name!r} of the {self.about.noun} must hold {wanted}; "
            f"got {found or self.kind}{hint}"
        )

    def set_to(self, value: str) -> str:
        """The setting that would read ids otherwise."""
        setting = self.about.id_types.get(self.name, ("id_type", ""))[0]
        return f'[{self.about.key}] {setting} = "{value}"'


def typed(
    rows: pl.LazyFrame, roles: Mapping[str, Role | None], about: About
) -> tuple[pl.LazyFrame, list[str]]:
    """The rows with each column of `roles` in the type of its role, and notes on what was read
    otherwise than it came. Raises DataError on a type that a role cannot have.
    """
    schema = rows.collect_schema()
    columns = [_Column(n, role, schema[n], about) for n, role in roles.items() if n in schema]
    for column in columns:
        _check(column)
    asked = [column for column in columns if _depends_on_values(column)]
    kinds = {c.name: pl.String() if c.is_text else c.kind for c in asked}
    said = {column.name for column in asked if column.as_read == "integer"}
    facts = facts_of(rows, {column.name: column.value for column in asked}, kinds, said)
    notes: list[str] = []
    expressions = []
    for column in columns:
        expression = _TYPES[column.role](column, facts.get(column.name, Facts()))
        expressions.append(expression.alias(column.name))
        notes += _notes(column, facts.get(column.name, Facts()))
    return rows.with_columns(expressions), notes


def _check(column: _Column) -> None:
    kind, role = column.kind, column.role
    if kind == pl.Object:
        raise column.wrong(found="values of mixed types" + _as_text_hint(column))
    if kind == pl.Binary:
        raise column.wrong("; decode it to text first")
    if kind == pl.Struct:
        raise column.wrong("; take the field that is meant out of it")
    if kind.is_nested() and role not in ("tags", "text", "vector", None):
        raise column.wrong("; map lists as tags" if role == "category" else "")
    if kind.is_nested() and role in ("tags", "text"):
        inner = getattr(kind, "inner", None)  # a map has none
        if inner is None or inner.is_nested() or inner in (pl.Binary, pl.Object):
            raise column.wrong()
    numeric = ("weight", "quantity", "price", "position")
    if role in numeric and (kind.is_temporal()):
        raise column.wrong()
    if role == "flag" and kind.is_temporal():
        raise column.wrong()
    if role == "tags" and (kind.is_temporal() or kind == pl.Boolean):
        raise column.wrong()
    if role in ("time", "order", "position") and kind == pl.Boolean:
        raise column.wrong()
    if role == "time" and kind in (pl.Duration, pl.Time):
        raise column.wrong()


def _as_text_hint(column: _Column) -> str:
    return f"; {column.set_to('string')} reads them as text" if column.role == "id" else ""


def _depends_on_values(column: _Column) -> bool:
    kind = column.kind
    if column.role == "id" and column.as_read == "integer" and column.is_text:
        return True
    if column.role in ("id", "category", "event", "text", "tags"):
        wide = kind in (pl.UInt64, pl.Int128, pl.UInt128)
        return column.is_untyped or wide or kind.is_float() or isinstance(kind, pl.Decimal)
    if column.role == "flag":
        return column.is_text
    return column.role in ("number", None) and column.is_untyped


def _notes(column: _Column, facts: Facts) -> Iterator[str]:
    if column.role != "id" or not facts.values:
        return
    is_float = column.kind.is_float() or isinstance(column.kind, pl.Decimal)
    written = column.is_text and facts.are_whole and _written_with_point(facts)
    if column.as_read != "string" and facts.are_whole and (is_float or written):
        found = "text such as 1.0" if written else str(column.kind)
        yield f"ids {column.name!r}: whole numbers that came as {found} are read as integers"
    if column.as_read == "integer" and (strange := facts.values - facts.whole):
        yield (
            f"ids {column.name!r}: {strange:,} values are no whole numbers and count as missing, "
            f"by {column.set_to('integer')}"
        )
    if facts.are_whole and facts.integer == pl.String:
        yield f"ids {column.name!r}: whole numbers beyond 64 bits are read as text"


def _written_with_point(facts: Facts) -> bool:
    return facts.short < facts.values and (facts.most is None or abs(facts.most) < 1e15)


def _id(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if kind == pl.Null:
        return value
    if column.as_read == "string":
        return value if column.is_text else _text_of(column, facts)
    if column.is_text:
        read = column.as_read == "integer" or (column.is_untyped and facts.are_whole)
        if read and facts.values and not facts.whole:
            raise column.wrong(f", and {column.set_to('integer')}", "text that is no whole number")
        return whole_numbers(value, facts.integer) if read else value
    if kind.is_integer():
        return value.cast(facts.integer)
    if kind.is_float() or isinstance(kind, pl.Decimal):
        return _id_of_fractions(column, facts)
    raise column.wrong(_as_text_hint(column))


def _id_of_fractions(column: _Column, facts: Facts) -> pl.Expr:
    value, is_float = column.value, column.kind.is_float()
    if column.as_read != "integer" and facts.values and not facts.are_whole:
        raise column.wrong(_as_text_hint(column), f"{column.kind} with fractions")
    ends = [abs(end) for end in (facts.least, facts.most) if end is not None]
    if is_float and column.as_read != "integer" and max(ends, default=0) > _EXACT:
        hint = "; make them integers or text where the table is made: floats have lost digits"
        raise column.wrong(hint, f"{column.kind} above 2^53")
    whole = pl.when(value == value.floor()).then(value)
    if is_float:
        return whole.cast(pl.Int64, strict=False)
    return whole.cast(pl.Int128, strict=False).cast(facts.integer, strict=False)


def _text_of(column: _Column, facts: Facts) -> pl.Expr:
    """Any single value as text; floats that are all whole as whole numbers."""
    kind, value = column.kind, column.value
    if kind.is_float() and facts.are_whole:
        return value.cast(pl.Int128, strict=False).cast(pl.String)
    if isinstance(kind, pl.Datetime):
        return _utc(value, kind).cast(pl.String).str.replace(r"\.0+$", "")
    return value.cast(pl.String)


def _category(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if column.is_text:
        if column.is_untyped and facts.are_whole:
            return whole_numbers(value, facts.integer)
        return value.str.to_lowercase() if column.is_untyped and facts.are_truths else value
    if kind.is_integer():
        return value.cast(facts.integer)
    if (kind.is_float() or isinstance(kind, pl.Decimal)) and facts.are_whole:
        return value.cast(pl.Int128, strict=False).cast(facts.integer)
    return _text_of(column, facts)


def _event(column: _Column, facts: Facts) -> pl.Expr:
    return _category(column, facts).cast(pl.String)


def _text(column: _Column, facts: Facts) -> pl.Expr:
    kind = column.kind
    if isinstance(kind, pl.Array | pl.List):
        listed = column.value.arr.to_list() if isinstance(kind, pl.Array) else column.value
        joined = listed.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
        return pl.when(joined != "").then(joined)
    if column.is_text:
        floats = column.is_untyped and facts.are_whole and _written_with_point(facts)
        return column.value.str.replace(r"\.0+$", "") if floats else column.value
    return _text_of(column, facts)


def _amount(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if column.is_text:
        words = value.str.to_lowercase()
        truth = pl.when(words == "true").then(1.0).when(words == "false").then(0.0)
        number = value.str.strip_chars().cast(pl.Float64, strict=False)
        is_given = value.str.strip_chars() != ""
        return pl.coalesce(number, truth, pl.when(is_given).then(float("nan")))
    if kind == pl.Float32:  # by the shortest decimals: 9.99 is 9.99
        return pl.col(column.name).cast(pl.String).cast(pl.Float64)
    if kind == pl.Duration:
        return value.dt.total_seconds(fractional=True)
    if kind == pl.Time:
        return value.cast(pl.Int64) / 1e9
    return pl.col(column.name).cast(pl.Float64)


def _number(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if column.is_text and facts.values and facts.days == facts.values and not facts.numbers:
        return _moment(value)
    if kind == pl.Date:
        return value.cast(pl.Datetime("us"))
    return _utc(value, kind) if isinstance(kind, pl.Datetime) else _amount(column, facts)


def _moment(text: pl.Expr) -> pl.Expr:
    notations = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")
    spaced = text.str.replace("T", " ", literal=True)
    return pl.coalesce(
        [spaced.str.to_datetime(each, strict=False, time_unit="us") for each in notations]
    )


def _utc(value: pl.Expr, kind: pl.Datetime) -> pl.Expr:
    if kind.time_zone is not None:
        value = value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return value.cast(pl.Datetime("us"))


def _flag(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if column.is_text:
        if facts.are_truths:
            return value.str.to_lowercase() == "true"
        return (
            value.str.strip_chars().cast(pl.Float64, strict=False) if facts.are_numbers else value
        )
    return value if kind in (pl.Boolean, pl.Null) else _amount(column, facts).fill_nan(None)


def _tags(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if isinstance(kind, pl.Array | pl.List):
        listed = value.arr.to_list() if isinstance(kind, pl.Array) else value
        listed = listed.cast(pl.List(pl.String))
    else:
        text = value if column.is_text else _category(column, facts).cast(pl.String)
        listed = text.str.split(column.about.tag_separator)
    one = pl.element().str.strip_chars()
    clean = listed.list.eval(one.filter(one != ""))
    return clean.fill_null(pl.lit([], pl.List(pl.String)))


def _vector(column: _Column, _: Facts) -> pl.Expr:
    kind = column.kind
    if isinstance(kind, pl.List | pl.Array) and isinstance(kind.inner, pl.Decimal):
        return pl.col(column.name).cast(pl.List(pl.Float64))
    return pl.col(column.name)


def _as_it_came(column: _Column, _: Facts) -> pl.Expr:
    return column.value if column.is_text else pl.col(column.name)


def _of_condition(column: _Column, facts: Facts) -> pl.Expr:
    kind, value = column.kind, column.value
    if column.is_untyped:
        if facts.are_whole:
            return whole_numbers(value, facts.integer)
        if facts.are_truths:
            return value.str.to_lowercase() == "true"
        return _amount(column, facts) if facts.are_numbers else value
    if kind == pl.Float32 or isinstance(kind, pl.Decimal):
        return _amount(column, facts).fill_nan(None)
    if isinstance(kind, pl.Datetime):
        return _utc(value, kind)
    return value


_TYPES: Mapping[Role | None, Callable[[_Column, Facts], pl.Expr]] = {
    "id": _id,
    "category": _category,
    "event": _event,
    "text": _text,
    "number": _number,
    "price": _amount,
    "weight": _amount,
    "quantity": _amount,
    "flag": _flag,
    "tags": _tags,
    "vector": _vector,
    "time": _as_it_came,
    "order": _as_it_came,
    "position": _as_it_came,
    None: _of_condition,
}
