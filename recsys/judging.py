"""Whether the ranker orders better than what it reads, on users whom it has not learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.evaluation.certainty import Bootstrap, Comparison, compare
from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.fitted import FUSED, TWO_STAGE
from recsys.offered import Offered
from recsys.ranking.lists import Chosen
from recsys.ranking.neural import NeuralRanker, order
from recsys.ranking.position_bias import PositionBias
from recsys.settings import EngineSettings
from recsys.trial import Trial, event_weights


@dataclass(frozen=True)
class Verdict:
    """Whose order is served, and why."""

    leader: str | None  # a source or FUSED where the ranker is worse, None for the ranker
    note: str
    offered: Offered = field(default_factory=Offered)  # what any order of the candidates can hold


def judge(
    ranker: NeuralRanker, trial: Trial, settings: EngineSettings, bias: PositionBias | None = None
) -> Verdict:
    """The ranker's order against the fused one and that of every source, on the trial's lists.

    All of them order the same candidates, as many as would be served. A list is worth its NDCG at
    the length that is evaluated, where an item gains the weight of the event that chose it; of an
    evaluation with targets, events weaker than all of them gain nothing. With a `bias` lists count
    as those did that the ranker learnt from. The ranker loses where the paired test, corrected for
    the number of its rivals, says that one of them is better.
    """
    k = settings.evaluation.k
    gains = event_gains(trial.moment.past.events, settings)
    offered = Offered()
    values = _values(trial, ranker, gains, k, bias, offered)
    lists = len(values[TWO_STAGE])
    if lists < 2:
        few = f"the ranker could not be tried: {lists} held-out lists tell nothing"
        return Verdict(None, few, offered)
    bootstrap = Bootstrap(lists, settings.evaluation.draws, settings.seed)
    found = compare(values, TWO_STAGE, f"NDCG@{k}", bootstrap)
    means = {name: float(own.mean()) for name, own in values.items()}
    return replace(_verdict(found, means, lists), offered=offered)


def event_gains(names: tuple[str, ...], settings: EngineSettings) -> Floats:
    """(events,) what each event of a log counts when lists are judged: its weight, or 0."""
    weights = event_weights(names, settings.events)
    targets = [w for name, w in zip(names, weights, strict=True) if _is_target(name, settings)]
    least = min(targets, default=0.0)
    return np.array([weight * (weight >= least) for weight in weights], np.float32)


def _is_target(name: str, settings: EngineSettings) -> bool:
    return not settings.evaluation.targets or name in settings.evaluation.targets


def graded_ndcg(chosen: Chosen, items: Rows, gains: Floats) -> Array:
    """(b,) the NDCG of lists (b, k), by what each event gains (events,); NaN without any gain.

    Järvelin & Kekäläinen 2002 with 1 / log2(1 + rank). For a list [viewed, bought] of gains .3 and
    1 it is (.3 + 1 / log2(3)) / (1 + .3 / log2(3)).
    """
    codes, k = chosen.codes(items), items.shape[1]
    gained = np.where(codes == PAD, 0, gains[codes])
    lengths = np.diff(chosen.offsets)
    most = np.zeros((len(lengths), max(k, int(lengths.max(initial=0)))))
    most[np.arange(most.shape[1]) < lengths[:, None]] = gains[chosen.events]
    best = _discounted(-np.sort(-most, axis=1)[:, :k])
    none = np.full(len(best), np.nan)
    ndcg: Array = np.divide(_discounted(gained), best, out=none, where=best > 0)
    return ndcg


def _discounted(gained: Array) -> Array:
    """(b,) the sum of gains (b, k), each over log2(1 + rank)."""
    sums: Array = gained @ (1 / np.log2(np.arange(2, gained.shape[1] + 2)))
    return sums


def _values(
    trial: Trial, ranker: NeuralRanker, gains: Floats, k: int, bias: PositionBias | None,
    offered: Offered,
) -> Mapping[str, Array]:  # fmt: skip
    """By order of the candidates the NDCG (lists,) of each list that has something to gain, times
    what it counts over the mean of that. Counts what is `offered` by the way.
    """
    counts: list[Array] = []
    parts: dict[str, list[Array]] = {TWO_STAGE: [], FUSED: []}
    for block, candidates in trial.blocks():
        offered.count(block.chosen, candidates)
        features, names = trial.fitted.features(block.histories, candidates)
        places = order(ranker.scores(features, names, candidates.filled))
        orders = {TWO_STAGE: candidates.at(places), FUSED: candidates}
        orders |= {source: candidates.led_by(source) for source in candidates.sources}
        for name, each in orders.items():
            items = trial.fitted.fused(each, k).candidates.items
            ndcg = graded_ndcg(block.chosen, items, gains)
            parts.setdefault(name, []).append(ndcg[~np.isnan(ndcg)])
        counts.append(block.chosen.factors(bias)[~np.isnan(ndcg)])  # a list gains in all orders
    counted = np.concatenate([np.zeros(0), *counts])
    shares = counted / counted.mean() if len(counted) else counted
    return {name: np.concatenate([np.zeros(0), *own]) * shares for name, own in parts.items()}


def _verdict(found: Sequence[Comparison], means: Mapping[str, float], lists: int) -> Verdict:
    on = f"on {lists:,} held-out lists"
    better = [each.against for each in found if each.verdict == "worse"]
    if better:
        leader = max(better, key=lambda name: means[name])
        then = "so lists are fused by rank" if leader == FUSED else "so lists have its order first"
        told = (
            f"the ranker is worse than {leader!r} {on} ({_figures(found, leader, means)}), {then}"
        )
        return Verdict(leader, told)
    best = max(means.keys() - {TWO_STAGE, FUSED}, key=lambda name: (means[name], name))
    more, more_than_fused = (_percent(means[TWO_STAGE], means[name]) for name in (best, FUSED))
    return Verdict(
        None,
        f"the ranker adds {more} {found[0].metric} over the best single source, {best!r}, and "
        f"{more_than_fused} over the fused order {on} ({_figures(found, best, means)})",
    )


def _percent(value: float, base: float) -> str:
    return f"{100 * (value / base - 1):+.1f} %" if base > 0 else "all"


def _figures(found: Sequence[Comparison], against: str, means: Mapping[str, float]) -> str:
    low, high = next(each for each in found if each.against == against).interval
    return (
        f"{means[TWO_STAGE]:.4f} against {means[against]:.4f}, 95 % interval of the difference "
        f"{low:+.4f} to {high:+.4f}"
    )
