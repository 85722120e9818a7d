"""A few users of an evaluation: what they did, what they were offered and why, what they chose."""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys.evaluation.held import Held
from recsys.features.arrays import Array, Rows
from recsys.tables import Asked

if TYPE_CHECKING:
    from recsys.engine import Engine

SHOWN = 6  # users
_NEWEST = 8  # events of a history


def examples(engine: "Engine", held: Held, k: int) -> list[dict[str, Any]]:
    """Users from the shortest history to the longest, with their lists of `k`, for JSON."""
    few = held.take(_spread(held.histories.lengths))
    ids = engine.users
    users = pl.Series("user_id", [ids[int(row)] for row in few.histories.users], dtype=ids.dtype)
    remarks = pl.repeat(None, len(users), dtype=pl.String, eager=True)
    lists = engine.answer(Asked(users, few.histories, remarks), k, explore=False)
    offered = lists.with_columns(engine.titles(lists["item_id"])).partition_by(
        "user_id", maintain_order=True
    )
    return [
        _example(engine, few.take(np.array([place])), users[place], own)
        for place, own in enumerate(offered)
    ]


def _spread(lengths: Array) -> Array:
    """Users, by position, at even steps of the order by length of history."""
    order = np.argsort(lengths, kind="stable")
    steps = np.unique(np.linspace(0, len(order) - 1, min(SHOWN, len(order))).astype(int))
    few: Array = order[steps]
    return few


def _example(engine: "Engine", one: Held, user: Any, offered: pl.DataFrame) -> dict[str, Any]:
    chosen = _named(engine, one.chosen.items)
    wanted = {each["item_id"] for each in chosen}
    columns = ["rank", "item_id", "title", "score", "sources", "reason"]
    return {
        "user": str(user),
        "about": f"{len(one.histories.items):,} events",
        "history": _named(engine, one.histories.items[-_NEWEST:]),
        "chosen": chosen,
        "list": [
            {**row, "hit": row["item_id"] in wanted}
            for row in offered.select(columns).drop_nulls("item_id").to_dicts()
        ],
    }


def _named(engine: "Engine", items: Rows) -> list[dict[str, Any]]:
    ids = engine.learnt.catalog.items.ids_at(items).alias("item_id")
    return pl.DataFrame([ids, engine.titles(ids)]).to_dicts()
