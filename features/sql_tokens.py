"""The words of a condition in SQL, found without looking at what they say together."""

import re
from typing import NamedTuple

from recsys.features.errors import DataError

MAX_LENGTH = 1_000_000
"""Characters that a condition may have; most of a long one is a list of ids."""


class Token(NamedTuple):
    """One word and where it stands."""

    kind: str  # "word", "name", "text", "number", "sign" or "end"
    text: str  # as it was written; of a name or a text what stands between its quotes
    place: int  # of its first character, from 0

    @property
    def upper(self) -> str:
        """Of a word what it is in capitals, and of a sign itself; "" of all else."""
        return self.text.upper() if self.kind in ("word", "sign") else ""


_TABLES = frozenset({"SELECT", "EXISTS", "VALUES", "WITH", "UNION", "FROM", "JOIN", "EXCEPT"})
_PATTERN = re.compile(
    r"""
      (?P<space>(?:\s+|--[^\n]*)+)
    | (?P<number>(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[^\W\d]\w*)
    | '(?P<text>(?:[^']|'')*)'
    | "(?P<name>(?:[^"]|"")*)"
    | `(?P<tick>[^`]*)`
    | (?P<sign><=>|!~~\*|!~~|~~\*|!~\*|~~|~\*|!~|\^@|\|\||//|::|<=|>=|<>|!=|==
        |[-+*/%=<>(),.\[\]~&|])
    """,
    re.VERBOSE | re.DOTALL,
)


def tokens_of(text: str) -> list[Token]:
    """The words of a condition, and an end; raises DataError where a character is none of SQL."""
    if len(text) > MAX_LENGTH:
        raise DataError(f"it has {len(text):,} characters, and at most {MAX_LENGTH:,} are read")
    tokens, place = [], 0
    while place < len(text):
        if text.startswith("/*", place):
            place = _behind_comment(text, place)
            continue
        found = _PATTERN.match(text, place)
        if found is None:
            raise DataError(_unreadable(text, place))
        kind, written = str(found.lastgroup), found[str(found.lastgroup)]
        if kind in ("text", "name"):
            quote = "'" if kind == "text" else '"'
            written = written.replace(quote * 2, quote)
        if kind != "space":
            tokens.append(Token("name" if kind == "tick" else kind, written, place))
        place = found.end()
    tokens.append(Token("end", "", len(text)))
    return tokens


def _behind_comment(text: str, place: int) -> int:
    end = text.find("*/", place + 2)
    if end < 0:
        raise DataError(f"the comment at character {place + 1} is never closed")
    return end + 2


def _unreadable(text: str, place: int) -> str:
    if text[place] in "'\"`":
        return f"the {text[place]} at character {place + 1} is never closed"
    return f"{text[place]!r} at character {place + 1} is no sign of a condition"


class TokenReader:
    """Words that are read from the first to the last."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def unexpected(self, wanted: str) -> DataError:
        found = self.next
        if found.kind == "end":
            return DataError(f"it ends where {wanted} is expected")
        if found.upper in _TABLES:
            return DataError(
                f"{found.text!r} is refused: a condition reads no table and no sub-query"
            )
        if found.upper == "OVER":
            return DataError("'OVER' is refused: a condition speaks of one row, not of windows")
        return DataError(f"{found.text!r} at character {found.place + 1}; expected {wanted}")

    def takes(self, *words: str) -> bool:
        """Go past these words where they are next."""
        ahead = self.tokens[self.at : self.at + len(words)]
        if [token.upper for token in ahead] != list(words):
            return False
        self.at += len(words)
        return True

    def needs(self, word: str) -> None:
        if not self.takes(word):
            raise self.unexpected(repr(word))
