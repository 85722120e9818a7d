"""What the values of a column are, as far as its type depends on them: one pass over the rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

_SAMPLE = 10_000  # rows that can already say that a column of text is none of numbers
_SHORT = r"^(?:0|-?[1-9][0-9]{0,17})$"  # an integer that comes back as it was written
_WHOLE = r"^(?:0|-?[1-9][0-9]{0,19}|(?:0|-?[1-9][0-9]{0,14})\.0+)$"  # or as pandas writes it
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9:.]+)?$"
_LEAST, _MOST, _MOST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts over the values of a column that are not missing."""

    values: int = 0
    short: int = 0  # text: whole numbers of at most 18 digits, written as such
    whole: int = 0  # whole numbers, of text also those written with .0
    numbers: int = 0  # text: what reads as a number
    truths: int = 0  # text: true or false
    days: int = 0  # text: dates in ISO 8601
    least: float | None = None  # numbers; of text the whole ones
    most: float | None = None

    @property
    def are_whole(self) -> bool:
        """Is each value a whole number? False without values."""
        return 0 < self.values == self.whole

    @property
    def are_numbers(self) -> bool:
        return 0 < self.values == self.numbers

    @property
    def are_truths(self) -> bool:
        return 0 < self.values == self.truths

    @property
    def integer(self) -> pl.DataType:
        """The type that holds these whole numbers: Int64, else UInt64, else text."""
        if self.least is None or self.most is None:
            return pl.Int64()
        if self.least >= _LEAST and self.most <= _MOST:
            return pl.Int64()
        return pl.UInt64() if self.least >= 0 and self.most <= _MOST_UNSIGNED else pl.String()


def facts_of(
    rows: pl.LazyFrame,
    values: Mapping[str, pl.Expr],
    kinds: Mapping[str, pl.DataType],
    in_full: Collection[str] = (),
) -> dict[str, Facts]:
    """The facts of some columns, whose `values` are null where they are missing.

    Of a column of text that a sample shows to be no numbers, only what the sample says is told,
    unless it is to be known `in_full`.
    """
    texts = [name for name in values if kinds[name] == pl.String]
    facts = _collected(rows.head(_SAMPLE), {name: _of_text(values[name]) for name in texts})
    known = [name for name in texts if _is_plain(facts[name]) and name not in in_full]
    rest = [name for name in values if name not in known]
    tests = {
        name: _of_text(values[name]) if name in texts else _of_numbers(values[name], kinds[name])
        for name in rest
    }
    facts |= _collected(rows, tests)
    large = [n for n in texts if n not in known and facts[n].short < facts[n].whole]
    for name, found in _collected(rows, {n: _ends(_whole(values[n])) for n in large}).items():
        own = facts[name]
        facts[name] = Facts(own.values, own.short, own.whole, own.numbers, own.truths, own.days,
                            found.least, found.most)  # fmt: skip
    return facts


def whole_numbers(text: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Text of whole numbers as such; null for what is none."""
    plain = pl.when(text.str.contains(_WHOLE)).then(text.str.replace(r"\.0+$", ""))
    return plain.cast(kind, strict=False)


def _is_plain(facts: Facts) -> bool:
    """Is there a value that is neither a number nor true, false or a date?"""
    return max(facts.whole, facts.numbers, facts.truths, facts.days) < facts.values


def _whole(text: pl.Expr) -> pl.Expr:
    return whole_numbers(text, pl.Int128())


def _of_text(values: pl.Expr) -> dict[str, pl.Expr]:
    words = values.str.to_lowercase()
    return {
        "values": values.count(),
        "short": values.str.contains(_SHORT).sum(),
        "whole": values.str.contains(_WHOLE).sum(),
        "numbers": values.str.strip_chars().cast(pl.Float64, strict=False).count(),
        "truths": ((words == "true") | (words == "false")).sum(),
        "days": values.str.contains(_DAY).sum(),
    }


def _of_numbers(values: pl.Expr, kind: pl.DataType) -> dict[str, pl.Expr]:
    if kind.is_integer():
        return {"values": values.count(), "whole": values.count(), **_ends(values.cast(pl.Int128))}
    whole = values == values.floor()
    return {"values": values.count(), "whole": whole.sum(), **_ends(values)}


def _ends(values: pl.Expr) -> dict[str, pl.Expr]:
    return {"least": values.min(), "most": values.max()}


def _collected(rows: pl.LazyFrame, tests: Mapping[str, Mapping[str, pl.Expr]]) -> dict[str, Facts]:
    named = [
        (name, fact, expression)
        for name, each in tests.items()
        for fact, expression in each.items()
    ]
    if not named:
        return {}
    answer = rows.select(e.alias(f"{i}") for i, (_, _, e) in enumerate(named)).collect(
        engine="streaming"
    )
    found: dict[str, dict[str, float]] = {name: {} for name in tests}
    for (name, fact, _), value in zip(named, answer.row(0), strict=True):
        found[name][fact] = value
    return {name: Facts(**values) for name, values in found.items()}  # type: ignore[arg-type]
