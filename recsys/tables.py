"""The final lists as a table: a row per offered item, with sources, reason and note."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.fitted import Ranked
from recsys.reasons import because, sentences
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever


@dataclass(frozen=True)
class Asked:
    """Who asks: ids, histories, and what is to be said of each."""

    ids: pl.Series  # (b,)
    histories: Histories  # (b)
    remarks: pl.Series  # (b,) such as "unknown user"; null where there is nothing to say

    def blocks(self, size: int) -> Iterator[Histories]:
        """The histories in order, `size` at a time."""
        for start in range(0, len(self.ids), size):
            yield self.histories.take(np.arange(start, min(start + size, len(self.ids))))


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
        )

    @classmethod
    def joined(cls, parts: Sequence["Lists"]) -> "Lists":
        """The lists of several blocks as one."""

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
        )


def _wide(values: Array, k: int, fill: float) -> Array:
    rest = [(0, 0)] * (values.ndim - 2)
    return np.pad(values, [(0, 0), (0, k - values.shape[1]), *rest], constant_values=fill)


def as_table(
    asked: Asked,
    lists: Lists,
    k: int,
    sources: Sequence[str],
    retrievers: Sequence[Retriever],
    catalog: Catalog,
    events: Sequence[str] = (),
) -> pl.DataFrame:
    """The lists of everybody who asked; `k` items were asked for, `sources` offered them.

    Of `events` there are probabilities.
    """
    shown = lists.items != PAD
    shown[:, 0] = True  # who is offered nothing has one row to say so
    owner, place = np.nonzero(shown)
    items, codes, past = lists.items[shown], lists.codes[shown], lists.past[shown]
    table = pl.DataFrame(
        {
            "user_id": asked.ids.gather(owner),
            "item_id": catalog.items.ids_at(items),
            "rank": (place + 1).astype(np.int32),
            "score": lists.scores[shown],
            "sources": _names(lists.offered[shown], sources),
            "reason": sentences(codes, past, retrievers, catalog.titles()),
            "note": _notes(asked, lists, k).gather(owner),
        }
    )
    foretold = lists.probabilities[shown]
    columns = [pl.Series(f"p_{name}", foretold[:, n]) for n, name in enumerate(events)]
    table = table.with_columns(each.fill_nan(None) for each in columns)
    if (items == PAD).any():
        there = pl.col("item_id").is_not_null()
        table = table.with_columns(pl.when(there).then(pl.col("rank", "score")))
    return table


def _names(offered: Array, sources: Sequence[str]) -> pl.Series:
    """(n,) the names of the sources that offered each item."""
    found, place = np.unique(offered, return_inverse=True)
    names = [[name for bit, name in enumerate(sources) if code >> bit & 1] for code in found]
    return pl.Series(names, dtype=pl.List(pl.String)).gather(place)


def _notes(asked: Asked, lists: Lists, k: int) -> pl.Series:
    """(b,) what is unusual of each list; null where nothing is."""
    lengths = (lists.items != PAD).sum(axis=1)
    short = lengths < k
    if not short.any() and not any(lists.failed) and asked.remarks.null_count() == len(asked.ids):
        return asked.remarks
    parts = pl.DataFrame(
        {
            "remark": asked.remarks,
            "short": short,
            "length": lengths,
            "available": lists.available,
            "failed": pl.Series(lists.failed, dtype=pl.String),
        }
    )
    stock = "stock, policy and conditions leave {} to offer"
    offered = pl.format("{} of {} items: ", pl.col("length"), pl.lit(k)) + (
        pl.when(pl.col("length") < pl.col("available"))
        .then(pl.lit("the sources found no more"))
        .otherwise(pl.format(stock, pl.col("available")))
    )
    said = pl.concat_str(
        pl.col("remark"),
        pl.when("short").then(offered),
        pl.concat_str(pl.lit("failed sources: "), "failed"),
        separator="; ",
        ignore_nulls=True,
    )
    return parts.select(pl.when(said != "").then(said).alias("note")).to_series()


def no_table(users: pl.DataType, items: pl.DataType, events: Sequence[str] = ()) -> pl.DataFrame:
    """The table of nobody's lists."""
    return pl.DataFrame(
        schema={
            "user_id": users,
            "item_id": items,
            "rank": pl.Int32,
            "score": pl.Float32,
            "sources": pl.List(pl.String),
            "reason": pl.String,
            "note": pl.String,
            **{f"p_{name}": pl.Float32 for name in events},
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
