"""Items offered to each user, with what each source thought of them."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows


@dataclass(frozen=True, slots=True)
class Candidates:
    """A list of items per query; the best first, short lists end in PAD / -inf."""

    users: Rows  # (b,) PAD for an anonymous session
    items: Rows  # (b, w) distinct within a list
    scores: Floats  # (b, w, s) -inf where a source did not offer the item
    ranks: Rows  # (b, w, s) 0 is the best; PAD where a source did not offer the item
    sources: tuple[str, ...]  # (s,) names
    tiers: Rows | None = None  # (b, w) the lower come first, whatever scores say; None: one tier

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of_one(cls, users: Rows, items: Rows, scores: Floats, source: str) -> "Candidates":
        """The sorted lists (b, w) of one source; PAD where a list is short."""
        ranks = np.where(items == PAD, PAD, np.arange(items.shape[1])).astype(np.int32)
        return cls(users, items, scores[:, :, None], ranks[:, :, None], (source,))

    @property
    def filled(self) -> Mask:
        """(b, w) True where there is an item."""
        filled: Mask = self.items != PAD
        return filled

    def laid_out(self) -> "Candidates":
        """The same, each array in one piece: a kernel is compiled anew for a view of another."""
        return Candidates(
            self.users,
            np.ascontiguousarray(self.items),
            np.ascontiguousarray(self.scores),
            np.ascontiguousarray(self.ranks),
            self.sources,
            self.tiers,
        )

    def take(self, queries: Array) -> "Candidates":
        """Some of the queries, by position."""
        return Candidates(
            self.users[queries],
            self.items[queries],
            self.scores[queries],
            self.ranks[queries],
            self.sources,
            None if self.tiers is None else self.tiers[queries],
        )

    def at(self, places: Array) -> "Candidates":
        """The candidates at given places (b, k) of each list."""
        rows = np.arange(len(self))[:, None]
        return Candidates(
            self.users,
            self.items[rows, places],
            self.scores[rows, places],
            self.ranks[rows, places],
            self.sources,
            None if self.tiers is None else self.tiers[rows, places],
        )

    def best_first(self, scores: Floats) -> Array:
        """Places (b, w) by scores (b, w) within each tier; equals keep their order."""
        if self.tiers is None:
            return np.argsort(-scores, axis=1, kind="stable")
        return np.lexsort((-scores, self.tiers), axis=1)

    def led_by(self, source: str) -> "Candidates":
        """What a source offers comes first in its tier; the rest follows as it was."""
        ranks = self.ranks[:, :, self.sources.index(source)].astype(np.int64)
        last = np.iinfo(np.int32).max
        return self.at(self.best_first(-np.where(ranks == PAD, last, ranks)))

    def where(self, kept: Mask) -> "Candidates":
        """The same lists with nothing where `kept` (b, w) is False."""
        return Candidates(
            self.users,
            np.where(kept, self.items, np.int32(PAD)),
            np.where(kept[:, :, None], self.scores, np.float32(-np.inf)),
            np.where(kept[:, :, None], self.ranks, np.int32(PAD)),
            self.sources,
            self.tiers,
        )

    def top(self, k: int) -> "Candidates":
        """The first `k` of each list."""
        return Candidates(
            self.users,
            self.items[:, :k],
            self.scores[:, :k],
            self.ranks[:, :k],
            self.sources,
            None if self.tiers is None else self.tiers[:, :k],
        )
