"""The order of one block of queries, as the ranker or the final list has it."""

from dataclasses import dataclass

from recsys.features.arrays import Array, Floats, Mask
from recsys.retrieval.candidates import Candidates


@dataclass(frozen=True)
class Trail:
    """What the final stage did to the lists of one block."""

    rules: Array  # (b, k) int64: bit r is set where rule r of `Final.names` moved the item
    propensity: Floats  # (b, k) the probability of the item at its place, 1 unless drawn by lot
    unmet: Array  # (b,) int64: bit r is set where the candidates were too few for rule r
    held: Mask  # (b,) rules held candidates back


@dataclass(frozen=True)
class Ranked:
    """Candidates of one block of queries with the scores that order them."""

    candidates: Candidates  # (b, w) best first
    scores: Floats  # (b, w) what they are ordered by, -inf where PAD
    by_ranker: Mask  # (b,) False: fused by rank, as there was no ranker or nothing to go by
    failed: tuple[str, ...]  # sources that could not answer
    trail: Trail | None = None  # where settings ask anything of the final list
