"""The final lists as a table: a row per offered item, with sources, reason and note."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Floats
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.fitted import Fitted, Ranked
from recsys.reasons import reasons
from recsys.retrieval.candidates import Candidates


@dataclass(frozen=True)
class Asked:
    """Who asks: ids, histories, and what is to be said of each."""

    ids: pl.Series  # (b,)
    histories: Histories  # (b)
    remarks: pl.Series  # (b,) such as "unknown user"; null where there is nothing to say

    def blocks(self, size: int) -> Iterator["Asked"]:
        """All of them in order, `size` at a time."""
        for start in range(0, len(self.ids), size):
            own = slice(start, start + size)
            queries = np.arange(len(self.ids))[own]
            yield Asked(self.ids[own], self.histories.take(queries), self.remarks[own])


def as_table(
    asked: Asked, ranked: Ranked, k: int, available: Array, fitted: Fitted, catalog: Catalog
) -> pl.DataFrame:
    """The lists of one block; `available` (b,) is how many items each could be offered at most."""
    candidates = ranked.candidates
    width = candidates.items.shape[1]
    why = reasons(asked.histories, candidates, fitted.sources.retrievers, catalog.titles())
    notes = _notes(asked, ranked, k, available)
    shown = candidates.filled.copy()
    shown[:, 0] = True  # who is offered nothing has one row to say so
    flat = np.flatnonzero(shown.ravel())
    owner, place = np.divmod(flat, width)
    items = candidates.items.ravel()[flat]
    empty = pl.Series(items == PAD)
    return pl.DataFrame(
        {
            "user_id": asked.ids.gather(owner),
            "item_id": catalog.items.ids_at(items),
            "rank": pl.Series(place + 1, dtype=pl.Int32).set(empty, None),
            "score": pl.Series(ranked.scores.ravel()[flat]).set(empty, None),
            "sources": _sources_of(candidates).gather(flat),
            "reason": why.gather(flat),
            "note": notes.gather(owner),
        }
    )


def no_table(users: pl.DataType, items: pl.DataType) -> pl.DataFrame:
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
        }
    )


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


def _sources_of(candidates: Candidates) -> pl.Series:
    """(b * w,) the names of the sources that offered each item."""
    offered = (candidates.ranks != PAD).reshape(-1, len(candidates.sources))
    codes = offered @ (1 << np.arange(offered.shape[1]))
    found, place = np.unique(codes, return_inverse=True)
    names = [
        [name for bit, name in enumerate(candidates.sources) if code >> bit & 1] for code in found
    ]
    return pl.Series(names, dtype=pl.List(pl.String)).gather(place)


def _notes(asked: Asked, ranked: Ranked, k: int, available: Array) -> pl.Series:
    """(b,) what is unusual of each list; null where nothing is."""
    lengths = ranked.candidates.filled.sum(axis=1)
    short = pl.Series(lengths < k)
    offered = pl.format(
        "{} of {} items: stock and policy leave {} to offer",
        pl.Series(lengths),
        pl.lit(k),
        pl.Series(available),
    )
    failed = f"failed sources: {', '.join(ranked.failed)}" if ranked.failed else None
    parts = [
        pl.lit(asked.remarks),
        pl.when(pl.lit(short)).then(offered),
        pl.lit(failed, dtype=pl.String),
    ]
    joined = pl.concat_str(parts, separator="; ", ignore_nulls=True)
    notes = pl.select(pl.when(joined != "").then(joined).alias("note")).to_series()
    return notes if len(notes) == len(asked.ids) else notes.new_from_index(0, len(asked.ids))
