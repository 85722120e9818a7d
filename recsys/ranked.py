"""The order of one block of queries, as the ranker or the final list has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.retrieval.candidates import Candidates


@dataclass(frozen=True)
class Trail:
    """What the final stage did to the lists of one block."""

    rules: Array  # (b, k) int64: bit r is set where rule r of `Final.names` moved the item
    propensity: Floats  # (b, k) the probability of the item at its place, 1 unless drawn by lot
    unmet: Array  # (b,) int64: bit r is set where the candidates were too few for rule r
    held: Mask  # (b,) a cap held candidates back
    held_by: Rows  # (b, k) the rule of the cap that held the item back, PAD where none did

    def wide(self, k: int) -> "Trail":
        """The same for lists that end in PAD, of `k` places."""
        more = [(0, 0), (0, k - self.rules.shape[1])]
        return Trail(
            np.pad(self.rules, more),
            np.pad(self.propensity, more, constant_values=1),
            self.unmet,
            self.held,
            np.pad(self.held_by, more, constant_values=PAD),
        )

    @classmethod
    def joined(cls, parts: Sequence["Trail"]) -> "Trail | None":
        """Those of several blocks as one; None of none."""
        if not parts:
            return None
        return cls(
            np.concatenate([part.rules for part in parts]),
            np.concatenate([part.propensity for part in parts]),
            np.concatenate([part.unmet for part in parts]),
            np.concatenate([part.held for part in parts]),
            np.concatenate([part.held_by for part in parts]),
        )


@dataclass(frozen=True)
class Ranked:
    """Candidates of one block of queries with the scores that order them."""

    candidates: Candidates  # (b, w) best first
    scores: Floats  # (b, w) what they are ordered by, -inf where PAD
    by_ranker: Mask  # (b,) False: fused by rank, as there was no ranker or nothing to go by
    failed: tuple[str, ...]  # sources that could not answer
    trail: Trail | None = None  # where settings ask anything of the final list
    weighed: bool = False  # the ranker's scores are weights, no logits

    @property
    def are_logits(self) -> Mask:
        """(b,) whether scores are logits of a softmax; all others are weights."""
        return self.by_ranker & (not self.weighed)
