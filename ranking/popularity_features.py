"""Features of how often, how lately and by what an item is chosen at the moment."""

import numpy as np

from recsys.features.arrays import PAD, Array, Rows
from recsys.features.histories import Histories
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group
from recsys.ranking.item_statistics import ItemStatistics
from recsys.ranking.recent import Recent


def of_items(
    statistics: ItemStatistics, histories: Histories, recent: Recent, items: Rows
) -> Group:
    """(b, w, n + 1) what the log says of each of the `items` (b, w), by n statistics.

    The last is its popularity against that of the newest items.
    """
    own = len(statistics.names)

    def write(columns: Array) -> None:
        statistics.write(items, histories.now, columns[:, :, :own])
        of_recent = statistics.popularity(recent.items, histories.now)
        worth = recent.worth
        mean = (of_recent * worth).sum(axis=1) / np.maximum(worth.sum(axis=1), 1e-6)
        known = (recent.items[:, 0] != PAD).astype(np.float32)
        over_rows(_against, len(items), mean.astype(np.float32), known, columns)

    return group("popularity and age", [*statistics.names, "popularity against history"], write)


def of_category(name: str, statistics: ItemStatistics, histories: Histories, items: Rows) -> Group:
    """(b, w, n) what the log says of all items with the label of each of the `items` (b, w)."""

    def write(columns: Array) -> None:
        statistics.write(items, histories.now, columns)

    return group(name, [f"{name} {each}" for each in statistics.names], write)


@compiled
def _against(start: int, stop: int, mean: Array, known: Array, columns: Array) -> None:
    """The first column less the mean of each history, into the last; 0 where none is known."""
    last = columns.shape[2] - 1
    for row in range(start, stop):
        for place in range(columns.shape[1]):
            columns[row, place, last] = known[row] * (columns[row, place, 0] - mean[row])
