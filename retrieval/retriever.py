"""The role of a source of candidates, and what some sources can do besides."""

from pathlib import Path
from typing import ClassVar, Protocol, Self, TypeGuard

from recsys.features.arrays import Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, Sizes
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates


class Retriever(Protocol):
    """Finds items for histories. Thread-safe after `fit`; nothing it is given is edited."""

    reason: ClassVar[str]
    """Why it offers an item, in words; `{item}` stands for the past item that leads to it."""

    name: str

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn from the log and the catalogue; whatever was learnt before is forgotten."""
        ...

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The best `k` allowed items of each history, (b, k); PAD where it has nothing to say."""
        ...

    def score(self, histories: Histories, items: Rows) -> Floats:
        """The scores (b, w) of given items (b, w), those that `retrieve` sorts by.

        0 where it knows nothing of the pair; PAD items score 0.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write all that was learnt into an existing folder, without pickle."""
        ...

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        """Read what `save` of an equal-made retriever wrote, of so many users, items and events.

        Raises ArtifactError where that is damaged or of other sizes.
        """
        ...


class LinkingRetriever(Retriever, Protocol):
    """A source that can say, besides, how strongly one item leads to another."""

    def links(self, sources: Rows, targets: Rows) -> Floats:
        """Strength from each past item (b, l) to each target (b, w), as (b, w, l); 0 for PAD."""
        ...

    def similar(self, items: Rows, k: int, allowed: Allowed) -> Candidates:
        """The `k` items that each item (b,) leads to most strongly."""
        ...


class LikeningRetriever(Retriever, Protocol):
    """A source that learnt a vector for each item."""

    def likeness(self, sources: Rows, targets: Rows) -> Floats:
        """Cosine of each past item (b, l) with each target (b, w), as (b, w, l); 0 for PAD, and of
        an item of which nothing was learnt.
        """
        ...


class ExplainingRetriever(Retriever, Protocol):
    """A source whose scores are sums over the events of a history."""

    def contributions(self, histories: Histories, items: Rows) -> Floats:
        """What each event adds to the scores of its history's items (b, w), as (n, w).

        `n` are the events of all histories in their order. Those of one history sum to `score`;
        what an item adds that a history has several times is split between its events.
        """
        ...


class ResumingRetriever(Retriever, Protocol):
    """A source that need not begin anew where the log has grown."""

    def refit(self, interactions: Interactions, catalog: Catalog, before: Self) -> Self:
        """As `fit`, from what `before` learnt of an older log that this one contains.

        `before` stays as it is.
        """
        ...


def resumes(retriever: Retriever) -> TypeGuard[ResumingRetriever]:
    """Whether a source can go on from what it learnt of an older log."""
    return hasattr(retriever, "refit")


def links_items(retriever: Retriever) -> TypeGuard[LinkingRetriever]:
    """Whether a source links items."""
    return hasattr(retriever, "links") and hasattr(retriever, "similar")


def likens_items(retriever: Retriever) -> TypeGuard[LikeningRetriever]:
    """Whether a source says how alike items are."""
    return hasattr(retriever, "likeness")


def explains_scores(retriever: Retriever) -> TypeGuard[ExplainingRetriever]:
    """Whether a source can say what each event adds to a score."""
    return hasattr(retriever, "contributions")
