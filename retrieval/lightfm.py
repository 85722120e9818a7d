"""Hybrid matrix factorization by the WARP loss: items as sums of their features, by LightFM."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recsys.features.arrays import PAD, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, MissingDependency, SettingsError, TrainingError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, Sizes
from recsys.features.settings import check_at_most
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.folding import DIVERGED, FactorSpace, happened


@dataclass
class LightFm:
    """LightFM (Kula 2015): an item is the mean of the embeddings of its id, categories and tags.

    An item without events has a place by its features alone. Histories know no attributes of users,
    so a user is an id while it learns; a history is folded in as in `Bpr`. One thread, as several
    write over one another. Needs the extra `lightfm`.
    """

    reason: ClassVar[str] = "preferred by people of similar taste"

    name: str = "lightfm"
    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.0
    epochs: int = 20
    most_tries: int = 10  # negatives drawn per positive before it is let go
    least_items: int = 2  # items with events that a category or tag needs to be a feature
    seed: int = 0
    device: str = "auto"
    _space: FactorSpace = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(
            self,
            factors=4_096,
            learning_rate=1e30,
            regularization=1e3,
            epochs=10_000,
            most_tries=1_000,
            least_items=10_000,
        )
        for name in ("factors", "learning_rate", "epochs", "most_tries", "least_items"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0; got {getattr(self, name)}")
        if not self.regularization >= 0:
            raise SettingsError(f"regularization must be 0 or more; got {self.regularization}")

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn; raises DataError of an empty log, TrainingError where the factors diverge."""
        model = self._model()
        if not len(interactions):
            raise DataError(f"the source {self.name!r} needs events; the log has none")
        had, pairs = interactions.item_counts > 0, happened(interactions)
        features = item_features(catalog, had, self.least_items)
        try:
            # WARP draws its negatives from all rows of the features: those that nobody had are
            # left out, or their features would learn that nobody wants them.
            model.fit(
                pairs[:, had].tocoo(), item_features=features[had], epochs=self.epochs,
                num_threads=1,
            )  # fmt: skip
        except ValueError:  # it looks at its own numbers after every epoch
            raise TrainingError(DIVERGED.format(self.name)) from None
        embeddings = np.column_stack([model.item_embeddings, model.item_biases])
        self._space = FactorSpace.learnt(
            np.asarray(features @ embeddings), model.user_embeddings, pairs, self.device, self.name
        )
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        return self._space.retrieve(histories, k, allowed, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        return self._space.score(histories, items)

    def save(self, folder: Path) -> None:
        self._space.save(folder / "lightfm.npz")

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        self._space = FactorSpace.load(folder / "lightfm.npz", self.device, sizes)
        return self

    def _model(self) -> Any:
        try:
            from lightfm import LightFM
        except ModuleNotFoundError:
            raise MissingDependency(
                f"the source {self.name!r} needs LightFM: pip install 'recsys[lightfm]' "
                "(it is compiled, so a C compiler must be there)"
            ) from None
        return LightFM(
            no_components=self.factors,
            loss="warp",
            learning_rate=self.learning_rate,
            item_alpha=self.regularization,
            user_alpha=self.regularization,
            max_sampled=self.most_tries,
            random_state=self.seed,
        )


def item_features(catalog: Catalog, had: Mask, least: int) -> sp.csr_matrix:
    """(items, features) rows that sum to 1: ids of the items that somebody had, categories, tags.

    A category or tag that fewer than `least` of those items have is left out; the row of an item of
    which nothing is left is empty.
    """
    rows = np.flatnonzero(had)
    ones = np.ones(len(rows), np.float32)
    ids = sp.csr_matrix((ones, (rows, np.arange(len(rows)))), (len(had), len(rows)))
    blocks = [ids, *_described(catalog)]
    features = sp.hstack(blocks, format="csr", dtype=np.float32)
    common = np.bincount(features[had].indices, minlength=features.shape[1]) >= least
    common[: len(rows)] = True
    features = features[:, common]
    lengths = np.diff(features.indptr)
    features.data = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    return features


def _described(catalog: Catalog) -> list[sp.csr_matrix]:
    """A matrix (items, codes) per column of categories and of tags."""
    listed = []
    for codes in catalog.categories().values():
        listed.append((np.flatnonzero(codes != PAD), codes[codes != PAD]))
    for offsets, codes, _ in catalog.tags().values():
        listed.append((np.repeat(np.arange(len(catalog)), np.diff(offsets)), codes))
    shapes = [(len(catalog), int(codes.max(initial=PAD)) + 1) for _, codes in listed]
    return [
        sp.csr_matrix((np.ones(len(codes), np.float32), (rows, codes)), shape)
        for (rows, codes), shape in zip(listed, shapes, strict=True)
    ]
