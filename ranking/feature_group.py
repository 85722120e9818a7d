"""Some features that are written together, with the family of each."""

from collections.abc import Callable, Mapping, Sequence

from recsys.features.arrays import Array

Group = tuple[Mapping[str, str], Callable[[Array], None]]
"""The family of each feature by its name, and what writes them into their columns (b, w, n)."""


def group(family: str, names: Sequence[str], write: Callable[[Array], None]) -> Group:
    """Features of one family."""
    return dict.fromkeys(names, family), write
