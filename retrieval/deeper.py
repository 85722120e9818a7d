"""Candidates from beyond the depths of the sources, behind those from within."""

from dataclasses import replace

import numpy as np

from recsys.features.arrays import PAD, Array, Mask
from recsys.features.histories import Histories
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import Sources
from recsys.retrieval.variants import Variants

_STEP = 4  # each depth is so many times the one before: their sum is hardly more than the last
_LAST = np.iinfo(np.int32).max  # the tier of PAD


def lengthened(
    sources: Sources,
    variants: Variants | None,
    candidates: Candidates,
    histories: Histories,
    allowed: Allowed,
    k: int,
) -> Candidates:
    """The candidates, and more behind them where they are too few for a list of `k` items.

    The depths at which sources are asked again do not hang on `k`, nor does what is put behind:
    each depth adds a tier whole. So a longer list begins with the shorter one. Nothing is asked of
    sources that gave all that they have.
    """
    if variants is None and candidates.filled.sum(axis=1).min(initial=k) >= k:
        return candidates
    depth, items = max(member.depth for member in sources.offering), len(allowed.mask)
    available = allowed.available() if variants is None else variants.available(allowed)
    wanted = np.minimum(k, available)
    short = np.flatnonzero((_lengths(candidates, variants) < wanted) & _is_cut(candidates, sources))
    asked = 0  # also where each source may give all items, a width of the fusion cuts some off
    while len(short) and asked < items:
        asked = depth = min(_STEP * depth, items)
        whole, _ = sources.united(histories.take(short), allowed.take(short), depth)
        candidates, left = with_tier(candidates, short, whole, depth)
        more = left | (whole.ranks == depth - 1).any(axis=(1, 2))
        lengths = _lengths(candidates.take(short), variants)
        short = short[more & (lengths < wanted[short])]
    return candidates


def with_tier(
    first: Candidates, queries: Array, whole: Candidates, most: int
) -> tuple[Candidates, Mask]:
    """Lists with at most `most` items that they lack behind them, for some `queries` (q,).

    `whole` (q) is where these items stand, in their order; the second value (q,) says whether any
    of them are left over.
    """
    span = np.int64(max(first.items.max(initial=0), whole.items.max(initial=0)) + 1)
    own = np.arange(len(queries))[:, None] * span
    held = first.items[queries]
    new = whole.filled & ~np.isin(own + whole.items, (own + held)[held != PAD])
    counts = new.sum(axis=1)
    places = np.argsort(~new, axis=1, kind="stable")[:, : min(most, counts.max(initial=0))]
    added = whole.at(places).where(np.take_along_axis(new, places, axis=1))
    return _appended(first, queries, added), counts > most


def _appended(first: Candidates, queries: Array, added: Candidates) -> Candidates:
    """Lists with others behind some of them, as one more tier; PAD only at the ends."""
    more = added.items.shape[1]
    wide = [(0, 0), (0, more)], [(0, 0), (0, more), (0, 0)]
    before = np.where(first.filled, 0, _LAST) if first.tiers is None else first.tiers
    number = 1 if first.tiers is None else int(before[first.filled].max(initial=0)) + 1
    tiers = np.pad(before.astype(np.int32), wide[0], constant_values=_LAST)
    both = replace(
        first,
        items=np.pad(first.items, wide[0], constant_values=PAD),
        scores=np.pad(first.scores, wide[1], constant_values=-np.inf),
        ranks=np.pad(first.ranks, wide[1], constant_values=PAD),
        tiers=tiers,
    )
    columns = slice(first.items.shape[1], None)
    both.items[queries, columns] = added.items
    both.scores[queries, columns] = added.scores
    both.ranks[queries, columns] = added.ranks
    tiers[queries, columns] = np.where(added.filled, number, _LAST)
    closed = np.argsort(~both.filled, axis=1, kind="stable")
    return both.at(closed[:, : int(both.filled.sum(axis=1).max(initial=1))])


def _lengths(candidates: Candidates, variants: Variants | None) -> Array:
    """(b,) how many places the candidates of each list fill."""
    filled = candidates.filled
    if variants is not None:
        filled = variants.first_of_each(np.ascontiguousarray(candidates.items))
    lengths: Array = filled.sum(axis=1)
    return lengths


def _is_cut(candidates: Candidates, sources: Sources) -> Mask:
    """(b,) where there may be more: a source gave as many as it may, or the fusion cut some off."""
    last = np.array([member.depth - 1 for member in sources.offering])
    cut: Mask = (candidates.ranks == last).any(axis=(1, 2))
    width = sources.fusion.width
    return cut | (candidates.filled.sum(axis=1) >= width) if width else cut
