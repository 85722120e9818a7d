"""Why a list is as it is: the sources, past events and features behind each item, and the rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Explanation:
    """One list, and what it rests on, as tables that are joined by `item_id`."""

    user_id: Any
    items: pl.DataFrame
    """As `Engine.recommend`, with `title`, `words` (a sentence for people) and `rule`: why an item
    that was asked about is not on the list; null for the others."""
    sources: pl.DataFrame
    """A row for each source that offered an item: item_id, source, rank (from 1), score, reason."""
    events: pl.DataFrame
    """A row for each past event that a source's score rests on, of sources whose scores are sums
    over events: item_id, source, past_id, title, event, time, contribution, share. Contributions
    sum to the source's score, shares to 1."""
    features: pl.DataFrame
    """item_id, feature, family, value, contribution. `baseline` and the contributions of an item
    sum to its score within 1e-4, so there are rows for what boosts add, by the names of the rules
    with their factors as values (family "rules"), and for what a compressed ranker's rounding adds
    (family "rounding", no value); empty where the ranker has not scored the list."""
    baseline: float | None
    """What the ranker gives the mean candidate that it learnt from."""
    rules: tuple[str, ...]
    """What narrowed down the offer, in words."""

    @property
    def note(self) -> str | None:
        """What is unusual of the list; None where nothing is."""
        return next(iter(self.items["note"].drop_nulls()), None)

    def families(self) -> pl.DataFrame:
        """The contributions by family of features: item_id, family, contribution; largest first."""
        sums = self.features.group_by("item_id", "family", maintain_order=True)
        return sums.agg(pl.col("contribution").sum()).sort(
            pl.col("contribution").abs(), descending=True, maintain_order=True
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON, with all that belongs to an item in one place."""
        return {
            "user_id": self.user_id,
            "note": self.note,
            "rules": list(self.rules),
            "baseline": self.baseline,
            "items": [self._item(row) for row in self.items.drop_nulls("item_id").to_dicts()],
        }

    def _item(self, row: Mapping[str, Any]) -> dict[str, Any]:
        own = {
            name: _of(table, row["item_id"])
            for name, table in (
                ("sources", self.sources),
                ("events", self.events.with_columns(pl.col("time").dt.to_string("iso:strict"))),
                ("families", self.families()),
                ("features", self.features),
            )
        }
        kept = {key: value for key, value in row.items() if key not in ("user_id", "note")}
        return {**kept, **own}


def _of(table: pl.DataFrame, item_id: Any) -> list[dict[str, Any]]:
    return table.filter(pl.col("item_id") == item_id).drop("item_id").to_dicts()
