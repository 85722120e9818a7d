"""How the lists of several sources become one: its order, and what is kept of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from recsys.features.arrays import PAD, Array
from recsys.features.errors import SettingsError
from recsys.features.settings import check_at_most
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.mixture import Mixture
from recsys.retrieval.union import OFFSET, reciprocal, union


@dataclass(frozen=True)
class Fusion:
    """The order of the union, and its cut.

    "reciprocal" adds up weight / (offset + 1 + rank) over the sources that offer an item; "learned"
    takes what a rank is worth from the training lists (see `Mixture`), at the price of one more fit
    of all sources. `quotas` are the least items of a source among the `first` of the union, or
    within its `width`; a source that offers fewer gives all of them.
    """

    order: Literal["reciprocal", "learned"] = "reciprocal"
    offset: float = OFFSET
    weights: Mapping[str, float] = field(default_factory=dict)  # by source; 1 by default
    quotas: Mapping[str, int] = field(default_factory=dict)  # by source
    first: int = 0  # how many places the quotas are kept within; 0: as many as `width`
    width: int = 0  # items kept of the union; 0: all
    variants: Literal["once", "all"] = "once"  # of a product in the final list

    def __post_init__(self) -> None:
        check_at_most(self, offset=1e9, first=100_000, width=100_000)
        if not self.offset >= 0:
            raise SettingsError(f"fusion.offset must be 0 or more; got {self.offset}")
        for name in ("first", "width"):
            if getattr(self, name) < 0:
                raise SettingsError(f"fusion.{name} must be 0 or more; got {getattr(self, name)}")
        for table in ("weights", "quotas"):
            for source, value in getattr(self, table).items():
                if not 0 <= value < np.inf:
                    raise SettingsError(
                        f"fusion.{table}.{source} must be finite and 0 or more; got {value}"
                    )
        if self.order == "learned" and self.weights:
            raise SettingsError("fusion.weights are for the order 'reciprocal'; got 'learned'")
        self._check_quotas()

    def _check_quotas(self) -> None:
        wanted = sum(self.quotas.values())
        if self.width and self.first > self.width:
            raise SettingsError(
                f"fusion.first must be within the width; got {self.first} of {self.width}"
            )
        if wanted and not self.places:
            raise SettingsError("fusion.quotas need fusion.first or fusion.width")
        if wanted > self.places:
            raise SettingsError(
                f"fusion.quotas must fit into {self.places} places; they sum to {wanted}"
            )

    @property
    def places(self) -> int:
        """Within how many places the quotas are kept; 0 for no such limit."""
        return self.first or self.width

    @property
    def sources(self) -> set[str]:
        """All sources that are named."""
        return {*self.weights, *self.quotas}

    def cut(self, merged: Candidates) -> Candidates:
        """Of a union its first `width`."""
        return merged.top(self.width) if self.width else merged

    def merged(self, lists: Sequence[Candidates], mixture: Mixture | None = None) -> Candidates:
        """The union of the lists of several sources for the same queries, cut; as `union`."""
        return self.cut(self.united(lists, mixture))

    def united(self, lists: Sequence[Candidates], mixture: Mixture | None = None) -> Candidates:
        """The same before anything is cut off."""
        worths = [self._worth(each.sources[0], each.items.shape[1], mixture) for each in lists]
        merged = union(lists, worths)
        return self._with_quotas(merged) if any(self.quotas.values()) else merged

    def _worth(self, name: str, depth: int, mixture: Mixture | None) -> Array:
        if self.order == "learned" and mixture is not None:
            return mixture.worth(name, depth)
        worth = reciprocal(depth, self.offset)
        return worth * self.weights[name] if name in self.weights else worth

    def _with_quotas(self, merged: Candidates) -> Candidates:
        """The best of each source with a quota among the first places, the rest in fused order."""
        held = np.zeros(merged.items.shape, bool)
        for source, least in self.quotas.items():
            if source in merged.sources:
                offered = merged.ranks[:, :, merged.sources.index(source)] != PAD
                held |= offered & (np.cumsum(offered, axis=1) <= least)
        free = self.places - held.sum(axis=1, keepdims=True)
        others = merged.filled & ~held
        held |= others & (np.cumsum(others, axis=1) <= free)
        return merged.at(np.argsort(~held, axis=1, kind="stable"))
