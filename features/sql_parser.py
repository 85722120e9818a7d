"""Conditions in SQL as checked steps: columns, constants, operators and functions of a list.

A condition comes from anywhere - a request, a file of settings, a saved engine - so it is read by a
grammar that knows nothing else: no sub-query, no table, no function that `sql_functions` does not
name. What is long, deep or wide is refused before anything is made of it.

The tree is in postfix order: each step takes the values of the steps before it. So nothing that
walks over it needs recursion, however deep it is.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from recsys.features.errors import DataError
from recsys.features.settings import nearest
from recsys.features.sql_constants import interval_of, number_of, temporal_of
from recsys.features.sql_functions import FUNCTIONS
from recsys.features.sql_steps import Condition, Steps
from recsys.features.sql_tokens import Token, TokenReader, tokens_of
from recsys.features.sql_types import TYPES

MAX_NESTED = 100
"""Parentheses, functions, CASE, NOT and signs that may stand in each other."""
MAX_ARRAY = 1_000
"""Constants of an ARRAY, each of which is compared with each row."""
MAX_KEPT = 4_000
"""Characters of a condition that is kept when it has been read."""

_COMPARED = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">"}
_COMPARED |= {">=": ">=", "<=>": "IS NOT DISTINCT FROM", "^@": "STARTS_WITH"}
_LIKE = {"LIKE": "LIKE", "ILIKE": "ILIKE", "RLIKE": "REGEXP", "REGEXP": "REGEXP"}
_LIKE |= {"~~": "LIKE", "~~*": "ILIKE", "~": "REGEXP", "~*": "IREGEXP"}
_NOT_LIKE = {"!~~": "LIKE", "!~~*": "ILIKE", "!~": "REGEXP", "!~*": "IREGEXP"}

# How tightly operators bind: of OR the least.
_OR, _XOR, _AND, _NOT, _IS, _COMPARISON, _BIT_OR, _BIT_AND, _SUM, _PRODUCT, _SIGN, _TIGHT = range(
    12
)
_CHAINS = {"OR": _OR, "AND": _AND}
_BINARY = {"XOR": _XOR, "|": _BIT_OR, "&": _BIT_AND, "+": _SUM, "-": _SUM, "||": _SUM}
_BINARY |= {"*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT}

_RESERVED = re.compile(
    "ALL|AND|ANY|AS|ASC|BETWEEN|BY|CASE|CROSS|DELETE|DESC|DISTINCT|DROP|ELSE|END|EXCEPT|EXISTS|FOR"
    "|FROM|GROUP|HAVING|ILIKE|IN|INSERT|INTERSECT|INTO|IS|JOIN|LIKE|LIMIT|NOT|ON|OR|ORDER|OVER"
    "|REGEXP|RLIKE|SELECT|SOME|THEN|UNION|UPDATE|USING|VALUES|WHEN|WHERE|WITH|XOR"
)
"""Words that are columns only in quotes."""


def parse_condition(text: str) -> Condition:
    """The steps of a condition in SQL; raises DataError that says what of it is not allowed."""
    return _kept(text) if len(text) <= MAX_KEPT else _parsed(text)


def _parsed(text: str) -> Condition:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"character {error.start + 1} is half of a surrogate pair") from None
    parser = _Parser(tokens_of(text))
    parser.whole()
    return parser.steps.condition()


_kept = lru_cache(maxsize=512)(_parsed)


class _Parser(TokenReader):
    """A parser by precedence (Pratt 1973); it recurses only into what is nested."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.nested = 0
        self.steps = Steps()
        self.emit = self.steps.emit

    def whole(self) -> None:
        self.expression(_OR)
        if self.next.kind != "end":
            raise self.unexpected("the end, AND or OR")

    def expression(self, least: int) -> None:
        """An operand, and all operators behind it that bind at least so tightly."""
        self.nested += 1
        if self.nested > MAX_NESTED:
            raise DataError(f"it is nested deeper than {MAX_NESTED} levels")
        self.operand()
        while self.operator(least):
            pass
        self.nested -= 1

    def operator(self, least: int) -> bool:
        """One operator behind a value; False where there is none that binds so tightly."""
        sign = self.next.upper
        if sign in _CHAINS and _CHAINS[sign] >= least:
            values = 1
            while self.takes(sign):
                self.expression(_CHAINS[sign] + 1)
                values += 1
            self.emit(sign, values)
        elif sign in _BINARY and _BINARY[sign] >= least:
            self.at += 1
            self.expression(_BINARY[sign] + 1)
            self.emit(sign, 2)
        elif sign == "IS" and least <= _IS:
            self.at += 1
            self.state()
        elif sign in ("::", "["):
            self.at += 1
            self.cast(safe=False) if sign == "::" else self.subscript()
        elif least <= _COMPARISON:
            return self.comparison(sign)
        else:
            return False
        return True

    def state(self) -> None:
        """What stands behind IS."""
        negated = self.takes("NOT")
        if self.takes("DISTINCT", "FROM"):
            self.expression(_BIT_OR)
            self.emit("IS NOT DISTINCT FROM" if negated else "IS DISTINCT FROM", 2)
            return
        for word, name in (("NULL", "IS NULL"), ("UNKNOWN", "IS NULL")):
            if self.takes(word):
                self.emit(name, 1)
                break
        else:
            if self.next.upper not in ("TRUE", "FALSE"):
                raise self.unexpected("NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM")
            self.emit(f"IS {self.next.upper}", 1)
            self.at += 1
        if negated:
            self.emit("NOT", 1)

    def comparison(self, sign: str) -> bool:
        negated = sign == "NOT"
        if negated:
            sign = self.tokens[self.at + 1].upper if self.next.kind != "end" else ""
            if sign not in ("IN", "BETWEEN", *_LIKE):
                return False
            self.at += 1
        if sign in _COMPARED:
            self.at += 1
            self.compared(_COMPARED[sign])
        elif sign in _LIKE or sign in _NOT_LIKE:
            self.at += 1
            negated |= sign in _NOT_LIKE
            self.expression(_BIT_OR)
            name = _LIKE.get(sign) or _NOT_LIKE[sign]
            if self.takes("ESCAPE"):
                self.operand()
                self.emit(name, 3)
            else:
                self.emit(name, 2)
        elif self.takes("BETWEEN"):
            self.expression(_BIT_OR)
            self.needs("AND")
            self.expression(_BIT_OR)
            self.emit("BETWEEN", 3)
        elif self.takes("IN"):
            self.among()
        else:
            return False
        if negated:
            self.emit("NOT", 1)
        return True

    def compared(self, name: str) -> None:
        """The right side of a comparison, which may be any of a list."""
        if self.next.upper in ("ANY", "SOME", "ALL") and self.tokens[self.at + 1].upper == "(":
            if name != "=" or self.next.upper == "ALL":
                raise DataError(f"{self.next.text!r} is only read behind =, as = ANY(tags)")
            self.at += 2
            self.expression(_OR)
            self.needs(")")
            self.emit("= ANY", 2)
            return
        self.expression(_BIT_OR)
        self.emit(name, 2)

    def among(self) -> None:
        """The list of IN: of constants, or of anything."""
        self.needs("(")
        begin, values = self.at, []
        while (value := self.constant()) is not None:
            values.append(value[0])
            if self.takes(")"):
                self.emit("IN", 1, tuple(values))
                return
            if not self.takes(","):
                break
        self.at = begin
        self.emit("IN OF", 1 + self.listed(")"))

    def constant(self) -> tuple[Any] | None:
        """A number, text, TRUE, FALSE or NULL, signed or not, if it is next."""
        token = self.next
        self.at += 1
        if token.kind == "text":
            return (token.text,)
        if token.kind == "number":
            return (number_of(token.text),)
        if token.upper in _WORDS:
            return (_WORDS[token.upper],)
        if token.upper in ("-", "+") and self.next.kind == "number":
            self.at += 1
            value = number_of(self.tokens[self.at - 1].text)
            return (-value if token.upper == "-" else value,)
        self.at -= 1
        return None

    def operand(self) -> None:
        token = self.next
        if token.upper == "ARRAY" and self.tokens[self.at + 1].upper == "[":
            self.at += 1
            self.array()
        elif token.upper in _PREFIXED:
            self.at += 1
            _PREFIXED[token.upper](self)
        elif token.kind in ("text", "number") or token.upper in _WORDS:
            self.emit("constant", value=self.constant_value())
        elif token.kind == "word" and _RESERVED.fullmatch(token.upper):
            raise self.unexpected("a column, a value or a function")
        elif token.kind == "word" and self.tokens[self.at + 1].upper == "(":
            self.at += 2
            self.call(token.upper)
        elif token.upper in _TYPED and self.tokens[self.at + 1].kind == "text":
            self.at += 2
            written = self.tokens[self.at - 1].text
            self.emit("constant", value=_TYPED[token.upper](token.upper, written))
        elif token.kind in ("word", "name"):
            self.column()
        else:
            raise self.unexpected("a column, a value or a function")

    def constant_value(self) -> Any:
        found = self.constant()
        return None if found is None else found[0]

    def column(self) -> None:
        token = self.next
        self.at += 1
        if self.next.upper == ".":
            raise DataError(
                f"{token.text!r} is refused: a condition names columns without the name of a table"
            )
        if token.upper in _NOW:
            self.emit(token.upper)
        else:
            self.emit("column", value=token.text)

    def parenthesised(self) -> None:
        self.expression(_OR)
        self.needs(")")

    def negated(self) -> None:
        self.expression(_NOT)
        self.emit("NOT", 1)

    def minus(self) -> None:
        if self.next.kind == "number":
            self.emit("constant", value=-self.constant_value())
        else:
            self.expression(_SIGN)
            self.emit("NEGATIVE", 1)

    def plus(self) -> None:
        self.expression(_SIGN)
        self.emit("POSITIVE", 1)

    def case(self) -> None:
        """CASE WHEN a THEN b ... ELSE c END; with an operand it is compared at each WHEN."""
        begin, subject = len(self.steps.all), []
        if self.next.upper != "WHEN":
            self.expression(_OR)
            subject = self.steps.take_back(begin)
        values = 0
        while self.takes("WHEN"):
            for step in subject:  # again at each WHEN: their number is bounded
                self.emit(step.name, step.takes, step.value)
            self.expression(_OR)
            if subject:
                self.emit("=", 2)
            self.needs("THEN")
            self.expression(_OR)
            values += 2
        if not values:
            raise self.unexpected("'WHEN'")
        if self.takes("ELSE"):
            self.expression(_OR)
        else:
            self.emit("constant", value=None)
        self.needs("END")
        self.emit("CASE", values + 1)

    def array(self) -> None:
        self.needs("[")
        values = []
        while not self.takes("]"):
            value = self.constant()
            if value is None:
                raise self.unexpected("a constant of the array")
            values.append(value[0])
            if len(values) > MAX_ARRAY:
                raise DataError(f"an ARRAY has at most {MAX_ARRAY:,} constants; IN takes more")
            if self.next.upper != "]":
                self.needs(",")
        self.emit("constant", value=tuple(values))

    def interval(self) -> None:
        if self.next.kind != "text":
            raise self.unexpected("a length of time in quotes, such as '30 days'")
        written = self.next.text
        self.at += 1
        if self.next.kind == "word" and written.strip().lstrip("+-").isdigit():
            written += f" {self.next.text}"
            self.at += 1
        self.emit("constant", value=interval_of(written))

    def cast(self, safe: bool) -> None:
        """The type behind :: or AS."""
        token = self.next
        self.at += 1
        kind = TYPES.get(token.upper)
        if kind is None:
            raise DataError(
                f"the type {token.text!r} is refused; {nearest(token.upper, sorted(TYPES))}"
            )
        if token.upper == "DOUBLE":
            self.takes("PRECISION")
        if self.takes("("):  # of DECIMAL(10, 2) and VARCHAR(20) the digits say nothing
            while self.next.kind == "number":
                self.at += 1
                self.takes(",")
            self.needs(")")
        self.emit("TRY_CAST" if safe else "CAST", 1, kind)

    def subscript(self) -> None:
        self.expression(_OR)
        self.needs("]")
        self.emit("SUBSCRIPT", 2)

    def listed(self, close: str) -> int:
        """How many expressions stand up to the closing sign."""
        if self.takes(close):
            return 0
        count = 1
        self.expression(_OR)
        while self.takes(","):
            self.expression(_OR)
            count += 1
        self.needs(close)
        return count

    def call(self, name: str) -> None:
        """A function behind its parenthesis."""
        if name in _SPELLED:
            _SPELLED[name](self)
            return
        function = FUNCTIONS.get(name)
        if function is None:
            raise DataError(
                f"the function {name} is refused, as it is not on the list of allowed functions; "
                f"{nearest(name, sorted([*FUNCTIONS, *_SPELLED]))}"
            )
        count = self.listed(")")
        if not function.least <= count <= function.most:
            raise DataError(f"{name} takes {function.said}; got {count}")
        self.emit(name, count)

    def cast_call(self, safe: bool) -> None:
        self.expression(_OR)
        self.needs("AS")
        self.cast(safe)
        self.needs(")")

    def extract(self) -> None:
        part = self.next
        self.at += 1
        self.emit("constant", value=part.text.lower())
        self.needs("FROM")
        self.expression(_OR)
        self.needs(")")
        self.emit("DATE_PART", 2)

    def position(self) -> None:
        self.expression(_BIT_OR)  # IN is no operator here
        self.needs("IN")
        self.expression(_OR)
        self.needs(")")
        self.emit("POSITION", 2)

    def substring(self) -> None:
        self.expression(_OR)
        count = 1
        for word in ("FROM", "FOR"):
            if self.takes(word) or self.takes(","):
                self.expression(_OR)
                count += 1
        self.needs(")")
        if count == 1:
            raise DataError("SUBSTR takes a text, where it begins, and perhaps a length; got 1")
        self.emit("SUBSTR", count)

    def trim(self) -> None:
        """TRIM([BOTH | LEADING | TRAILING] ['x' FROM] text), or TRIM(text, 'x')."""
        sides = {"BOTH": "TRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}
        name = sides.get(self.next.upper, "TRIM")
        self.at += self.next.upper in sides
        if self.takes("FROM"):
            self.expression(_OR)
            count = 1
        else:
            count = 1
            characters = self.next
            self.expression(_OR)
            if self.takes("FROM"):
                if characters.kind != "text":
                    raise DataError(f"{name} takes what to cut off as a text in quotes")
                self.steps.take_back(len(self.steps.all) - 1)
                self.expression(_OR)
                self.emit("constant", value=characters.text)
                count = 2
            elif self.takes(","):
                self.expression(_OR)
                count = 2
        self.needs(")")
        self.emit(name, count)


_WORDS = {"TRUE": True, "FALSE": False, "NULL": None}
_NOW = ("CURRENT_DATE", "CURRENT_TIMESTAMP")
_TYPED: dict[str, Callable[[str, str], Any]] = dict.fromkeys(
    ("DATE", "TIMESTAMP", "DATETIME", "TIME"), temporal_of
)
_PREFIXED: dict[str, Callable[[_Parser], None]] = {
    "(": _Parser.parenthesised,
    "NOT": _Parser.negated,
    "-": _Parser.minus,
    "+": _Parser.plus,
    "CASE": _Parser.case,
    "INTERVAL": _Parser.interval,
}
_SPELLED: dict[str, Callable[[_Parser], None]] = {
    "CAST": lambda parser: parser.cast_call(safe=False),
    "TRY_CAST": lambda parser: parser.cast_call(safe=True),
    "EXTRACT": _Parser.extract,
    "POSITION": _Parser.position,
    "SUBSTR": _Parser.substring,
    "SUBSTRING": _Parser.substring,
    "TRIM": _Parser.trim,
}
