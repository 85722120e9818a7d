"""What is told of long work where no bar can be drawn."""

import io
from collections.abc import Iterator

from rich.console import Console

from recsys import bars
from recsys.bars import Bars, Lines, shown


def lines_of(moments: list[float], told: list[tuple[str, float]]) -> list[str]:
    """The lines of work that begins at the first moment and tells something at the others."""
    written: list[str] = []
    clock: Iterator[float] = iter(moments)
    lines = Lines(written.append, lambda: next(clock))
    for step, share in told:
        lines(step, share)
    return written


def test_short_work_leaves_no_line() -> None:
    assert lines_of([0, 4, 9], [("embedding texts", 0.5), ("embedding texts", 1)]) == []


def test_long_work_leaves_a_line_now_and_then() -> None:
    told = [("tuning the text model", share) for share in (0.1, 0.2, 0.3)] + [("training", 0.5)]
    assert lines_of([0, 10, 15, 20.5, 31], told) == [
        "tuning the text model: 10%", "tuning the text model: 30%", "training: 50%",
    ]  # fmt: skip


def test_a_terminal_gets_bars_and_a_file_lines() -> None:
    with shown(Console(file=io.StringIO(), force_terminal=True)) as progress:
        assert isinstance(progress, Bars)
        progress("a step", 0.5)
    file = io.StringIO()
    with shown(Console(file=file, force_terminal=False)) as progress:
        assert isinstance(progress, Lines)
        progress._last -= bars.SECONDS
        progress("a step", 0.5)
    assert file.getvalue() == "a step: 50%\n"
