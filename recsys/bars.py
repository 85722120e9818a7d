"""How far the work is: bars on a terminal, and a line now and then in a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeElapsedColumn as ElapsedColumn

SECONDS = 10.0
"""That lines are apart: what is done sooner leaves none."""


@contextmanager
def shown(console: Console) -> Iterator["Bars | Lines"]:
    """Something to tell of each step while the work lasts, by its name and the share that is done.

    Bars are gone at the end; lines stay.
    """
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, soft_wrap=True))
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        ElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield Bars(bars)


class Bars:
    """A bar for each step of the work."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: str, share: float) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=1.0)
        self._bars.update(self._tasks[step], completed=share)


class Lines:
    """A line of the step that the work is at, `SECONDS` after the one before it or the start."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._last = clock()

    def __call__(self, step: str, share: float) -> None:
        now = self._clock()
        if now - self._last >= SECONDS:
            self._last = now
            self._write(f"{step}: {share:.0%}")
