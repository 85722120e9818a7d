"""In words a shop can show: why an item is on a list."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array
from recsys.features.histories import Histories
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever, links_items

_LOOKED_AT = 20  # newest items of a history that a reason may name


def reasons(
    histories: Histories,
    candidates: Candidates,
    retrievers: Sequence[Retriever],
    titles: pl.Series,
) -> pl.Series:
    """One sentence (b * w,) per candidate, row by row; null where there is no item.

    It names the source that ranked the item highest and, where that source links items, the past
    item that leads to this one most strongly.
    """
    main = main_source(candidates)
    words = pl.repeat(None, candidates.items.size, dtype=pl.String, eager=True)
    recent = histories.last(_LOOKED_AT)
    for retriever in retrievers:
        if retriever.name not in candidates.sources:
            continue
        mine = (main == candidates.sources.index(retriever.name)).ravel()
        if mine.any():
            said = _sentences(retriever, recent, candidates, titles)
            words = said.zip_with(pl.Series(mine), words)
    return words


def main_source(candidates: Candidates) -> Array:
    """(b, w) which source ranked each item highest, the first of equals; PAD without an item."""
    far = np.iinfo(np.int32).max
    ranks = np.where(candidates.ranks == PAD, far, candidates.ranks)
    return np.where(candidates.filled, ranks.argmin(axis=2), PAD)


def _sentences(
    retriever: Retriever, recent: Array, candidates: Candidates, titles: pl.Series
) -> pl.Series:
    size = candidates.items.size
    if not links_items(retriever):
        return pl.repeat(retriever.reason, size, dtype=pl.String, eager=True)
    links = retriever.links(recent, candidates.items)
    strongest = np.take_along_axis(recent, links.argmax(axis=2), axis=1).ravel()
    linked = pl.Series(links.max(axis=2).ravel() > 0)
    again = pl.Series(strongest == candidates.items.ravel())
    past = titles.gather(pl.Series(np.maximum(strongest, 0)).cast(pl.UInt32))
    before, after = retriever.reason.split("{item}")
    named = pl.select(pl.concat_str(pl.lit(before), past, pl.lit(after))).to_series()
    plain = pl.repeat(retriever.reason.format(item="earlier choices"), size, eager=True)
    repeated = pl.repeat("seen before", size, eager=True)
    return repeated.zip_with(linked & again, named.zip_with(linked, plain))
