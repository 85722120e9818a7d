"""What may be offered: stock, and what a user has had before."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import Array, Mask, Rows
from recsys.features.columns import UNNAMED, EventType
from recsys.features.histories import Histories
from recsys.retrieval.allowed import Allowed


@dataclass(frozen=True)
class Policy:
    """Items that may be offered at all, and events after which an item is not offered again."""

    mask: Mask  # (items,) True where an item may be offered
    hides: Mask  # (events,) True where an event hides its item from that user

    @classmethod
    def of(cls, mask: Mask, names: tuple[str, ...], events: Mapping[str, EventType]) -> "Policy":
        hides = [not events.get(name, UNNAMED).offer_again for name in names]
        return cls(mask, np.array(hides, bool))

    def without(self, items: Rows) -> "Policy":
        """The same with more items (n,) that nobody is offered."""
        mask = self.mask.copy()
        mask[items] = False
        return Policy(mask, self.hides)

    def within(self, mask: Mask) -> "Policy":
        """The same with nothing offered that `mask` (items,) leaves out."""
        return Policy(self.mask & mask, self.hides)

    def allowed(self, histories: Histories) -> Allowed:
        """What each history may be offered."""
        hidden = self.hides[histories.events]
        owner, items = ragged.owners(histories.offsets)[hidden], histories.items[hidden]
        order = np.lexsort((items, owner))
        owner, items = owner[order], items[order]
        first = np.ones(len(items), bool)
        first[1:] = (items[1:] != items[:-1]) | (owner[1:] != owner[:-1])
        lengths: Array = np.bincount(owner[first], minlength=len(histories))
        return Allowed(self.mask, ragged.offsets_of(lengths), items[first])
