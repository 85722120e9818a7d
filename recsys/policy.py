"""What may be offered: stock, and what a user has had before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Mask, Offsets, Rows
from recsys.features.columns import UNNAMED, EventType
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.retrieval.allowed import Allowed


@dataclass(frozen=True)
class Policy:
    """Items that may be offered at all, and events after which an item is not offered again."""

    mask: Mask  # (items,) True where an item may be offered
    hides: Mask  # (events,) True where an event hides its item from that user
    whole: "Whole | None" = None  # where an event hides the whole product with its item

    @classmethod
    def of(
        cls,
        mask: Mask,
        names: tuple[str, ...],
        events: Mapping[str, EventType],
        products: Rows | None = None,
        rated: bool = False,
    ) -> "Policy":
        """`products` (items,) are those that items are variants of, PAD for an item of none. Of a
        log that is `rated`, a dislike may be a low rating, whatever the event was.

        Raises SettingsError where an event hides products and there are none.
        """
        hides = [not events.get(name, UNNAMED).offer_again for name in names]
        return cls(mask, np.array(hides, bool), Whole.of(names, events, products, rated))

    def without(self, items: Rows) -> "Policy":
        """The same with more items (n,) that nobody is offered."""
        mask = self.mask.copy()
        mask[items] = False
        return replace(self, mask=mask)

    def within(self, mask: Mask) -> "Policy":
        """The same with nothing offered that `mask` (items,) leaves out."""
        return replace(self, mask=self.mask & mask)

    def allowed(self, histories: Histories) -> Allowed:
        """What each history may be offered: nothing that it was to hide, and nothing disliked."""
        hidden = self.hides[histories.events] if histories.hides is None else histories.hides
        owner, items = ragged.owners(histories.offsets)[hidden], histories.items[hidden]
        dislikes = histories.dislikes
        if dislikes is not None and len(dislikes):
            owner = np.concatenate([owner, dislikes.owners])
            items = np.concatenate([items, dislikes.items])
        if self.whole is not None:
            more, of_product = self.whole.hidden(histories)
            owner, items = np.concatenate([owner, more]), np.concatenate([items, of_product])
        order = np.lexsort((items, owner))
        owner, items = owner[order], items[order]
        first = np.ones(len(items), bool)
        first[1:] = (items[1:] != items[:-1]) | (owner[1:] != owner[:-1])
        lengths: Array = np.bincount(owner[first], minlength=len(histories))
        return Allowed(self.mask, ragged.offsets_of(lengths), items[first])


@dataclass(frozen=True)
class Whole:
    """Events that hide all variants of a product, and which items these are."""

    by: Mask  # (events,) True where an event hides the product
    by_dislike: bool  # does a dislike? One by rating does where any event does
    products: Rows  # (items,) PAD for an item of none
    offsets: Offsets  # (products + 1,)
    items: Rows  # those of each product

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        events: Mapping[str, EventType],
        products: Rows | None,
        rated: bool = False,
    ) -> "Whole | None":
        """None where every event hides its item alone.

        A purchase that hides the product must not hide less for a bad rating; as a dislike is kept
        without its event, each hides the product then.
        """
        hiding = [name for name, event in events.items() if event.hides == "product"]
        if not hiding:
            return None
        if products is None:
            raise SettingsError(
                f"events.{hiding[0]}.hides = 'product' needs products; set catalog.variant, the "
                "column whose values they are"
            )
        order = np.argsort(products, kind="stable")
        order = order[products[order] != PAD].astype(np.int32)
        lengths = np.bincount(products[order], minlength=int(products.max(initial=PAD)) + 1)
        by = np.array([name in hiding for name in names], bool)
        no = rated or any(events[name].dislike for name in hiding)
        return cls(by, no, products, ragged.offsets_of(lengths), order)

    def hidden(self, histories: Histories) -> tuple[Array, Rows]:
        """(n,) the query, by position, and the item, of all that their products hide."""
        by = self.by[histories.events]
        owner, items = ragged.owners(histories.offsets)[by], histories.items[by]
        if self.by_dislike and histories.dislikes is not None:
            owner = np.concatenate([owner, histories.dislikes.owners])
            items = np.concatenate([items, histories.dislikes.items])
        offsets, flat = ragged.gather(self.offsets, self.products[items])
        return owner[ragged.owners(offsets)], self.items[flat]
