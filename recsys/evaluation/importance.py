"""What the ranker goes by: how much worse it orders where a family of features says nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.evaluation import metrics
from recsys.evaluation.certainty import Bootstrap, interval
from recsys.evaluation.held import Held
from recsys.features.arrays import Array, Floats, Mask
from recsys.features.threads import side_by_side
from recsys.fitted import block_size
from recsys.ranking.neural import order
from recsys.ranking.pair_features import families
from recsys.retrieval.sources import PASSING

if TYPE_CHECKING:
    from recsys.engine import Engine

SAMPLE = 200
"""Users whose lists are looked at: about a second's work where lists are some hundred long."""


@dataclass(frozen=True)
class _Falls:
    """What the orders of some lists lose without each family."""

    ndcg: Array  # (n,) with all of them
    falls: Mapping[str, Array]  # (n,) of the families that differ between candidates


def importance(engine: "Engine", held: Held, k: int, draws: int) -> dict[str, Any]:
    """Permutation importance (Breiman 2001) by family of features, for JSON; {} where none orders.

    The features of a family are dealt anew, together, among the candidates of each list: they are
    as they might be, and say nothing of any of them. What NDCG at `k` of the ranker's order falls
    by is the family's share. It is over users, of a sample, one of whose candidates was chosen,
    with a 95 % interval from `draws` of a bootstrap over them. A family that is the same for all
    candidates of a list cannot be dealt anew and is left out.
    """
    if engine.learnt.fitted.ranker is None or engine.learnt.fitted.leader is not None:
        return {}
    seed = engine.settings.seed
    sample = np.random.default_rng(seed).permutation(len(held))[:SAMPLE]
    blocks = held.take(np.sort(sample)).blocks(block_size(len(held.catalog)))
    parts = side_by_side(
        lambda each: _falls(engine, each[1], k, np.random.default_rng((seed, each[0]))),
        enumerate(blocks),
    )
    found = [part for part in parts if part is not None]
    return _told(found, k, draws, seed) if found else {}


def _falls(engine: "Engine", held: Held, k: int, rng: np.random.Generator) -> _Falls | None:
    """Of users one of whose candidates was chosen; None without any, or where a source fails."""
    fitted = engine.learnt.fitted
    candidates, failed = fitted.candidates(held.histories, held.policy.allowed(held.histories))
    kept = np.flatnonzero(held.chosen.hits(candidates.items).any(axis=1))
    if failed or fitted.ranker is None or not len(kept):
        return None
    held, candidates = held.take(kept), candidates.take(kept)
    chosen, filled = held.chosen.hits(candidates.items), candidates.filled
    try:
        features, names = fitted.features(held.histories, candidates)
    except PASSING:  # said when the lists were made
        return None
    scores = fitted.ranker.scores(features, names, filled)
    whole = _ndcg(scores, chosen, held.positives, k)
    dealt, falls = _dealt(filled, rng), {}
    of = families(held.histories, candidates, fitted.knowledge)
    for family in dict.fromkeys(of.values()):
        columns = np.flatnonzero([of[name] == family for name in names])
        if not _differ(features[:, :, columns], filled):
            continue
        other = features.copy()
        other[:, :, columns] = np.take_along_axis(other[:, :, columns], dealt[:, :, None], axis=1)
        scores = fitted.ranker.scores(other, names, filled)
        falls[family] = whole - _ndcg(scores, chosen, held.positives, k)
    return _Falls(whole, falls)


def _dealt(filled: Mask, rng: np.random.Generator) -> Array:
    """Places (b, w) of the candidates of each list in an order that is drawn."""
    return np.argsort(rng.random(filled.shape, np.float32) + ~filled, axis=1)


def _differ(features: Floats, filled: Mask) -> bool:
    """Whether features (b, w, f) differ between the candidates of any list."""
    return bool(((features != features[:, :1]).any(axis=2) & filled).any())


def _ndcg(scores: Floats, chosen: Mask, positives: Array, k: int) -> Array:
    first = np.take_along_axis(chosen, order(scores), axis=1)[:, :k]
    return metrics.ndcg(np.pad(first, [(0, 0), (0, k - first.shape[1])]), positives)


def _told(parts: Sequence[_Falls], k: int, draws: int, seed: int) -> dict[str, Any]:
    names = list(dict.fromkeys(name for part in parts for name in part.falls))
    nothing = [np.zeros(len(part.ndcg)) for part in parts]
    falls = np.stack(
        [
            np.concatenate(
                [p.falls.get(name, none) for p, none in zip(parts, nothing, strict=True)]
            )
            for name in names
        ],
        axis=1,
    )
    low, high = interval(Bootstrap(len(falls), draws, seed).means(falls))
    rows = [
        {
            "family": name,
            "fall": float(falls[:, place].mean()),
            "interval": [float(low[place]), float(high[place])] if len(falls) > 1 else None,
        }
        for place, name in enumerate(names)
    ]
    return {
        "metric": f"ndcg@{k}",
        "value": float(np.concatenate([part.ndcg for part in parts]).mean()),
        "users": len(falls),
        "seed": seed,
        "families": sorted(rows, key=lambda row: -row["fall"]),
    }
