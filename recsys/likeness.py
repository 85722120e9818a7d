"""How alike items are, by what the catalogue has of them."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.settings import nearest
from recsys.final_settings import Diversity
from recsys.ranking.diversity import pairwise_cosines, shared_labels


@dataclass(frozen=True)
class Likeness:
    """By vectors, or by categories where there are none."""

    vectors: Floats | None  # (items, d)
    codes: Rows  # (c, items)

    @classmethod
    def of(cls, settings: Diversity, catalog: Catalog) -> "Likeness | None":
        """None without diversity; raises SettingsError where there is nothing to go by."""
        if not settings.is_on:
            return None
        on, codes = settings.on, list(catalog.categories().values())
        if on == "auto":
            on = "text" if "text" in catalog.vectors else "categories"
        if on in catalog.vectors:
            return cls(catalog.vectors[on], np.zeros((0, len(catalog)), np.int32))
        if on != "categories":
            raise SettingsError(
                f"final.diversity.on must name vectors of the catalogue or 'categories'; "
                f"got {on!r}: {nearest(on, [*catalog.vectors, 'categories'])}"
            )
        if not codes:
            raise SettingsError(
                "final.diversity needs vectors of text or categories; the catalogue has neither"
            )
        return cls(None, np.stack(codes))

    def similarity(self, items: Rows) -> Floats:
        """(b, p, p) of the items (b, p) of each list."""
        if self.vectors is not None:
            return pairwise_cosines(self.vectors, items)
        return shared_labels(self.codes, items)
