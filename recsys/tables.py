"""The final lists as a table: a row per offered item, with sources, reason and note."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.ranked import Ranked, Trail
from recsys.reasons import because, sentences
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever


@dataclass(frozen=True)
class Asked:
    """Who asks: ids, histories, and what is to be said of each."""

    ids: pl.Series  # (b,)
    histories: Histories  # (b)
    remarks: pl.Series  # (b,) such as "unknown user"; null where there is nothing to say

    def blocks(self, size: int) -> Iterator["Asked"]:
        """Who asks in order, `size` at a time."""
        if len(self.ids) <= size:
            yield self
            return
        for start in range(0, len(self.ids), size):
            ids = self.ids[start : start + size]
            histories = self.histories.take(np.arange(start, start + len(ids)))
            yield Asked(ids, histories, self.remarks[start : start + size])


@dataclass(frozen=True)
class Lists:
    """The final lists of some queries as arrays; strings are made of them once, for all queries."""

    items: Rows  # (b, k) PAD where a list is short
    scores: Floats  # (b, k)
    offered: Array  # (b, k) bit s is set where source s offered the item
    codes: Array  # (b, k) why it is there, see `reasons`
    past: Rows  # (b, k)
    available: Array  # (b,) how many items might have been offered
    failed: tuple[str | None, ...]  # (b,) the sources that could not answer
    probabilities: Floats  # (b, k, h) of each event; h is 0 where nobody asks for them
    trail: Trail | None = None  # (b, k) where settings ask anything of the final list

    @classmethod
    def of(
        cls,
        histories: Histories,
        ranked: Ranked,
        k: int,
        available: Array,
        retrievers: Sequence[Retriever],
        probabilities: Floats | None = None,
    ) -> "Lists":
        """The lists of one block."""
        candidates = ranked.candidates
        codes, past = because(histories, candidates, retrievers)
        offered = (candidates.ranks != PAD) @ (1 << np.arange(len(candidates.sources)))
        failed = ", ".join(ranked.failed) or None
        if probabilities is None:
            probabilities = np.zeros((*candidates.items.shape, 0), np.float32)
        return cls(
            items=_wide(candidates.items, k, PAD),
            scores=_wide(ranked.scores, k, -np.inf),
            offered=_wide(offered, k, 0),
            codes=_wide(codes, k, PAD),
            past=_wide(past, k, PAD),
            available=available,
            failed=(failed,) * len(candidates),
            probabilities=_wide(probabilities, k, np.nan),
            trail=None if ranked.trail is None else ranked.trail.wide(k),
        )

    @classmethod
    def joined(cls, parts: Sequence["Lists"]) -> "Lists":
        """The lists of several blocks as one."""
        if len(parts) == 1:
            return parts[0]

        def whole(name: str) -> Array:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            items=whole("items"),
            scores=whole("scores"),
            offered=whole("offered"),
            codes=whole("codes"),
            past=whole("past"),
            available=whole("available"),
            failed=tuple(failed for part in parts for failed in part.failed),
            probabilities=whole("probabilities"),
            trail=Trail.joined([part.trail for part in parts if part.trail is not None]),
        )


def _wide(values: Array, k: int, fill: float) -> Array:
    """The lists (b, w, ...) at `k` places."""
    if values.shape[1] == k:
        return values
    wide = np.full((len(values), k, *values.shape[2:]), fill, values.dtype)
    wide[:, : values.shape[1]] = values
    return wide


def as_table(
    asked: Asked,
    lists: Lists,
    k: int,
    sources: Sequence[str],
    retrievers: Sequence[Retriever],
    catalog: Catalog,
    rules: Sequence[str] = (),
    events: Sequence[str] = (),
) -> pl.DataFrame:
    """The lists of everybody who asked; `k` items were asked for, `sources` offered them.

    `rules` are what the bits of a trail stand for, where lists have one. Of `events` there are
    probabilities.
    """
    shown = lists.items != PAD
    shown[:, 0] = True  # who is offered nothing has one row to say so
    owner, place = np.nonzero(shown)
    items, codes, past = lists.items[shown], lists.codes[shown], lists.past[shown]
    foretold = lists.probabilities[shown]
    table = pl.DataFrame(
        {
            "user_id": asked.ids[owner],
            "item_id": catalog.items.ids_at(items),
            "rank": (place + 1).astype(np.int32),
            "score": lists.scores[shown],
            "sources": _names(lists.offered[shown], sources),
            "reason": sentences(codes, past, retrievers, catalog.titles()),
            "note": _notes(asked, lists, k, rules)[owner],
            **{
                f"p_{name}": pl.Series(foretold[:, number], nan_to_null=True)
                for number, name in enumerate(events)
            },
        }
    )
    if (items == PAD).any():
        there = pl.col("item_id").is_not_null()
        table = table.with_columns(pl.when(there).then(pl.col("rank", "score")))
    return table if lists.trail is None else _with_trail(table, lists.trail, owner, place, rules)


def _with_trail(
    table: pl.DataFrame, trail: Trail, owner: Array, place: Array, names: Sequence[str]
) -> pl.DataFrame:
    """The table with what the final stage did to each item, at `place` (n,) of the list `owner`.

    A pinned item that no source offered has no score.
    """
    return table.with_columns(
        pl.when(pl.col("score").is_finite()).then("score").alias("score"),
        _names(trail.rules[owner, place], names).alias("rules"),
        pl.when(pl.col("item_id").is_not_null())
        .then(pl.Series(trail.propensity[owner, place]))
        .alias("propensity"),
    )


def _names(offered: Array, sources: Sequence[str]) -> pl.Series:
    """(n,) the names that the bits of each code stand for."""
    found, place = np.unique(offered, return_inverse=True)
    names = [[name for bit, name in enumerate(sources) if code >> bit & 1] for code in found]
    return pl.Series(names, dtype=pl.List(pl.String))[place]


def _notes(asked: Asked, lists: Lists, k: int, rules: Sequence[str]) -> pl.Series:
    """(b,) what is unusual of each list of `k`, whatever follows it; null where nothing is."""
    lengths = (lists.items[:, :k] != PAD).sum(axis=1)
    short = lengths < k
    none = np.zeros(len(lengths), np.int64)
    unmet, held = (none, none) if lists.trail is None else (lists.trail.unmet, lists.trail.held)
    usual = not (short.any() or unmet.any() or any(lists.failed))
    if usual and asked.remarks.null_count() == len(asked.ids):
        return asked.remarks
    parts = pl.DataFrame(
        {
            "remark": asked.remarks,
            "short": short,
            "length": lengths,
            "available": lists.available,
            "held": held.astype(bool),
            "unmet": _names(unmet, rules).list.join(", ").replace("", None),
            "failed": pl.Series(lists.failed, dtype=pl.String),
        }
    )
    stock = "stock, policy and conditions leave {} to offer"
    offered = pl.format("{} of {} items: ", pl.col("length"), pl.lit(k)) + (
        pl.when("held")
        .then(pl.lit("rules hold back all others that the sources found"))
        .when(pl.col("length") < pl.col("available"))
        .then(pl.lit("the sources found no more"))
        .otherwise(pl.format(stock, pl.col("available")))
    )
    said = pl.concat_str(
        pl.col("remark"),
        pl.when("short").then(offered),
        pl.concat_str(pl.lit("failed sources: "), "failed"),
        pl.concat_str(pl.lit("too few candidates for "), "unmet"),
        separator="; ",
        ignore_nulls=True,
    )
    return parts.select(pl.when(said != "").then(said).alias("note")).to_series()


def no_table(
    users: pl.DataType, items: pl.DataType, trail: bool = False, events: Sequence[str] = ()
) -> pl.DataFrame:
    """The table of nobody's lists, with or without the columns of a trail, and of events."""
    more: dict[str, Any] = {f"p_{name}": pl.Float32 for name in events}
    more |= {"rules": pl.List(pl.String), "propensity": pl.Float32} if trail else {}
    return pl.DataFrame(
        schema={
            "user_id": users,
            "item_id": items,
            "rank": pl.Int32,
            "score": pl.Float32,
            "sources": pl.List(pl.String),
            "reason": pl.String,
            "note": pl.String,
            **more,
        }
    )


def first_filled(lists: Sequence[Candidates]) -> Candidates:
    """For each query the first of several sources' lists that holds anything."""
    filled = np.stack([each.filled.any(axis=1) for each in lists])
    chosen, rows = filled.argmax(axis=0), np.arange(filled.shape[1])
    items = np.stack([each.items for each in lists])[chosen, rows]
    scores = np.stack([each.scores[:, :, 0] for each in lists])[chosen, rows]
    return Candidates.of_one(lists[0].users, items, scores, "linking")


def single_lists(ids: pl.Series, candidates: Candidates, catalog: Catalog) -> pl.DataFrame:
    """The lists of one source as a table: item_id of the question, similar_id, rank, score."""
    flat = np.flatnonzero(candidates.filled.ravel())
    owner, place = np.divmod(flat, candidates.items.shape[1])
    scores: Floats = candidates.scores[:, :, 0].ravel()[flat]
    return pl.DataFrame(
        {
            "item_id": ids.gather(owner),
            "similar_id": catalog.items.ids_at(candidates.items.ravel()[flat]),
            "rank": pl.Series(place + 1, dtype=pl.Int32),
            "score": scores,
        }
    )
