"""A fitted ranker made smaller or faster, and the gate that refuses what loses too much by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.features.arrays import Array, Floats
from recsys.features.errors import QualityError, SettingsError, TrainingError
from recsys.features.settings import nearest
from recsys.ranking.int8 import Int8Scorer
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.onnx_graph import OnnxScorer, onnx_graph
from recsys.ranking.scorers import NetworkScorer, Scorer, scored
from recsys.ranking.smaller import distilled, pruned
from recsys.ranking.training import held_out

K = 10
"""The length of the lists that the gate looks at."""


MOST_MEASURED = 100_000
"""Candidates whose features static steps of int8 are learnt from, at the most: a quantile of .999
has 100 of them beyond it."""


def _static(ranker: NeuralRanker, lists: TrainingLists) -> Int8Scorer:
    learnt, _ = held_out(lists, ranker)
    return Int8Scorer.of(ranker.network_, some_candidates(lists, learnt, ranker.seed))


def _dynamic(ranker: NeuralRanker, lists: TrainingLists) -> Int8Scorer:
    return Int8Scorer.of(ranker.network_)


def _onnx(ranker: NeuralRanker, lists: TrainingLists) -> OnnxScorer:
    return OnnxScorer(onnx_graph(ranker.network_))


@dataclass(frozen=True)
class Method:
    """How a scorer is made of a fitted ranker and its lists, and what reads it again."""

    make: Callable[[NeuralRanker, TrainingLists], Scorer]
    kind: type[Any]


METHODS: Mapping[str, Method] = {
    "int8": Method(_static, Int8Scorer),
    "int8-dynamic": Method(_dynamic, Int8Scorer),
    "pruned": Method(pruned, NetworkScorer),
    "distilled": Method(distilled, NetworkScorer),
    "onnx": Method(_onnx, OnnxScorer),
}


@dataclass(frozen=True)
class Compressed:
    """A scorer beside the ranker that it was made of: NDCG of both on lists that neither learnt."""

    method: str
    scorer: Scorer
    ndcg: float
    ndcg_before: float
    lists: int  # held out

    @property
    def loss(self) -> float:
        """The share of NDCG that is lost; below 0 where some is won."""
        return 1 - self.ndcg / self.ndcg_before if self.ndcg_before > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{self.method}: NDCG@{K} {self.ndcg:.4f} against {self.ndcg_before:.4f} of the full "
            f"ranker on {self.lists:,} held-out lists, a loss of {self.loss:.2%}"
        )


def compress(
    ranker: NeuralRanker, method: str, lists: TrainingLists, most_loss: float = 0.01
) -> Compressed:
    """The ranker compressed by one of METHODS; `lists` are those that it was fitted on.

    What learns (calibration, tuning, a student) learns from the lists that the ranker learnt from,
    and both are judged on those that it held out. Raises QualityError with both figures where more
    than `most_loss` of NDCG@10 is lost.
    """
    found = compressed(ranker, method, lists)
    if found.loss > most_loss:
        raise QualityError(f"{found}; at most {most_loss:.2%} may be lost")
    return found


def compressed(ranker: NeuralRanker, method: str, lists: TrainingLists) -> Compressed:
    """As `compress`, whatever is lost."""
    if method not in METHODS:
        raise SettingsError(f"unknown compression {method!r}; {nearest(method, METHODS)}")
    scorer = METHODS[method].make(ranker, lists)
    _, held = held_out(lists, ranker)
    features, labels, filled = lists.features[held], lists.labels[held], lists.filled[held]
    before, after = (
        ndcg(scored(each, features, filled), labels)
        for each in (NetworkScorer(ranker.network_), scorer)
    )
    return Compressed(method, scorer, after, before, len(held))


def some_candidates(lists: TrainingLists, places: Array, seed: int) -> Floats:
    """(n, f) the features of candidates of the lists at `places`: all, or MOST_MEASURED drawn.

    Raises TrainingError where there are none.
    """
    filled = np.flatnonzero(lists.filled[places])
    if not len(filled):
        raise TrainingError(
            f"int8 needs candidates to learn its steps from; got none in {len(places)} lists"
        )
    if len(filled) > MOST_MEASURED:
        drawn = np.random.default_rng(seed).choice(len(filled), MOST_MEASURED, replace=False)
        filled = filled[np.sort(drawn)]
    rows, columns = np.divmod(filled, lists.filled.shape[1])
    own = lists.take(places)
    parts = []
    for some in own.stretches():
        start, stop = np.searchsorted(rows, [some[0], some[-1] + 1])  # rows ascend
        parts.append(own.features[some][rows[start:stop] - some[0], columns[start:stop]])
    features: Floats = np.concatenate(parts)
    return features


def ndcg(scores: Floats, labels: Floats) -> float:
    """The mean NDCG@K of lists (n, w), binary, against the best order of the same candidates.

    Lists to learn from begin with what was chosen: of equal scores it comes last here, or a scorer
    that tells nothing apart would be the best.
    """
    chosen = labels > 0
    places = np.lexsort((chosen, -scores), axis=1)
    hits = np.take_along_axis(chosen, places[:, :K], axis=1)
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    positives = np.minimum((labels > 0).sum(axis=1), hits.shape[1])
    return float((hits @ discounts / np.cumsum(discounts)[positives - 1]).mean())


def load_scorer(method: str, folder: Path, features: int) -> Scorer:
    """What a scorer of this method, and of so many features, wrote into `folder`."""
    scorer: Scorer = METHODS[method].kind.load(folder, features)
    return scorer
