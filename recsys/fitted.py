"""What an engine has learnt, and the one path from histories to ranked candidates."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import TrainingError
from recsys.features.histories import Histories
from recsys.final import Final
from recsys.ranked import Ranked
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.pair_features import Knowledge, feature_names, pair_features
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.deeper import lengthened
from recsys.retrieval.fusion import Fusion
from recsys.retrieval.sources import PASSING, Sources
from recsys.retrieval.variants import Variants

TWO_STAGE, FUSED = "two-stage", "fused"
"""What the list of both stages and that of all sources are called."""

_log = logging.getLogger("recsys")

BLOCK_CELLS = 64_000_000
"""Queries x items that one block may span: it bounds the memory of a source with dense scores."""

MOST_QUERIES = 128
"""Queries of one block at the most: it bounds the memory of features."""


@dataclass(frozen=True)
class Fitted:
    """Sources, item statistics and ranker that belong together."""

    sources: Sources
    knowledge: Knowledge
    ranker: NeuralRanker | None
    variants: Variants | None = None  # where a list shows one of each product
    final: Final | None = None  # where settings ask anything of the final list
    leader: str | None = None  # whose order is served as the ranker's was worse: a source, or FUSED

    def candidates(
        self, histories: Histories, allowed: Allowed, k: int = 0
    ) -> tuple[Candidates, list[str]]:
        """Stage one: the union of all sources in fused order, and the sources that failed.

        They are the same for every `k`, but that more stand behind where they are too few for it.
        """
        candidates, failed = self.sources.retrieve(histories, allowed)
        return self.lengthened(candidates, histories, allowed, k), failed

    def lengthened(
        self, candidates: Candidates, histories: Histories, allowed: Allowed, k: int
    ) -> Candidates:
        """The union with candidates from beyond the depths behind, where `k` needs them."""
        return lengthened(self.sources, self.variants, candidates, histories, allowed, k)

    def available(self, allowed: Allowed) -> Array:
        """(b,) how long each list can be at the most."""
        if self.variants is None:
            return allowed.available()
        return self.variants.available(allowed)

    def features(
        self, histories: Histories, candidates: Candidates
    ) -> tuple[Floats, tuple[str, ...]]:
        """What stage two reads: (b, w, f) and the names (f,).

        Those of each tier as if none came after it: whatever a later one adds, they stay the same.
        """
        tiers = candidates.tiers
        if tiers is None:
            return pair_features(histories, candidates, self.knowledge)
        shape, names = candidates.items.shape, feature_names(self.knowledge)
        features = np.zeros((*shape, len(names)), np.float32)
        for tier in np.unique(tiers[candidates.filled]):
            width = int((tiers <= tier).sum(axis=1).max())
            upto = candidates.where(tiers <= tier).top(width)
            own, names = pair_features(histories, upto, self.knowledge)
            own_places = tiers[:, :width] == tier
            features[:, :width][own_places] = own[own_places]
        return features, names

    def rank(
        self,
        histories: Histories,
        allowed: Allowed,
        k: int,
        least: int | None = None,
        keys: Array | None = None,
    ) -> Ranked:
        """Both stages: at most `k` items for each history, from the candidates for `least`.

        `keys` (b,) are what lots hang on; without them no place is given by lot.
        """
        candidates, failed = self.candidates(histories, allowed, k if least is None else least)
        return self.listed(histories, allowed, candidates, failed, k, keys=keys)

    def listed(
        self,
        histories: Histories,
        allowed: Allowed,
        candidates: Candidates,
        failed: Sequence[str],
        k: int,
        longest: int = 0,
        keys: Array | None = None,
        worth: Floats | None = None,
        pairs: "Pairs | None" = None,
    ) -> Ranked:
        """Stage two and the rules of the final list, which are kept within the first `k`.

        With a `longest` above `k` other candidates follow, to that length; `worth` and `pairs` are
        those of `ordered`.
        """
        if self.final is None:
            return self.ordered(histories, candidates, failed, max(k, longest), worth, pairs)
        scored = self.scored(histories, candidates, failed, worth, pairs)
        return self.final.arranged(scored, allowed, k, longest, keys)

    def ordered(
        self,
        histories: Histories,
        candidates: Candidates,
        failed: Sequence[str],
        k: int,
        worth: Floats | None = None,
        pairs: "Pairs | None" = None,
    ) -> Ranked:
        """Stage two: at most `k` of the candidates; `failed` are sources that offered none.

        With what each item is worth (items,) they are ordered by expected worth: that times the
        probability of the strongest event that the ranker foretells. NaN is worth nothing. `pairs`
        are these candidates, for whoever asks for their probabilities too.
        """
        scored = self.scored(histories, candidates, failed, worth, pairs)
        if not scored.by_ranker.any():
            return self._first(scored, k)
        places = candidates.best_first(scored.scores)
        top = np.take_along_axis(scored.scores, places, axis=1)
        if self.variants is None:
            return replace(scored, candidates=candidates.at(places[:, :k]), scores=top[:, :k])
        once, left = _once(self.variants, candidates.at(places), top, k)
        return replace(scored, candidates=once, scores=left)

    def scored(
        self,
        histories: Histories,
        candidates: Candidates,
        failed: Sequence[str],
        worth: Floats | None = None,
        pairs: "Pairs | None" = None,
    ) -> Ranked:
        """The candidates with what stage two orders them by.

        They stand as they came where scores are the ranker's, and the best first by other scores,
        which are weights and no logits.
        """
        known = histories.lengths > 0
        if self.leader is not None and not failed and worth is None:
            return _unranked(self.led(candidates, self.leader), ())
        if self.ranker is None or failed or not known.any():
            return _unranked(candidates, failed)
        pairs = pairs or self.pairs(histories, candidates)
        try:
            features, names = pairs.features
        except PASSING as error:
            _log.error("features failed and lists are fused by rank: %s", error)
            return _unranked(candidates, ["one, while it gave scores"])
        if worth is not None:
            expected = _expected(pairs.probabilities[..., -1], worth[candidates.items])
            return _valued(candidates, expected, known)
        scores = self.ranker.scores(features, names, candidates.filled)
        scores = np.where(known[:, None], scores, fused_scores(candidates))
        return Ranked(candidates, scores, known, (), weighed=bool(self.ranker.event_weights))

    def pairs(self, histories: Histories, candidates: Candidates) -> "Pairs":
        """The candidates of stage one for stage two, which has read nothing of them yet."""
        return Pairs(self, histories, candidates)

    def probabilities(self, pairs: "Pairs", ranked: Ranked) -> Floats:
        """(b, k, h) of each event that the ranker foretells, of each item of the final lists.

        `pairs` are all that they were taken from. NaN where nothing is known of a user, where a
        source failed, where a list is short, and of an item that was pinned and no candidate.
        Raises TrainingError without a ranker.
        """
        if self.ranker is None:
            raise TrainingError("without a ranker there are no probabilities")
        final, candidates = ranked.candidates, pairs.candidates
        unknown = np.full((*final.items.shape, len(self.ranker.events_)), np.nan, np.float32)
        known = pairs.histories.lengths > 0
        if ranked.failed or not known.any():
            return unknown
        try:
            every = pairs.probabilities
        except PASSING:  # said where the lists were made
            return unknown
        places = _places(candidates.items, final.items)
        own = np.take_along_axis(every, np.maximum(places, 0)[:, :, None], axis=1)
        told = known[:, None] & final.filled & (places != PAD)
        return np.where(told[:, :, None], own, unknown)

    def led(self, candidates: Candidates, leader: str) -> Candidates:
        """The candidates in the order of a source, the rest in fused order behind it."""
        return candidates if leader == FUSED else candidates.led_by(leader)

    def fused(self, candidates: Candidates, k: int, failed: Sequence[str] = ()) -> Ranked:
        """Stage one alone: at most `k` of the candidates, in the order of the union."""
        return self._first(_unranked(candidates, failed), k)

    def _first(self, fused: Ranked, k: int) -> Ranked:
        top, scores = fused.candidates, fused.scores
        if self.variants is not None:
            top, scores = _once(self.variants, top, scores, k)
        return replace(fused, candidates=top.top(k), scores=scores[:, :k])


@dataclass(frozen=True)
class Pairs:
    """Candidates of one block, and what stage two reads of them: made once, when it is asked for.

    It is held for as long as these are. One thread asks; a cached_property would make blocks that
    other threads work on wait for one another, by the one lock that Python 3.11 has for all of it.
    """

    fitted: Fitted
    histories: Histories  # (b)
    candidates: Candidates  # (b, w)
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def features(self) -> tuple[Floats, tuple[str, ...]]:
        """(b, w, f) and the names (f,)."""
        if "features" not in self._made:
            self._made["features"] = self.fitted.features(self.histories, self.candidates)
        features: tuple[Floats, tuple[str, ...]] = self._made["features"]
        return features

    @property
    def probabilities(self) -> Floats:
        """(b, w, h) of each event that the ranker foretells; raises TrainingError without one."""
        ranker = self.fitted.ranker
        if ranker is None:
            raise TrainingError("without a ranker there are no probabilities")
        if "probabilities" not in self._made:
            own = ranker.probabilities(*self.features, self.candidates.filled)
            self._made["probabilities"] = own
        probabilities: Floats = self._made["probabilities"]
        return probabilities


def _unranked(candidates: Candidates, failed: Sequence[str]) -> Ranked:
    """The candidates in the order of the union."""
    nobody = np.zeros(len(candidates), bool)
    return Ranked(candidates, fused_scores(candidates), nobody, tuple(failed))


def _places(items: Rows, wanted: Rows) -> Array:
    """(b, k) where each of the wanted items (b, k) stands among others (b, w); PAD if nowhere."""
    orders = np.argsort(items, axis=1)
    found = np.full(wanted.shape, PAD)
    for row, order_ in enumerate(orders):
        place = np.searchsorted(items[row], wanted[row], sorter=order_)
        nearest = order_[np.minimum(place, len(order_) - 1)]
        found[row] = np.where(items[row, nearest] == wanted[row], nearest, PAD)
    return found


def _valued(candidates: Candidates, expected: Floats, known: Mask) -> Ranked:
    """The candidates by what they are expected to bring; in fused order for who is not known."""
    scores = np.where(known[:, None], expected, fused_scores(candidates))
    places = candidates.best_first(scores)
    nobody = np.zeros(len(candidates), bool)
    return Ranked(candidates.at(places), np.take_along_axis(scores, places, axis=1), nobody, ())


def _expected(probabilities: Floats, worth: Floats) -> Floats:
    """(b, w) what items are expected to bring; -inf where a probability is NaN."""
    expected = probabilities * np.where(np.isfinite(worth), worth, np.float32(0))
    return np.where(np.isfinite(probabilities), expected, np.float32(-np.inf))


def _once(
    variants: Variants, ordered: Candidates, scores: Floats, k: int
) -> tuple[Candidates, Floats]:
    """The first `k` of lists, best first, without second variants of a product."""
    kept = variants.first_of_each(ordered.items)
    places = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(kept, places, axis=1)
    left = np.where(kept, np.take_along_axis(scores, places, axis=1), np.float32(-np.inf))
    return ordered.at(places).where(kept), left


def shown_once(catalog: Catalog, fusion: Fusion) -> Variants | None:
    """The variants of which a list shows one; None where it may show all."""
    return Variants.of(catalog.variants()) if fusion.variants == "once" else None


def fused_scores(candidates: Candidates) -> Floats:
    """(b, w) 1 / (1 + place), -inf where PAD: an order to read, not a probability."""
    places = np.arange(candidates.items.shape[1], dtype=np.float32)
    return np.where(candidates.filled, 1 / (1 + places), np.float32(-np.inf))


def block_size(items: int) -> int:
    """Queries of one block: set by the catalogue, never by the number of users."""
    return max(1, min(MOST_QUERIES, BLOCK_CELLS // max(1, items)))
