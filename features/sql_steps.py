"""The steps of a condition that has been read, in postfix order, and how many there may be."""

from dataclasses import dataclass
from typing import Any

from recsys.features.errors import DataError

MAX_DEPTH = 600
"""Steps of which each takes the value of the one before it, such as a chain of additions."""
MAX_STEPS = 5_000
"""Columns, constants, operators and functions; the constants of a list of IN count as one."""
_CLOCKS = ("NOW", "CURRENT_DATE", "CURRENT_TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Step:
    """A column, a constant, an operator or a function, and how many values it takes."""

    name: str
    takes: int = 0
    value: Any = None  # of a column its name, of a constant itself, of IN its list, of CAST a type


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that has been read; nothing in it is unknown but the columns."""

    steps: tuple[Step, ...]  # in postfix order
    columns: tuple[str, ...]  # that it names, each once

    @property
    def asks_the_time(self) -> bool:
        """Does it mean another thing at another time?"""
        return any(step.name in _CLOCKS for step in self.steps)


class Steps:
    """Steps while a condition is read; refuses what grows too long or too deep."""

    def __init__(self) -> None:
        self.all: list[Step] = []
        self._depths: list[int] = []  # of the values that steps have left

    def emit(self, name: str, takes: int = 0, value: Any = None) -> None:
        """Add a step, unless there are too many or it stands on too many others."""
        below = max(self._depths[len(self._depths) - takes :], default=0) if takes else 0
        depth = below + (takes - 1 if name == "CASE" else 1)  # each WHEN stands in the one before
        if takes:
            del self._depths[len(self._depths) - takes :]
        self._depths.append(depth)
        self.all.append(Step(name, takes, value))
        if depth > MAX_DEPTH:
            raise DataError(f"it is a chain of more than {MAX_DEPTH} operators")
        if len(self.all) > MAX_STEPS:
            raise DataError(f"it has more than {MAX_STEPS:,} columns, constants and operators")

    def take_back(self, begin: int) -> list[Step]:
        """The steps from `begin` on, which left one value; they are no longer among all."""
        taken = self.all[begin:]
        del self.all[begin:]
        self._depths.pop()
        return taken

    def condition(self) -> Condition:
        """All steps as a condition."""
        named = dict.fromkeys(step.value for step in self.all if step.name == "column")
        return Condition(tuple(self.all), tuple(named))
