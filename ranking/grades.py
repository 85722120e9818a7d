"""How strong the event was that an item was chosen by: grades from the weakest event on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features.arrays import PAD, Array

Graded = NDArray[np.uint8]
"""0 where nothing was chosen, 1 for the weakest event, 2 for the next stronger one, ..."""

TIED = "_or_"
"""Between the names of events of one weight, which are one grade."""


@dataclass(frozen=True)
class Grades:
    """The events of a log by their strength; events of one weight are one grade."""

    names: tuple[str, ...]  # (h,) of the grades from 1 on, such as ("view", "cart", "purchase")
    of_event: Graded  # (events,)

    @classmethod
    def of(cls, events: Sequence[str], weights: Sequence[float]) -> "Grades":
        """Of events (n,) and what each is worth (n,)."""
        worths, grades = np.unique(weights, return_inverse=True)
        names = [
            TIED.join(name for name, own in zip(events, grades, strict=True) if own == grade)
            for grade in range(len(worths))
        ]
        return cls(tuple(names), (grades + 1).astype(np.uint8))

    def graded(self, codes: Array) -> Graded:
        """The grades of events by their code, 0 for PAD."""
        return np.where(codes == PAD, np.uint8(0), self.of_event[codes])


def reached(grades: Graded, names: int) -> NDArray[np.bool_]:
    """(..., names) whether each grade was reached: by its event or by a stronger one."""
    at_least: NDArray[np.bool_] = grades[..., None] > np.arange(names)
    return at_least
