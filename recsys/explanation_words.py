"""An explanation in words a shop can show: a sentence for each item."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from recsys.explanation import Explanation
from recsys.reasons import HAD_BEFORE
from recsys.reporting.findings import listed

_NAMED = 2  # past items, and families of features, that a sentence names


def in_words(found: Explanation, main: Mapping[Any, str], reasons: Mapping[str, str]) -> pl.Series:
    """The sentences (m,), null where there is no item.

    `main` has by item the source that ranked it highest, `reasons` by source why it offers items.
    """
    families = found.families()
    words: list[str | None] = []
    for row in found.items.iter_rows(named=True):
        item_id = row["item_id"]
        if item_id not in main:
            words.append(_without_source(row))
            continue
        source = main[item_id]
        parts = (
            *_reasons(row["reason"], _going_by(found, item_id, source, reasons[source])),
            _others(found, item_id, source),
            _moved(families.filter(pl.col("item_id") == item_id)),
            _placed(row),
        )
        words.append(_sentence("; ".join(part for part in parts if part)))
    return pl.Series("words", words, dtype=pl.String)


def _without_source(row: Mapping[str, Any]) -> str | None:
    """Of an item that no source offered, or of none."""
    if row["rank"] is None and row["rule"] is not None:
        return f"Not on the list: {row['rule']}"
    return _sentence(_placed(row)) or None


def _sentence(told: str) -> str:
    """The same with a capital to begin with; names in it stay as they are."""
    return told[:1].upper() + told[1:]


def _placed(row: Mapping[str, Any]) -> str:
    """The rules of the final list that moved it."""
    rules = row.get("rules")
    return f"placed by the rule {listed(rules)}" if rules else ""


def _reasons(short: str | None, full: str | None) -> tuple[str | None, ...]:
    """Why it is offered, as the list says it in short, and in full where that is known."""
    if full is None:
        return (short,)
    return (short, full) if short == HAD_BEFORE else (full,)


def _going_by(found: Explanation, item_id: Any, source: str, template: str) -> str | None:
    """Why a source offers it, by the other past items that count most; None where none counts."""
    own = found.events.filter(
        (pl.col("item_id") == item_id) & (pl.col("source") == source) & (pl.col("share") > 0)
    )
    others = (
        own.filter(pl.col("past_id") != item_id)
        .group_by("past_id", maintain_order=True)
        .agg(pl.col("title").first(), pl.col("share").sum())
    )
    if not len(others):
        return None
    largest = others.sort("share", descending=True, maintain_order=True).head(_NAMED)
    choices = listed([f"{each['title']} ({each['share']:.0%})" for each in largest.to_dicts()])
    said = template if "{item}" in template else f"{template}, going by {{item}}"
    return said.replace("{item}", choices)


def _others(found: Explanation, item_id: Any, source: str) -> str:
    """The sources that offer it besides."""
    own = found.sources.filter((pl.col("item_id") == item_id) & (pl.col("source") != source))
    return f"also offered by {listed(own['source'].to_list())}" if len(own) else ""


def _moved(families: pl.DataFrame) -> str:
    """What moved it up in the ranker's order, and what down, of families sorted by size."""
    up = families.filter(pl.col("contribution") > 0)["family"].head(_NAMED).to_list()
    down = families.filter(pl.col("contribution") < 0)["family"].head(1).to_list()
    said = [f"raised most by {listed(up)}"] if up else []
    return ", ".join(said + [f"lowered most by {each}" for each in down])
