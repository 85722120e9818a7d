"""Texts of others with their control characters shown, so that no terminal obeys them."""

import re

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0, DEL, C1, separators of lines, what turns the direction of writing, and half characters."""

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str) -> str:
    """The text with each of them as Python writes it: ESC is \\x1b."""
    return _HIDDEN.sub(lambda found: _escaped(found[0]), text)


def visible_lines(text: str) -> str:
    """The same for text that may have several lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _escaped(character: str) -> str:
    number = ord(character)
    return _NAMED.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
