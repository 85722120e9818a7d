"""What an engine has learnt, and the one path from histories to ranked candidates."""

from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import Floats, Mask
from recsys.features.histories import Histories
from recsys.ranking.neural import NeuralRanker, order
from recsys.ranking.pair_features import Knowledge, pair_features
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import Sources

BLOCK_CELLS = 8_000_000
"""Queries x items that one block may span: it bounds the memory of dense scores (32 MB)."""

MOST_QUERIES = 128
"""Queries of one block at the most: it bounds the memory of features."""


@dataclass(frozen=True)
class Ranked:
    """The final order of one block of queries."""

    candidates: Candidates  # (b, w) best first
    scores: Floats  # (b, w) what they are ordered by, -inf where PAD
    by_ranker: Mask  # (b,) False: fused by rank, as there was no ranker or nothing to go by
    failed: tuple[str, ...]  # sources that could not answer


@dataclass(frozen=True)
class Fitted:
    """Sources, item statistics and ranker that belong together."""

    sources: Sources
    knowledge: Knowledge
    ranker: NeuralRanker | None

    def candidates(
        self, histories: Histories, allowed: Allowed, least: int = 0
    ) -> tuple[Candidates, list[str]]:
        """Stage one: the union of all sources in fused order, and the sources that failed."""
        return self.sources.retrieve(histories, allowed, least)

    def features(
        self, histories: Histories, candidates: Candidates
    ) -> tuple[Floats, tuple[str, ...]]:
        """What stage two reads: (b, w, f) and the names (f,)."""
        return pair_features(histories, candidates, self.knowledge)

    def rank(self, histories: Histories, allowed: Allowed, k: int) -> Ranked:
        """Both stages: at most `k` items for each history."""
        candidates, failed = self.candidates(histories, allowed, k)
        fused = np.where(candidates.filled, fused_scores(candidates), np.float32(-np.inf))
        known = histories.lengths > 0
        if self.ranker is None or failed or not known.any():
            nobody = np.zeros(len(histories), bool)
            return Ranked(candidates.top(k), fused[:, :k], nobody, tuple(failed))
        features, names = self.features(histories, candidates)
        scores = self.ranker.scores(features, names, candidates.filled)
        scores = np.where(known[:, None], scores, fused)
        places = order(scores)[:, :k]
        return Ranked(candidates.at(places), np.take_along_axis(scores, places, axis=1), known, ())


def fused_scores(candidates: Candidates) -> Floats:
    """(b, w) 1 / (1 + place): an order to read, not a probability."""
    places = np.arange(candidates.items.shape[1], dtype=np.float32)
    return np.broadcast_to(1 / (1 + places), candidates.items.shape)


def block_size(items: int) -> int:
    """Queries of one block: set by the catalogue, never by the number of users."""
    return max(1, min(MOST_QUERIES, BLOCK_CELLS // max(1, items)))
