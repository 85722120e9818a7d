"""What each event of a history adds to the scores of items, where a score is a sum over events."""

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import Array, Floats, Rows
from recsys.features.histories import Histories
from recsys.retrieval.dots import dots
from recsys.retrieval.links import Links


def by_age(histories: Histories, weights: Floats) -> Floats:
    """(n,) the weight of each event, `weights` (ages,) being those of the newest events; then 0."""
    ages = np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(len(histories.items))
    return np.where(ages < len(weights), weights[np.minimum(ages, len(weights) - 1)], np.float32(0))


def once_each(histories: Histories) -> Floats:
    """(n,) weights that sum to 1 over the events of an item: one that came thrice, a third each."""
    return of_their_item(histories, np.ones(len(histories.items), np.float32))


def of_their_item(histories: Histories, weights: Floats) -> Floats:
    """(n,) each event's share in the weight (n,) > 0 of all events of its item in its history."""
    span = 1 + int(histories.items.max(initial=0))
    pairs = ragged.owners(histories.offsets).astype(np.int64) * span + histories.items
    _, place = np.unique(pairs, return_inverse=True)
    return (weights / np.bincount(place, weights)[place]).astype(np.float32)


def of_links(links: Links, histories: Histories, weights: Floats, items: Rows) -> Floats:
    """(n, w) what events of these weights (n,) lead to the items (b, w) of their history with."""
    owners = ragged.owners(histories.offsets)
    strengths = links.between(histories.items[:, None], items[owners])[:, :, 0]
    return strengths * weights[:, None]


def of_vectors(vectors: Floats, table: Floats, histories: Histories, items: Rows) -> Floats:
    """(n, w) the products of the events' vectors (n, d) with those of items (b, w) in `table`."""
    each = np.arange(len(vectors), dtype=np.int32)[:, None]
    products: Array = dots(vectors, each, table, items[ragged.owners(histories.offsets)])
    return products[:, :, 0]
