"""Arithmetic of a condition, and the functions of numbers that it may call."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import polars as pl

from recsys.features.errors import DataError
from recsys.features.sql_terms import (
    FLAG,
    NUMBER,
    Function,
    Term,
    constant_term,
    fixed,
    result,
    wanted,
)

Operation = Callable[[pl.Expr, pl.Expr], pl.Expr]


def arithmetic(name: str, make: Operation, left: Term, right: Term) -> Term:
    """Whole numbers are counted in 128 bits; what might overflow those, as a fraction."""
    terms = [_counted(name, each) for each in (left, right)]
    whole = name != "/" and all(term.whole for term in terms)
    most = _most(name, *terms)
    if whole and most < _WIDEST:
        wide = [term.expression.cast(pl.Int128) for term in terms]
        return replace(result(name, make(*wide), NUMBER, *terms, whole=True), most=most)
    narrow = any(term.narrow for term in terms) and all(
        term.narrow or term.is_constant for term in terms
    )
    given = [term.expression.cast(pl.Float64) if term.whole else term.expression for term in terms]
    return replace(result(name, make(*given), NUMBER, *terms), narrow=narrow)


_WIDEST = 2.0**126


def _most(name: str, left: Term, right: Term) -> float:
    """How far from 0 a result may be."""
    if name == "*":
        return left.most * right.most
    return left.most + right.most if name in ("+", "-") else max(left.most, right.most)


def _counted(name: str, term: Term) -> Term:
    """A number, or a flag as one."""
    if term.kind != FLAG:
        wanted(f"what {name} takes", term, NUMBER)
    if term.kind == NUMBER:
        return term
    return replace(term, expression=term.expression.cast(pl.Int64), kind=NUMBER, whole=True)


def negative(term: Term) -> Term:
    """Less than nothing by as much."""
    zero = Term(pl.lit(0), NUMBER, "0", 0, whole=True)
    return arithmetic("-", lambda x, y: x - y, zero, term)


def _numeric(name: str, make: Callable[[pl.Expr], pl.Expr], keeps: bool = False) -> Function:
    """A function of a number; where it `keeps`, whole numbers stay whole."""

    def term(value: Term) -> Term:
        wanted(name, value, NUMBER)
        whole = keeps and value.whole
        given = value.expression if whole or keeps else value.expression.cast(pl.Float64)
        made = make(given)
        return result(name, made, NUMBER, value, whole=whole)

    return Function(term, 1, 1)


def _rounded(value: Term, digits: Term | None = None) -> Term:
    wanted("ROUND", value, NUMBER)
    if digits is None or value.whole:
        places = 0
    else:
        places = fixed("ROUND takes its number of digits as a whole number", digits, int)
    if places >= 0:
        made = value.expression.round(min(places, 30))
    else:
        scale = 10.0 ** min(-places, 300)
        made = (value.expression / scale).round() * scale
    return result("ROUND", made, NUMBER, value, whole=value.whole)


def _power(base: Term, exponent: Term) -> Term:
    terms = [wanted("POWER", each, NUMBER).expression.cast(pl.Float64) for each in (base, exponent)]
    return result("POWER", terms[0].pow(terms[1]), NUMBER, base, exponent)


def _logarithm(value: Term, base: Term | None = None) -> Term:
    wanted("LOG", value, NUMBER)
    number = 10.0 if base is None else fixed("LOG takes its base as a number", base, int | float)  # type: ignore[arg-type]
    if not (0 < number < float("inf") and number != 1):
        raise DataError(f"LOG takes a base above 0 other than 1; got {number}")
    made = value.expression.cast(pl.Float64).log(float(number))
    return result("LOG", made, NUMBER, value)


_ONE: Mapping[str, tuple[Callable[[pl.Expr], pl.Expr], bool]] = {
    "ABS": (lambda x: x.abs(), True),
    "SIGN": (lambda x: x.sign(), True),
    "CEIL": (lambda x: x.ceil(), True),
    "CEILING": (lambda x: x.ceil(), True),
    "FLOOR": (lambda x: x.floor(), True),
    "SQRT": (lambda x: x.sqrt(), False),
    "CBRT": (lambda x: x.cbrt(), False),
    "EXP": (lambda x: x.exp(), False),
    "LN": (lambda x: x.log(), False),
    "LOG2": (lambda x: x.log(2.0), False),
    "LOG10": (lambda x: x.log10(), False),
    "LOG1P": (lambda x: x.log1p(), False),
    "SIN": (lambda x: x.sin(), False),
    "COS": (lambda x: x.cos(), False),
    "TAN": (lambda x: x.tan(), False),
    "ASIN": (lambda x: x.arcsin(), False),
    "ACOS": (lambda x: x.arccos(), False),
    "ATAN": (lambda x: x.arctan(), False),
    "RADIANS": (lambda x: x.radians(), False),
    "DEGREES": (lambda x: x.degrees(), False),
}

ARITHMETIC: Mapping[str, Operation] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
}

NUMBER_FUNCTIONS: Mapping[str, Function] = {
    **{name: _numeric(name, *how) for name, how in _ONE.items()},
    "ROUND": Function(_rounded, 1, 2),
    "POWER": Function(_power, 2, 2),
    "POW": Function(_power, 2, 2),
    "LOG": Function(_logarithm, 1, 2),
    "PI": Function(lambda: constant_term(math.pi), 0, 0),
    "MOD": Function(partial(arithmetic, "%", ARITHMETIC["%"]), 2, 2),
    "DIV": Function(partial(arithmetic, "//", ARITHMETIC["//"]), 2, 2),
}
