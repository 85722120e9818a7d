"""The order of events that one user has at one time: drawn, so that no file's order decides it."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.features.arrays import Array, Mask, Rows

_BITS = 24  # of a key that events of one time are sorted by; equal keys are told apart afterwards


def runs_of(*columns: Array) -> Array:
    """(n,) the number of the run of rows that are equal in all columns (n,), ascending from 0."""
    if not len(columns[0]):
        return np.zeros(0, np.int64)
    begins = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return np.cumsum(begins)


def several(runs: Array) -> Mask:
    """(n,) whether a row shares its run with another."""
    shared: Mask = (np.bincount(runs) > 1)[runs] if len(runs) else np.zeros(0, np.bool_)
    return shared


def drawn(
    runs: Array,
    users: tuple[pl.Series, Rows],
    items: tuple[pl.Series, Rows],
    then: Sequence[Array],
) -> Array:
    """(n,) the rows, run by run, in an order that their order here has no part in.

    It is drawn by a hash of the ids of user and item, so that each user has one of their own. Rows
    of one user and item are sorted by the columns `then`, the first of which counts most; what is
    equal in all of these stays as it came. `users` and `items` are the ids, and the place (n,) of
    each row's id among them.
    """
    keys = _mixed(_hashes(*users) ^ (_hashes(*items) << np.uint64(32)))
    keyed = runs.astype(np.int64) << _BITS | (keys >> np.uint64(64 - _BITS)).astype(np.int64)
    order: Array = np.argsort(keyed, kind="stable")
    alike = runs_of(keyed[order])
    close = np.flatnonzero(several(alike))
    if len(close):
        rows = order[close]
        columns = [column[rows] for column in (items[1], *then)]
        order[close] = rows[np.lexsort((*reversed(columns), alike[close]))]
    return order


def _hashes(ids: pl.Series, places: Rows) -> NDArray[np.uint64]:
    """(n,) a hash of the id of each row; that of an integer is that of its digits."""
    used, place = np.unique(places, return_inverse=True)
    texts = ids.gather(used).cast(pl.String).to_list()
    hashes = np.fromiter((crc32(text.encode()) for text in texts), np.uint64, len(texts))
    each: NDArray[np.uint64] = hashes[place]
    return each


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea & Flood 2014): near values become far ones."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
