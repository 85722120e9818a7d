"""What a condition may be made of: operators, functions and types; nothing else is read.

Each looks at one row alone, takes time and memory in proportion to it, and opens nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial

import polars as pl

from recsys.features.errors import DataError
from recsys.features.sql_dates import (
    DATE_FUNCTIONS,
    between,
    fixed_length,
    lengthened,
    shifted,
)
from recsys.features.sql_numbers import ARITHMETIC, NUMBER_FUNCTIONS, arithmetic, negative
from recsys.features.sql_terms import (
    DATE,
    FLAG,
    LIST,
    MOMENT,
    NOTHING,
    NUMBER,
    SPAN,
    TEXT,
    Function,
    Term,
    alike,
    constant_term,
    known,
    result,
    wanted,
)
from recsys.features.sql_texts import TEXT_FUNCTIONS, as_text, holds, like, matches, subscripted

Comparison = Callable[[pl.Expr, pl.Expr], pl.Expr]


def _best(name: str, make: Callable[[list[pl.Expr]], pl.Expr], *terms: Term) -> Term:
    same = alike(*terms)
    kind = next((term.kind for term in same if term.kind != NOTHING), NOTHING)
    whole = all(term.whole or term.kind == NOTHING for term in same)
    return result(name, make([term.expression for term in same]), kind, *same, whole=whole)


def _null_if(value: Term, other: Term) -> Term:
    left, right = (known(term) for term in alike(value, other))
    made = pl.when((left.expression == right.expression).fill_null(False)).then(None)
    return result(
        "NULLIF", made.otherwise(left.expression), left.kind, left, right, whole=left.whole, times=2
    )


def cases(*terms: Term) -> Term:
    """CASE: pairs of a condition and a value, and the value of all else."""
    tests, values = terms[:-1:2], alike(*terms[1:-1:2], terms[-1])
    whole = all(term.whole or term.kind == NOTHING for term in values)
    kind = next((term.kind for term in values if term.kind != NOTHING), NOTHING)
    made = values[-1].expression
    for test, value in reversed(list(zip(tests, values, strict=False))):
        wanted("what stands behind WHEN", test, FLAG)
        made = pl.when(test.expression).then(value.expression).otherwise(made)
    return result("CASE", made, kind, *tests, *values, whole=whole)


def _compared(name: str, make: Comparison, left: Term, right: Term) -> Term:
    same = [known(term) for term in alike(left, right)]
    for term in same:
        if term.kind == LIST:
            raise DataError(f"{term.told}; ask it with ARRAY_CONTAINS({term.said}, ...)")
        if term.kind == SPAN:
            fixed_length(term)
    return result(name, make(same[0].expression, same[1].expression), FLAG, *same)


def _between(value: Term, low: Term, high: Term) -> Term:
    least = _compared("BETWEEN", lambda x, y: x >= y, value, low)
    most = _compared("BETWEEN", lambda x, y: x <= y, value, high)
    return result("BETWEEN", least.expression & most.expression, FLAG, least, most)


def _added(sign: str, left: Term, right: Term) -> Term:
    """Sums and differences of numbers, of dates and lengths of time."""
    way = 1 if sign == "+" else -1
    days = (DATE, MOMENT)
    if left.kind in days and right.kind == SPAN:
        return shifted(way, left, right)
    if left.kind == SPAN and right.kind in days and way > 0:
        return shifted(way, right, left)
    if left.kind == right.kind == SPAN:
        return lengthened(way, left, right)
    if left.kind in days and right.kind in days and way < 0:
        return between(left, right)
    return arithmetic(sign, ARITHMETIC[sign], left, right)


def _bits(name: str, make: Comparison, left: Term, right: Term) -> Term:
    for term in (left, right):
        if not wanted(f"what {name} takes", term, NUMBER).whole:
            raise DataError(f"{name} takes whole numbers; got {term.said}")
    made = make(left.expression.cast(pl.Int64), right.expression.cast(pl.Int64))
    return result(name, made, NUMBER, left, right, whole=True)


def _logical(name: str, make: Callable[[list[pl.Expr]], pl.Expr], *terms: Term) -> Term:
    made = make([_flag(name, term).expression for term in terms])
    return result(name, made, FLAG, *terms)


def _flag(name: str, term: Term) -> Term:
    if term.kind == NOTHING:
        return Term(term.expression.cast(pl.Boolean), FLAG, term.said)
    return wanted(f"what {name} takes", term, FLAG)


def _stated(name: str, make: Callable[[pl.Expr], pl.Expr], term: Term) -> Term:
    return result(name, make(_flag(name, term).expression), FLAG, term)


def _is_null(term: Term) -> Term:
    return result("IS NULL", known(term).expression.is_null(), FLAG, known(term))


def _glued(left: Term, right: Term) -> Term:
    return result("||", pl.concat_str([as_text(left), as_text(right)]), TEXT, left, right)


def _any_of(value: Term, items: Term) -> Term:
    return holds(items, value)


def _among_terms(value: Term, *others: Term) -> Term:
    equal = [_compared("IN", lambda x, y: x == y, value, other) for other in others]
    if not equal:
        return constant_term(False)
    return _logical("IN", pl.any_horizontal, *equal)


OPERATORS: Mapping[str, Callable[..., Term]] = {
    **{name: partial(arithmetic, name, ARITHMETIC[name]) for name in ("*", "/", "//", "%")},
    "+": partial(_added, "+"),
    "-": partial(_added, "-"),
    "NEGATIVE": negative,
    "POSITIVE": lambda term: wanted("what + takes", term, NUMBER),
    "||": _glued,
    "&": partial(_bits, "&", lambda x, y: x & y),
    "|": partial(_bits, "|", lambda x, y: x | y),
    "=": partial(_compared, "=", lambda x, y: x == y),
    "<>": partial(_compared, "<>", lambda x, y: x != y),
    "<": partial(_compared, "<", lambda x, y: x < y),
    "<=": partial(_compared, "<=", lambda x, y: x <= y),
    ">": partial(_compared, ">", lambda x, y: x > y),
    ">=": partial(_compared, ">=", lambda x, y: x >= y),
    "IS DISTINCT FROM": partial(_compared, "IS DISTINCT FROM", lambda x, y: x.ne_missing(y)),
    "IS NOT DISTINCT FROM": partial(
        _compared, "IS NOT DISTINCT FROM", lambda x, y: x.eq_missing(y)
    ),
    "BETWEEN": _between,
    "IN OF": _among_terms,
    "= ANY": _any_of,
    "LIKE": partial(like, False),
    "ILIKE": partial(like, True),
    "REGEXP": matches,
    "IREGEXP": lambda text, pattern: matches(text, pattern, "i"),
    "IS NULL": _is_null,
    "IS TRUE": partial(_stated, "IS TRUE", lambda x: x.eq_missing(pl.lit(True))),
    "IS FALSE": partial(_stated, "IS FALSE", lambda x: x.eq_missing(pl.lit(False))),
    "NOT": partial(_stated, "NOT", lambda x: ~x),
    "XOR": partial(_logical, "XOR", lambda terms: terms[0] ^ terms[1]),
    "AND": partial(_logical, "AND", pl.all_horizontal),
    "OR": partial(_logical, "OR", pl.any_horizontal),
    "CASE": cases,
    "SUBSCRIPT": subscripted,
}
"""What words and signs between values do."""

FUNCTIONS: Mapping[str, Function] = {
    **NUMBER_FUNCTIONS,
    **TEXT_FUNCTIONS,
    **DATE_FUNCTIONS,
    "GREATEST": Function(partial(_best, "GREATEST", pl.max_horizontal), 1, 50),
    "LEAST": Function(partial(_best, "LEAST", pl.min_horizontal), 1, 50),
    "COALESCE": Function(partial(_best, "COALESCE", pl.coalesce), 1, 50),
    "IFNULL": Function(partial(_best, "IFNULL", pl.coalesce), 2, 2),
    "NULLIF": Function(_null_if, 2, 2),
    "IF": Function(cases, 3, 3),
}
"""What may be called."""
