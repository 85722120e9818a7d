"""Tables of a report, rows of which may be drawn, and how numbers are written in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from recsys.reporting.findings import percent

ABSENT = "–"


@dataclass(frozen=True)
class Cell:
    """A cell of a table; `heat` from 0 to 1 is the strength of its colour."""

    text: str
    heat: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table, with what is drawn in it."""

    label: str
    cells: tuple[Cell, ...]
    kind: str = "other"  # a class of the style sheet
    plot: Markup | None = None


@dataclass(frozen=True)
class Table:
    """A table; `axis` is the scale below the plots of its rows."""

    caption: str
    heads: tuple[str, ...]  # the first one is that of the labels
    rows: tuple[Row, ...]
    axis: Markup | None = None

    @property
    def drawn(self) -> bool:
        """Whether its rows have plots."""
        return any(row.plot is not None for row in self.rows)


@dataclass(frozen=True)
class Figure:
    """A plot with two axes, what is told of it, and its numbers."""

    plot: Markup
    x: str
    y: str
    table: Table


def table_of(
    caption: str, heads: tuple[str, ...], rows: Sequence[Row], axis: Markup | None = None
) -> Table | None:
    """A table, or None where there are no rows."""
    return Table(caption, heads, tuple(rows), axis) if rows else None


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many digits, or a dash."""
    return ABSENT if value is None else f"{value:,.{digits}f}"


def count(value: int | None) -> str:
    """A whole number, or a dash."""
    return ABSENT if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """A share in percent, or a dash."""
    return ABSENT if value is None else percent(value)


def kind_of(main: bool) -> str:
    """How rows and marks look: those that the page is about, or the others."""
    return "main" if main else "other"
