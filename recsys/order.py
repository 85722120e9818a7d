"""Candidates of some queries in an order, with what put each where it is."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.retrieval.candidates import Candidates


@dataclass(frozen=True)
class Order:
    """Nothing is cut off yet."""

    candidates: Candidates  # (b, w)
    logits: Floats  # (b, w) -inf where PAD, and where nobody gave a score
    trail: Array  # (b, w) int64, a bit for each rule

    @classmethod
    def of(cls, candidates: Candidates, logits: Floats) -> "Order":
        """The candidates as they came, by nobody's rule."""
        return cls(candidates, logits, np.zeros(logits.shape, np.int64))

    @property
    def items(self) -> Rows:
        """(b, w) PAD where there is nothing."""
        return self.candidates.items

    def best_first(self) -> Array:
        """Places (b, w) from the best to the worst, then what has no score, then PAD."""
        least = np.finfo(np.float32).min
        known = np.where(self.candidates.filled, np.maximum(self.logits, least), -np.inf)
        return np.argsort(-known, axis=1, kind="stable")

    def at(self, places: Array) -> "Order":
        """The same in another order, places (b, w)."""
        return Order(
            self.candidates.at(places),
            np.take_along_axis(self.logits, places, axis=1),
            np.take_along_axis(self.trail, places, axis=1),
        )

    def marked(self, rule: int, mask: Mask) -> "Order":
        """The same with a rule in the trail of what `mask` (b, w) holds of."""
        return Order(self.candidates, self.logits, self.trail | np.where(mask, 1 << rule, 0))

    def put(self, rule: int, mask: Mask) -> "Order":
        """The same with nothing else in the trail of what `mask` holds of: this alone put it."""
        return Order(self.candidates, self.logits, np.where(mask, 1 << rule, self.trail))

    def holds(self, columns: Rows) -> Mask:
        """(b, w) which candidates stand at these columns (b, n), PAD for none."""
        held = np.zeros(self.logits.shape, bool)
        rows, places = np.nonzero(columns != PAD)
        held[rows, columns[rows, places]] = True
        return held

    def with_more(self, items: Rows) -> "Order":
        """The same with items (b, n) behind that no source offered and nobody gave a score."""
        own, none = self.candidates, (*items.shape, len(self.candidates.sources))
        candidates = Candidates(
            own.users,
            np.concatenate([own.items, items], axis=1),
            np.concatenate([own.scores, np.full(none, -np.inf, np.float32)], axis=1),
            np.concatenate([own.ranks, np.full(none, PAD, np.int32)], axis=1),
            own.sources,
        )
        logits = np.concatenate([self.logits, np.full(items.shape, -np.inf, np.float32)], axis=1)
        return Order(candidates, logits, np.pad(self.trail, [(0, 0), (0, items.shape[1])]))
