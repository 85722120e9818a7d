"""Ids that look like the word for a missing one, such as "NULL": told, and read as they stand."""

from collections.abc import Iterator

import polars as pl

from recsys.features.arrays import Array
from recsys.features.columns import Table
from recsys.features.vocabulary import Vocabulary

_WORDS = (
    "null", "(null)", "none", "nil", "nan", "nat", "na", "n/a", "#n/a", "<na>", "undefined", "\\n",
)  # fmt: skip
_NAMED = 5  # how many such ids a note names


def missing_notes(ids: Vocabulary, counts: Array, what: str, table: Table) -> Iterator[str]:
    """A note on ids that look missing; `counts` (n,) says how many rows each has."""
    if ids.ids.dtype != pl.String:
        return
    looks = ids.ids.str.strip_chars().str.to_lowercase().is_in(_WORDS).to_numpy() & (counts > 0)
    if not looks.any():
        return
    names = ids.ids.filter(pl.Series(looks)).to_list()
    told = ", ".join(
        f"{name!r} ({n:,})" for name, n in zip(names[:_NAMED], counts[looks], strict=False)
    )
    listed = ", ".join(f'"{name}"' for name in names[:_NAMED]).replace("\\", "\\\\")
    yield (
        f"{int(counts[looks].sum()):,} {what} {ids.noun}s whose id looks missing: {told}; "
        f"[{table.key}] missing_ids = [{listed}] counts them as missing"
    )
