"""What commands print: words, tables and bars for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeElapsedColumn as ElapsedColumn
from rich.table import Table
from rich.text import Text

from recsys.features.errors import SettingsError

if TYPE_CHECKING:  # the command line answers --help without loading polars
    import polars as pl

    from recsys.doctor import Check

STDOUT = "-"
"""As the file for JSON: standard output; people's words then go to standard error."""

_WIDTH = 120  # of lines that no terminal limits


@dataclass(frozen=True)
class Output:
    """Where the words of a command go.

    Raises SettingsError where the JSON file cannot be written, before any work is done for it.
    """

    json: str | None = None  # a file, "-" for standard output, None for no JSON

    def __post_init__(self) -> None:
        if self.json in (None, STDOUT):
            return
        path = Path(str(self.json))
        if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
            raise SettingsError(f"--json {path}: no file can be written there")

    @cached_property
    def console(self) -> Console:
        """For people. Titles are printed as they are: nothing in them is taken for markup."""
        return _console(stderr=self.json == STDOUT)

    def say(self, *lines: str) -> None:
        """Print lines of words."""
        for line in lines:
            self.console.print(line, soft_wrap=True)

    def show(self, *tables: Table) -> None:
        """Print tables, an empty line before each."""
        for table in tables:
            self.console.print()
            self.console.print(table)

    @contextmanager
    def progress(self) -> Iterator[Bars]:
        """Bars on standard error while the work lasts; nothing where it is not a terminal."""
        console = _console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            ElapsedColumn(),
        )
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bars:
            yield Bars(bars)

    def write(self, value: Mapping[str, Any]) -> None:
        """Write `value` as JSON where it was asked for."""
        if self.json is None:
            return
        text = json.dumps(value, indent=1, allow_nan=False, default=str) + "\n"
        if self.json == STDOUT:
            sys.stdout.write(text)
        else:
            _write_whole(Path(self.json), text)


class Bars:
    """A bar for each step of the work, called with the step's name and the share that is done."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: str, share: float) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=1.0)
        self._bars.update(self._tasks[step], completed=share)


def systems_table(systems: Mapping[str, Mapping[str, float]], k: int) -> Table:
    """A row per system of an evaluation: its metrics at k, and its cost."""
    table = _table("system", right=(f"Recall@{k}", f"NDCG@{k}", f"HR@{k}", "coverage"))
    table.add_column("seconds", justify="right")
    table.add_column("users/s", justify="right")
    metrics = (f"recall@{k}", f"ndcg@{k}", f"hr@{k}", f"coverage@{k}")
    for place, (name, scores) in enumerate(systems.items()):
        table.add_row(
            name,
            *(f"{scores[metric]:.4f}" for metric in metrics),
            f"{scores['seconds']:.2f}",
            f"{scores['users_per_second']:,.0f}",
            style="bold" if place == 0 else None,
        )
    return table


def protocol_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """How an evaluation was made, what it left out, and what it cost; of `Evaluation.as_dict`."""
    about = result["protocol"]
    cut = (
        f", cutoff {about['cutoff']}, last event {about['last_event']}" if "cutoff" in about else ""
    )
    yield f"protocol {about['name']}{cut}; k = {about['k']}"
    yield (
        f"scored: {about['users']:,} users, {about['positives']:,} positives; left out: "
        f"{about['users_without_past']:,} users without a past, "
        f"{about['positives_not_allowed']:,} positives that may not be offered and with them "
        f"{about['users_without_allowed_positives']:,} users"
    )
    yield (
        f"fit {result['fit_seconds']:.1f} s, peak memory {result['peak_memory_bytes'] / 1e9:.2f} GB"
    )


def verdict(result: Mapping[str, Any]) -> str:
    """The two-stage list beside the best single source, in one sentence; higher or not."""
    metric = f"ndcg@{result['protocol']['k']}"
    scores = {name: scores[metric] for name, scores in result["systems"].items()}
    ours = scores.pop("two-stage")
    if ours == scores["fused"]:
        return "the two-stage list is the fused one: there was no ranker, see below"
    best = max((name for name in scores if name != "fused"), key=scores.__getitem__)
    word = "beats" if ours > scores[best] else "does not beat"
    return (
        f"the two-stage list {word} every single source: NDCG {ours:.4f}, "
        f"the best source, {best}, {scores[best]:.4f}"
    )


def list_tables(lists: pl.DataFrame) -> Iterator[Table]:
    """A table per user of the lists of `Engine.recommend` with a column `title`."""
    for (user,), rows in lists.group_by("user_id", maintain_order=True):
        note = rows["note"][0]
        table = _table("rank", "item", "title", "score", "sources", "reason")
        table.title = Text(f"{user}" + (f": {note}" if note else ""), style="bold")
        for row in rows.drop_nulls("item_id").iter_rows(named=True):
            table.add_row(
                str(row["rank"]),
                str(row["item_id"]),
                row["title"],
                f"{row['score']:.3f}",
                ", ".join(row["sources"]),
                row["reason"],
            )
        yield table


def checks_table(checks: Sequence[Check]) -> Table:
    """A row per thing that was looked at; what is wrong is red, what is worth a note yellow."""
    table = _table("", "what", "found", "how to mend it")
    styles = {"wrong": "red", "note": "yellow"}
    for check in checks:
        mark = "" if check.state == "ok" else check.state
        table.add_row(mark, check.name, check.found, check.mend, style=styles.get(check.state))
    return table


def table_of(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A frame as it is, numbers to the right; nulls are left empty."""
    table = Table(title=None if title is None else Text(title, style="bold"), title_justify="left")
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _table(*left: str, right: Sequence[str] = ()) -> Table:
    table = Table(title_justify="left")
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH
    return console


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is either whole or not there."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf8") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
