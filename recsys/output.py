"""Where a command says what it found: JSON for programs first, then words for people."""

import errno
import json
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.bars import Bars, Lines, shown
from recsys.exits import Exit
from recsys.features.errors import OutputError
from recsys.features.outputs import check_file, place_of, write_whole
from recsys.visible import visible, visible_lines

STDOUT = "-"
"""As the file for JSON: standard output; people's words then go to standard error."""

_WIDTH = 120  # of lines that no terminal limits


@dataclass(frozen=True)
class Output:
    """Where the words of a command go.

    Raises OutputError where the JSON file cannot be written, before any work is done for it.
    """

    json: str | None = None  # a file, "-" for standard output, None for no JSON

    def __post_init__(self) -> None:
        if self.json is not None and self.json != STDOUT:
            check_file(self.json, "--json")

    @property
    def is_json(self) -> bool:
        """Whether standard output is for JSON, under whatever name it was given."""
        if self.json is None:
            return False
        return self.json == STDOUT or _number(self.json) == 1

    @property
    def file(self) -> str | None:
        """The path for JSON, None where it has none of its own."""
        return None if self.json is None or self.is_json else self.json

    @cached_property
    def console(self) -> Console:
        """For people. Titles are printed as they are: nothing in them is taken for markup."""
        return console(stderr=self.is_json)

    def say(self, *lines: str) -> None:
        """Print lines of words."""
        for line in lines:
            self.console.print(line, soft_wrap=True)

    def tell(self, *sentences: str) -> None:
        """Print sentences, each broken between words where a line is full."""
        for sentence in sentences:
            self.console.print(sentence)

    def show(self, *tables: Table) -> None:
        """Print tables, an empty line before each."""
        for table in tables:
            self.console.print()
            self.console.print(table)

    def warn(self, *lines: str) -> None:
        """Print lines on standard error."""
        for line in lines:
            console(stderr=True).print(line, soft_wrap=True)

    def progress(self) -> AbstractContextManager[Bars | Lines]:
        """Bars on standard error while the work lasts; now and then a line, if it is a file."""
        return shown(console(stderr=True))

    def write(self, value: Mapping[str, Any]) -> None:
        """Write `value` as JSON where it was asked for; words follow, so that none can lose it."""
        if self.json is None:
            return
        text = json.dumps(value, indent=1, allow_nan=False, default=str) + "\n"
        if self.is_json:
            _to_stdout(text)
        else:
            write_whole(self.json, text)


class _Console(Console):
    """A console that shows control characters, and goes on in silence when nobody reads it."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(visible_lines(text), **how)

    def on_broken_pipe(self) -> None:
        """Stop printing: the work is not undone because its reader left."""
        self.quiet = True
        silence(sys.stderr if self.stderr else sys.stdout)


def console(stderr: bool) -> Console:
    """A console on standard output or error, as wide as the terminal or as a line of a file."""
    made = _Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH
    return made


def ready_streams() -> None:
    """Make standard streams take any text, and keep files off the numbers of closed ones."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number, which is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError):  # its file was exchanged for a pipe, which has no place
                stream.reconfigure(errors="replace")


def silence(stream: IO[str] | None) -> None:
    """Send what a stream still holds nowhere, so that Python does not fail on it at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def told_on_stderr(*parts: str) -> None:
    """One line of what went wrong; nothing where there is nobody to tell."""
    line = visible(" ".join("; ".join(parts).split("\n")))
    with suppress(OSError, ValueError):
        print(f"recsys: {line}", file=sys.stderr, flush=True)


def flush() -> None:
    """Write what standard streams hold; raises OutputError, once, where one cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            silence(stream)
        except (OSError, ValueError) as error:
            silence(stream)
            raise OutputError(f"standard output cannot be written: {error}") from None


def _number(path: str) -> int | None:
    """Of the open file that a path such as /dev/stdout leads to."""
    with suppress(OSError, ValueError):
        place = place_of(Path(path))
        return place if isinstance(place, int) else None
    return None


def _to_stdout(text: str) -> None:
    if sys.stdout is None:
        raise OutputError("standard output is closed; the JSON cannot be written to it")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        if error.errno == errno.EPIPE:
            sys.exit(Exit.PIPE)
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
