"""Candidates of some queries in an order, with what put each where it is."""

from dataclasses import dataclass, replace

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.ranked import Ranked
from recsys.retrieval.candidates import Candidates


@dataclass(frozen=True)
class Order:
    """Nothing is cut off yet."""

    candidates: Candidates  # (b, w)
    scores: Floats  # (b, w) -inf where PAD, and where nobody gave a score
    are_logits: Mask  # (b,) whether scores are logits of a softmax; all others are weights
    trail: Array  # (b, w) int64, a bit for each rule

    @classmethod
    def of(cls, scored: Ranked) -> "Order":
        """The candidates as they came, by nobody's rule."""
        filled, nobody = scored.candidates.filled, np.zeros(scored.scores.shape, np.int64)
        scores = np.where(filled, scored.scores, np.float32(-np.inf))
        return cls(scored.candidates, scores, scored.are_logits, nobody)

    @property
    def items(self) -> Rows:
        """(b, w) PAD where there is nothing."""
        return self.candidates.items

    @property
    def logits(self) -> Floats:
        """(b, w) scores on the scale of a softmax, on which a weight is its logarithm.

        -inf also where a weight is none: what is expected to bring nothing, or a loss.
        """
        are_logits = self.are_logits[:, None]
        weights = np.where(~are_logits & (self.scores > 0), self.scores, 1)
        logs = np.where(self.scores > 0, np.log(weights), np.float32(-np.inf))
        return np.where(are_logits, self.scores, logs)

    def best_first(self) -> Array:
        """Places (b, w) from the best to the worst, then what has no score, then PAD."""
        least = np.finfo(np.float32).min
        known = np.where(self.candidates.filled, np.maximum(self.scores, least), -np.inf)
        return self.candidates.best_first(known)

    def at(self, places: Array) -> "Order":
        """The same in another order, places (b, w)."""
        return replace(
            self,
            candidates=self.candidates.at(places),
            scores=np.take_along_axis(self.scores, places, axis=1),
            trail=np.take_along_axis(self.trail, places, axis=1),
        )

    def marked(self, rule: int, mask: Mask) -> "Order":
        """The same with a rule in the trail of what `mask` (b, w) holds of."""
        return replace(self, trail=self.trail | np.where(mask, 1 << rule, 0))

    def put(self, rule: int, mask: Mask) -> "Order":
        """The same with nothing else in the trail of what `mask` holds of: this alone put it."""
        return replace(self, trail=np.where(mask, 1 << rule, self.trail))

    def holds(self, columns: Rows) -> Mask:
        """(b, w) which candidates stand at these columns (b, n), PAD for none."""
        held = np.zeros(self.scores.shape, bool)
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
        scores = np.concatenate([self.scores, np.full(items.shape, -np.inf, np.float32)], axis=1)
        trail = np.pad(self.trail, [(0, 0), (0, items.shape[1])])
        return replace(self, candidates=candidates, scores=scores, trail=trail)
