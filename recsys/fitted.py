"""What an engine has learnt, and the one path from histories to ranked candidates."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import Floats, Mask
from recsys.features.histories import Histories
from recsys.ranking.neural import NeuralRanker, order
from recsys.ranking.pair_features import Knowledge, pair_features
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import PASSING, Sources

_log = logging.getLogger("recsys")

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

    def rank(
        self, histories: Histories, allowed: Allowed, k: int, least: int | None = None
    ) -> Ranked:
        """Both stages: at most `k` items for each history, from the candidates for `least`."""
        candidates, failed = self.candidates(histories, allowed, k if least is None else least)
        known = histories.lengths > 0
        if self.ranker is None or failed or not known.any():
            return _fused(candidates, k, failed)
        try:
            features, names = self.features(histories, candidates)
        except PASSING as error:
            _log.error("features failed and lists are fused by rank: %s", error)
            return _fused(candidates, k, ["one, while it gave scores"])
        scores = self.ranker.scores(features, names, candidates.filled)
        scores = np.where(known[:, None], scores, fused_scores(candidates))
        places = order(scores)[:, :k]
        top = np.take_along_axis(scores, places, axis=1)
        return Ranked(candidates.at(places), top, known, ())


def _fused(candidates: Candidates, k: int, failed: Sequence[str]) -> Ranked:
    """The order of the union, where there is no ranker to ask."""
    nobody = np.zeros(len(candidates), bool)
    return Ranked(candidates.top(k), fused_scores(candidates)[:, :k], nobody, tuple(failed))


def fused_scores(candidates: Candidates) -> Floats:
    """(b, w) 1 / (1 + place), -inf where PAD: an order to read, not a probability."""
    places = np.arange(candidates.items.shape[1], dtype=np.float32)
    return np.where(candidates.filled, 1 / (1 + places), np.float32(-np.inf))


def block_size(items: int) -> int:
    """Queries of one block: set by the catalogue, never by the number of users."""
    return max(1, min(MOST_QUERIES, BLOCK_CELLS // max(1, items)))
