"""The functions of texts and lists that a condition may call; none makes a text longer.

Joined texts are the exception: how many are joined is bounded where they are put together.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import polars as pl

from recsys.features.errors import DataError
from recsys.features.sql_terms import (
    FLAG,
    LIST,
    NOTHING,
    NUMBER,
    TEXT,
    Function,
    Term,
    constant_term,
    fixed,
    result,
    wanted,
)

MAX_PATTERN = 5_000
"""Characters of a pattern of LIKE and of a regular expression."""
MAX_PATTERNS = 20_000
"""What the patterns of one condition may cost together, as `pattern_cost` counts it."""
_ANY = 10  # what it costs to match any letter, digit or other kind of character
_PIECES = re.compile(
    r"(?P<open>\()|(?P<close>\))|\{(?P<times>[\d\s,]*)\}|(?P<any>\\[pP]\{[^}]*\}|\\[pPwWdDsS]"
    r"|\[(?:[^\]\\]|\\.)*\]|\.)|(?P<one>\\.|.)",
    re.DOTALL,
)
_FAR = 2**31 - 1  # no text is longer


def _textual(name: str, make: Callable[[pl.Expr], pl.Expr], kind: str = TEXT) -> Function:
    def term(value: Term) -> Term:
        wanted(name, value, TEXT)
        return result(name, make(value.expression), kind, value, whole=kind == NUMBER)

    return Function(term, 1, 1)


def _of_texts(
    name: str, make: Callable[[pl.Expr, pl.Expr], pl.Expr], kind: str = FLAG, least: int = 2
) -> Function:
    """A function of a text and another, which may be left out where it needs fewer."""

    def term(text: Term, other: Term | None = None) -> Term:
        other = constant_term(None) if other is None else other
        for each in (text, other):
            wanted(name, each, TEXT)
        made = make(text.expression, other.expression.cast(pl.String))
        return result(name, made, kind, text, other, whole=kind == NUMBER)

    return Function(term, least, 2)


def _whole(name: str, term: Term) -> pl.Expr:
    """A number of characters."""
    if not wanted(name, term, NUMBER).whole and term.kind != NOTHING:
        raise DataError(f"{name} takes whole numbers; got {term.said}")
    return term.expression.cast(pl.Int128).clip(-_FAR, _FAR).cast(pl.Int64)


def _substring(text: Term, start: Term, length: Term | None = None) -> Term:
    """Characters are counted from 1; those before the first are counted too, and are none."""
    wanted("SUBSTR", text, TEXT)
    first = _whole("SUBSTR", start) - 1
    if length is None:
        made = text.expression.str.slice(first.clip(0))
        return result("SUBSTR", made, TEXT, text, start)
    if length.is_constant and isinstance(length.constant, int) and length.constant < 0:
        raise DataError(f"SUBSTR takes a length of 0 or more; got {length.constant}")
    count = (_whole("SUBSTR", length) + first.clip(None, 0)).clip(0)
    made = text.expression.str.slice(first.clip(0), count)
    return result("SUBSTR", made, TEXT, text, start, start, length)


def _end(name: str, make: Callable[[pl.Expr, pl.Expr], pl.Expr], text: Term, count: Term) -> Term:
    wanted(name, text, TEXT)
    return result(name, make(text.expression, _whole(name, count)), TEXT, text, count)


def _replaced(text: Term, old: Term, new: Term) -> Term:
    wanted("REPLACE", text, TEXT)
    cut = fixed("REPLACE takes what to replace as a text in quotes", old, str, bool)
    rule = f"REPLACE takes a text in quotes, no longer than the {len(cut)} characters it replaces"
    put = fixed(rule, new, str, lambda each: len(each.encode()) <= len(cut.encode()))
    made = text.expression.str.replace_all(cut, put, literal=True)
    return result("REPLACE", made, TEXT, text)


def _joined(name: str, *terms: Term) -> Term:
    texts = [as_text(term) for term in terms]
    made = pl.concat_str(texts, ignore_nulls=True)
    return result(name, made, TEXT, *terms)


def _joined_by(separator: Term, *terms: Term) -> Term:
    sign = fixed("CONCAT_WS takes its separator in quotes", separator, str, lambda s: len(s) < 100)
    made = pl.concat_str([as_text(term) for term in terms], separator=sign, ignore_nulls=True)
    return result("CONCAT_WS", made, TEXT, *terms)


def as_text(term: Term) -> pl.Expr:
    """A value as text; raises DataError for a list."""
    if term.kind == LIST:
        raise DataError(f"{term.told}, which cannot be text")
    return term.expression.cast(pl.String)


def _matching(text: Term, pattern: Term, flags: Term | None = None) -> Term:
    kinds = "REGEXP_LIKE takes its flags as some of 'i', 'm', 's' and 'x'"
    given = "" if flags is None else fixed(kinds, flags, str, lambda each: set(each) <= set("imsx"))
    return matches(text, pattern, given)


def matches(text: Term, pattern: Term, flags: str = "") -> Term:
    """Does a regular expression, which takes linear time, match some of a text?"""
    wanted("what a regular expression is matched with", text, TEXT)
    rule = f"a regular expression is a text in quotes of at most {MAX_PATTERN:,} characters"
    written = fixed(rule, pattern, str, lambda each: len(each) <= MAX_PATTERN)
    made = text.expression.str.contains(f"(?{flags}){written}" if flags else written)
    return result("a regular expression", made, FLAG, text)


def pattern_cost(name: str, pattern: object) -> int:
    """About how many states a pattern is compiled to: what is repeated 50 times costs 50 times."""
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        return 0  # which is refused elsewhere
    if name.endswith("LIKE") and name != "REGEXP_LIKE":
        return len(pattern)
    costs, last = [0], 0  # of the groups that are open, and of the piece that may be repeated
    for piece in _PIECES.finditer(pattern):
        if piece["open"]:
            costs.append(0)
            last = 0
        elif piece["times"] is not None:
            most = max(
                (min(int(each), 10**6) for each in re.findall(r"\d+", piece["times"])), default=1
            )
            costs[-1] += last * (max(most, 1) - 1)
            last *= max(most, 1)
        else:
            if piece["close"]:
                last = costs.pop() if len(costs) > 1 else 0
            else:
                last = _ANY if piece["any"] else 1
            costs[-1] += last
    return sum(costs)


def like(ignore_case: bool, text: Term, pattern: Term, escape: Term | None = None) -> Term:
    """LIKE and ILIKE: % stands for any characters, _ for one."""
    wanted("what LIKE is matched with", text, TEXT)
    rule = f"LIKE takes a pattern in quotes of at most {MAX_PATTERN:,} characters"
    written = fixed(rule, pattern, str, lambda each: len(each) <= MAX_PATTERN)
    sign = ""
    if escape is not None:
        sign = fixed("ESCAPE takes one character", escape, str, lambda each: len(each) == 1)
    flags = "is" if ignore_case else "s"
    made = text.expression.str.contains(f"(?{flags})^{_regex(written, sign)}$")
    return result("LIKE", made, FLAG, text)


def _regex(pattern: str, escape: str) -> str:
    found, at = [], 0
    while at < len(pattern):
        if escape and pattern[at] == escape:
            if at + 1 == len(pattern):
                raise DataError(f"the pattern {pattern!r:.60} ends with its escape sign {escape!r}")
            found.append(_literal(pattern[at + 1]))
            at += 1
        else:
            found.append({"%": ".*", "_": "."}.get(pattern[at]) or _literal(pattern[at]))
        at += 1
    return "".join(found)


def _literal(character: str) -> str:
    return re.escape(character) if character.isascii() else character


def holds(items: Term, value: Term) -> Term:
    """Does a list hold a value?"""
    wanted("ARRAY_CONTAINS", items, LIST)
    if items.inner != value.kind and NOTHING not in (items.inner, value.kind):
        raise DataError(f"{items.said} is a list of {items.inner}, {value.told}")
    listed = items.expression
    if value.kind == TEXT:
        listed = listed.cast(pl.List(pl.String))
    if value.kind == NUMBER:
        listed, value = (
            listed.cast(pl.List(pl.Float64)),
            replace(value, expression=value.expression.cast(pl.Float64)),
        )
    return result("ARRAY_CONTAINS", listed.list.contains(value.expression), FLAG, items, value)


def _length_of_list(items: Term) -> Term:
    wanted("ARRAY_LENGTH", items, LIST)
    made = items.expression.list.len().cast(pl.Int64)
    return result("ARRAY_LENGTH", made, NUMBER, items, whole=True)


def _position(needle: Term, text: Term) -> Term:
    return _found_at(text, needle)


def _found_at(text: Term, needle: Term) -> Term:
    wanted("POSITION", text, TEXT)
    sought = fixed("POSITION takes what it looks for as a text in quotes", needle, str)
    at = text.expression.str.find(sought, literal=True)  # in bytes, null where it is not there
    before = text.expression.cast(pl.Binary).bin.slice(0, at).cast(pl.String).str.len_chars()
    found = pl.when(at.is_not_null()).then(before.cast(pl.Int64) + 1).otherwise(0)
    made = pl.when(text.expression.is_not_null()).then(found)
    return result("POSITION", made, NUMBER, text, whole=True, times=4)


def subscripted(items: Term, place: Term) -> Term:
    wanted("what has a subscript", items, LIST)
    rule = "a subscript is a whole number: 1 is the first, -1 the last"
    number = fixed(rule, place, int, lambda each: -_FAR < each < _FAR)
    index = number - 1 if number > 0 else number
    if number == 0:
        return constant_term(None)
    made = items.expression.list.get(index, null_on_oob=True)
    if items.inner == NUMBER:
        return result("a subscript", made.cast(pl.Float64), NUMBER, items)
    return result("a subscript", made.cast(pl.String), TEXT, _of_texts_only(items))


def _of_texts_only(items: Term) -> Term:
    """The list, if it holds texts; else raises DataError."""
    if items.inner not in (TEXT, NOTHING):
        raise DataError(f"only numbers and texts of a list have a subscript; {items.told}")
    return items


_ONE: Mapping[str, tuple[Callable[[pl.Expr], pl.Expr], str]] = {
    "LOWER": (lambda x: x.str.to_lowercase(), TEXT),
    "UPPER": (lambda x: x.str.to_uppercase(), TEXT),
    "INITCAP": (lambda x: x.str.to_titlecase(), TEXT),
    "REVERSE": (lambda x: x.str.reverse(), TEXT),
    "LENGTH": (lambda x: x.str.len_chars().cast(pl.Int64), NUMBER),
    "CHAR_LENGTH": (lambda x: x.str.len_chars().cast(pl.Int64), NUMBER),
    "CHARACTER_LENGTH": (lambda x: x.str.len_chars().cast(pl.Int64), NUMBER),
    "OCTET_LENGTH": (lambda x: x.str.len_bytes().cast(pl.Int64), NUMBER),
}

_TWO: Mapping[str, tuple[Callable[[pl.Expr, pl.Expr], pl.Expr], str, int]] = {
    "STARTS_WITH": (lambda x, y: x.str.starts_with(y), FLAG, 2),
    "ENDS_WITH": (lambda x, y: x.str.ends_with(y), FLAG, 2),
    "CONTAINS": (lambda x, y: x.str.contains(y, literal=True), FLAG, 2),
    "TRIM": (lambda x, y: x.str.strip_chars(y), TEXT, 1),
    "BTRIM": (lambda x, y: x.str.strip_chars(y), TEXT, 1),
    "LTRIM": (lambda x, y: x.str.strip_chars_start(y), TEXT, 1),
    "RTRIM": (lambda x, y: x.str.strip_chars_end(y), TEXT, 1),
}

TEXT_FUNCTIONS: Mapping[str, Function] = {
    **{name: _textual(name, *how) for name, how in _ONE.items()},
    **{name: _of_texts(name, *how) for name, how in _TWO.items()},
    "SUBSTR": Function(_substring, 2, 3),
    "LEFT": Function(partial(_end, "LEFT", lambda x, n: x.str.head(n)), 2, 2),
    "RIGHT": Function(partial(_end, "RIGHT", lambda x, n: x.str.tail(n)), 2, 2),
    "REPLACE": Function(_replaced, 3, 3),
    "CONCAT": Function(partial(_joined, "CONCAT"), 1, 50),
    "CONCAT_WS": Function(_joined_by, 2, 50),
    "REGEXP_LIKE": Function(_matching, 2, 3),
    "STRPOS": Function(_found_at, 2, 2),
    "POSITION": Function(_position, 2, 2),
    "ARRAY_CONTAINS": Function(holds, 2, 2),
    "ARRAY_LENGTH": Function(_length_of_list, 1, 1),
}
