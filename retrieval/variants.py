"""Variants of one product, of which a list shows one."""

from dataclasses import dataclass

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed


@dataclass(frozen=True)
class Variants:
    """Which product each item is a variant of."""

    groups: Rows  # (items,) PAD for an item that is its own product

    @classmethod
    def of(cls, groups: Rows | None) -> "Variants | None":
        """None where no product has two variants."""
        if groups is None:
            return None
        several = np.bincount(groups[groups != PAD], minlength=1).max() > 1
        return cls(groups) if several else None

    def available(self, allowed: Allowed) -> Array:
        """(b,) how many products each query may be offered at the most."""
        own = np.arange(len(self.groups)) + self.groups.max(initial=PAD) + 1
        product = np.where(self.groups == PAD, own, self.groups).astype(np.int64)
        count = int(product.max(initial=PAD)) + 1
        in_stock = np.bincount(product[allowed.mask], minlength=count)
        kept = allowed.mask[allowed.excluded]
        keys = ragged.owners(allowed.offsets)[kept] * np.int64(count)
        barred, times = np.unique(keys + product[allowed.excluded[kept]], return_counts=True)
        query, which = np.divmod(barred, max(1, count))
        gone = np.bincount(query[times == in_stock[which]], minlength=len(allowed))
        return np.count_nonzero(in_stock) - gone

    def first_of_each(self, items: Rows) -> Mask:
        """(b, w) which items of lists, best first, are the first of their product; never PAD."""
        kept = np.zeros(items.shape, bool)
        no_list = np.full(int(self.groups.max(initial=PAD)) + 1, PAD, np.int64)
        over_rows(_first_of_each, len(items), items, self.groups, no_list, kept)
        return kept


@compiled
def _first_of_each(
    start: int, stop: int, items: Array, groups: Array, no_list: Array, kept: Array
) -> None:
    last_list = no_list.copy()  # (groups,) the last list that showed one of the group
    for row in range(start, stop):
        for place in range(items.shape[1]):
            item = items[row, place]
            if item == PAD:
                continue
            group = groups[item]
            kept[row, place] = group == PAD or last_list[group] != row
            if group != PAD:
                last_list[group] = row
