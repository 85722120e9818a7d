"""All metrics of one list per user, of whatever system made it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.evaluation import beyond_accuracy, metrics
from recsys.evaluation.held import Held
from recsys.evaluation.repeats import may_repeat, shares
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.interactions import Interactions

Values = dict[str, Array]
"""By metric, such as "ndcg@10", a value for each user; NaN where it is not defined."""


@dataclass(frozen=True)
class Yardstick:
    """What lists are measured by: what was chosen, and what was known of the items before."""

    held: Held
    vectors: Floats | None  # (items, d) unit length, of the text
    categories: Rows | None  # (items,) codes, PAD where unknown
    prices: Floats | None  # (items,) NaN where unknown
    popularity: Array  # (items,) the smoothed share of the users of the past who had the item
    cold: Mask  # (items,) without any event in the past
    repeatable: bool  # may anything be offered again to somebody who had it

    @classmethod
    def of(cls, held: Held) -> "Yardstick":
        """Measure by what is known of `held`."""
        catalog, past = held.catalog, held.past
        categories = next(iter(catalog.categories().values()), None)
        return cls(
            held=held,
            vectors=catalog.vectors.get("text"),
            categories=categories,
            prices=catalog.price(),
            popularity=_popularity(past),
            cold=past.item_counts == 0,
            repeatable=may_repeat(held),
        )

    def values(self, items: Rows, ks: Iterable[int]) -> Values:
        """Per user and metric at each k, of lists (b, w) with PAD where they are short."""
        hits = self.held.chosen.hits(items)
        values: Values = {}
        for k in ks:
            values |= metrics.scores(hits, self.held.positives, k)
            for name, value in self._beyond(_wide(items, k, PAD), _wide(hits, k, False)):
                values[f"{name}@{k}"] = value
        return values

    def whole(self, items: Rows, ks: Sequence[int]) -> dict[str, float]:
        """What is said of lists (b, w) together, at each k, over the items that may be offered.

        Shares of repeats are among it where something may be offered again.
        """
        mask = self.held.policy.mask
        n, place = int(mask.sum()), np.cumsum(mask) - 1  # rows among those that may be offered
        offered = np.where(items == PAD, PAD, place[items]).astype(np.int32)
        told = {}
        for k in ks:
            told[f"coverage@{k}"] = beyond_accuracy.coverage(offered[:, :k], n)
            told[f"gini@{k}"] = beyond_accuracy.gini(offered[:, :k], n)
        return told | (shares(self.held, items, ks) if self.repeatable else {})

    def _beyond(self, items: Rows, hits: Mask) -> Iterator[tuple[str, Array]]:
        yield "novelty", beyond_accuracy.novelty(items, self.popularity)
        yield "serendipity", beyond_accuracy.serendipity(items, hits, self._popular(items.shape[1]))
        yield "cold_share", beyond_accuracy.cold_share(items, self.cold)
        if self.vectors is not None:
            yield "diversity", beyond_accuracy.intra_list_diversity(items, self.vectors)
        if self.categories is not None:
            yield "category_diversity", beyond_accuracy.category_diversity(items, self.categories)
        if self.prices is not None:
            yield "revenue", beyond_accuracy.revenue(items, hits, self.prices)

    def _popular(self, k: int) -> Rows:
        """(k,) the most popular items of the past: no recommender is needed to offer them."""
        return np.argsort(-self.popularity, kind="stable")[:k].astype(np.int32)


def _popularity(past: Interactions) -> Array:
    """(items,) the smoothed share of the users (those with events) who had each item."""
    n_items = len(past.items)
    pairs = np.unique(past.user_rows.astype(np.int64) * n_items + past.item_rows)
    users_of = np.bincount(pairs % n_items, minlength=n_items)
    return beyond_accuracy.smoothed_popularity(users_of, len(past.active_users()))


def _wide(values: Array, k: int, fill: int) -> Array:
    return np.pad(values[:, :k], [(0, 0), (0, max(0, k - values.shape[1]))], constant_values=fill)
