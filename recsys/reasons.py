"""In words a shop can show: why an item is on a list."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Rows
from recsys.features.histories import Histories
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever, links_items
from recsys.retrieval.sources import PASSING

HAD_BEFORE = "had before"
"""The reason for an item that is offered most for what the user did with it."""

_LOOKED_AT = 20  # newest items of a history that a reason may name

_NAMED, _PLAIN, _AGAIN, _MANNERS = 0, 1, 2, 3
"""A reason names a past item, names none, or the item itself is the past item."""


def because(
    histories: Histories, candidates: Candidates, retrievers: Sequence[Retriever]
) -> tuple[Array, Rows]:
    """Why each candidate is there, as a code (b, w), and the past item it names (b, w).

    It is for the source that ranked the item highest and, where that source links items, for the
    past item that leads to this one most strongly. Both are PAD where there is nothing to name.
    """
    main = main_source(candidates)
    codes = np.full(main.shape, PAD, np.int32)
    past = np.full(main.shape, PAD, np.int32)
    recent = histories.last(_LOOKED_AT)
    for number, retriever in enumerate(retrievers):
        if retriever.name not in candidates.sources:
            continue
        mine = main == candidates.sources.index(retriever.name)
        if not mine.any():
            continue
        codes[mine] = number * _MANNERS + _PLAIN
        if links_items(retriever):
            try:
                links = retriever.links(recent, np.where(mine, candidates.items, PAD))
            except PASSING:  # said when its features failed
                continue
            strongest = np.take_along_axis(recent, links.argmax(axis=2), axis=1)
            linked = mine & (links.max(axis=2) > 0)
            again = linked & (strongest == candidates.items)
            codes[linked] = number * _MANNERS + _NAMED
            codes[again] = number * _MANNERS + _AGAIN
            past[linked & ~again] = strongest[linked & ~again]
    return codes, past


def sentences(
    codes: Array, past: Rows, retrievers: Sequence[Retriever], titles: pl.Series
) -> pl.Series:
    """One sentence (n,) for each code and past item (n,); null where the code is PAD.

    Each different one is put into words once.
    """
    keys = codes * np.int64(len(titles) + 1) + (past + 1)
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    different = zip(codes[first].tolist(), past[first].tolist(), strict=True)
    words = [_in_words(code, item, retrievers, titles) for code, item in different]
    said: pl.Series = pl.Series("reason", words, dtype=pl.String)[place]
    return said


def _in_words(
    code: int, past: int, retrievers: Sequence[Retriever], titles: pl.Series
) -> str | None:
    if code == PAD:
        return None
    number, manner = divmod(code, _MANNERS)
    if manner == _AGAIN:
        return HAD_BEFORE
    return retrievers[number].reason.format(
        item=titles[past] if manner == _NAMED else "earlier choices"
    )


def main_source(candidates: Candidates) -> Array:
    """(b, w) which source ranked each item highest, the first of equals; PAD where none did."""
    far = np.iinfo(np.int32).max
    ranks = np.where(candidates.ranks == PAD, far, candidates.ranks)
    return np.where(ranks.min(axis=2) < far, ranks.argmin(axis=2), PAD)
