"""An engine put to the test: fitted on the past, asked for lists, held against what came next."""

import resource
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys.evaluation.account import Found, account
from recsys.evaluation.answers import Answers, ask
from recsys.evaluation.calibration import Reliability
from recsys.evaluation.examples import examples
from recsys.evaluation.foretold import Foretold, foretell
from recsys.evaluation.held import Held
from recsys.evaluation.importance import importance
from recsys.evaluation.positives import positives
from recsys.evaluation.protocols import Window, windows
from recsys.evaluation.repeats import may_repeat, own_lists
from recsys.evaluation.result import Evaluation
from recsys.evaluation.slices import Slice, most_chosen, pooled, sliced, slicings
from recsys.evaluation.yardstick import Values, Yardstick
from recsys.features.arrays import Array, Rows
from recsys.features.catalog import Catalog
from recsys.features.interactions import Interactions
from recsys.fitted import FUSED, TWO_STAGE
from recsys.fitting import Progress, silent
from recsys.rules import Rules
from recsys.settings import OWN, EvaluationSettings

if TYPE_CHECKING:
    from recsys.engine import Engine

__all__ = ["FUSED", "TWO_STAGE", "Evaluation", "evaluate", "evaluate_fitted"]


def evaluate(
    engine: "Engine",
    log: Interactions,
    catalog: Catalog,
    settings: EvaluationSettings,
    progress: Progress = silent,
    test: Interactions | None = None,
) -> Evaluation:
    """Fit the engine on the past of `log` and score its lists on what came next.

    The protocols are those of `protocols.windows`, with `test` as the other half of a given split.
    A positive that the policy forbids (bought before, out of stock, not in the catalogue) cannot be
    offered: it is left out and counted, as are users without a past. Raises DataError where nothing
    is left to score, and SettingsError where lists of that length cannot keep the rules.
    """
    final = engine.settings.final
    Rules.of(final.rules, catalog, log).check(settings.k, final.exploration.slots)
    shown = _shown_categories(log, catalog)
    seen = []
    for window in windows(log, settings, test):
        started = time.perf_counter()
        engine.fit(window.moment.past, catalog, progress=progress)
        fit_seconds = time.perf_counter() - started
        seen.append(_in_window(engine, window, log, settings, shown, progress, fit_seconds))
    return _pooled(engine, seen, settings)


def evaluate_fitted(
    engine: "Engine",
    window: Window,
    log: Interactions,
    settings: EvaluationSettings,
    fit_seconds: float,
) -> Evaluation:
    """As `evaluate`, of an engine that was fitted on the past of this one window of `log` already.

    Such a fit took `fit_seconds`.
    """
    shown = _shown_categories(log, engine.learnt.catalog)
    seen = _in_window(engine, window, log, settings, shown, silent, fit_seconds)
    return _pooled(engine, [seen], settings)


@dataclass(frozen=True)
class _Seen:
    """What one window showed."""

    held: Held
    about: Mapping[str, Any]
    notes: tuple[str, ...]
    values: Mapping[str, Values]
    whole: Mapping[str, Mapping[str, float]]
    ranks: Rows  # (n,) places of the positives in the two-stage lists
    answers: Answers
    slices: Sequence[Slice]
    depths: Mapping[str, int]  # of each source, as it was asked
    trained: bool  # does the ranker order the final list
    curve: Sequence[Mapping[str, float]]
    fit_seconds: float
    foretold: Foretold | None
    examples: Sequence[Mapping[str, Any]]


def _in_window(
    engine: "Engine",
    window: Window,
    log: Interactions,
    settings: EvaluationSettings,
    shown: Rows | None,
    progress: Progress,
    fit_seconds: float,
) -> _Seen:
    learnt, ks = engine.learnt, lengths(settings)
    held = Held.of(window, learnt.catalog, learnt.policy)
    answers = ask(engine, held, settings.k, ks[-1], lambda share: progress("recommending", share))
    answers = _with_own_lists(answers, held, ks[-1])
    yardstick = Yardstick.of(held)
    ranks = {name: held.chosen.ranks(items) for name, items in answers.items.items()}
    ranker = learnt.fitted.ranker
    return _Seen(
        held=held,
        about=window.about,
        notes=window.notes,
        values={name: yardstick.values(items, ks) for name, items in answers.items.items()},
        whole={name: yardstick.whole(items, ks) for name, items in answers.items.items()},
        ranks=ranks[TWO_STAGE],
        answers=answers,
        slices=_slices(held, ranks, shown, settings.k),
        depths={s.name: max(s.depth, settings.k) for s in learnt.fitted.sources.offering},
        trained=ranker is not None and learnt.fitted.leader is None,
        curve=[] if ranker is None else ranker.curve_,
        fit_seconds=fit_seconds,
        foretold=foretell(engine, log, window, settings),
        examples=examples(engine, held, settings.k),
    )


def _with_own_lists(answers: Answers, held: Held, k: int) -> Answers:
    """With a baseline more where something may be offered again."""
    if not may_repeat(held):
        return answers
    started = time.perf_counter()
    lists = own_lists(held, k)
    seconds = time.perf_counter() - started
    return replace(
        answers, items={**answers.items, OWN: lists}, seconds={**answers.seconds, OWN: seconds}
    )


def lengths(settings: EvaluationSettings) -> list[int]:
    """The lengths of lists that are scored, ascending."""
    return sorted({settings.k, *settings.at})


def _slices(held: Held, ranks: Mapping[str, Rows], shown: Rows | None, k: int) -> list[Slice]:
    found = slicings(
        held.past, held.catalog, held.histories, held.chosen, events=held.events, categories=shown
    )
    users = held.histories.users
    return [each for one in found for each in sliced(one, held.chosen, ranks, k, users)]


def _telling(slices: Sequence[Slice]) -> list[Slice]:
    """Without those that are alone in their slicing: they say no more than the whole."""
    several = Counter(each.by for each in slices)
    return [each for each in slices if several[each.by] > 1]


def _shown_categories(log: Interactions, catalog: Catalog) -> Rows | None:
    """The categories that are slices of their own: the same ones in all windows."""
    return most_chosen(catalog, log.item_rows) if len(catalog.categories()) else None


def _pooled(engine: "Engine", seen: Sequence[_Seen], settings: EvaluationSettings) -> Evaluation:
    """All windows as one evaluation: users side by side, counts and costs summed.

    What the ranker goes by, and the examples, are those of the last window.
    """
    first = seen[0]
    names = [name for name in first.values if all(name in each.values for each in seen)]
    values = {name: _side_by_side([each.values[name] for each in seen]) for name in names}
    seconds = {name: sum(each.answers.seconds[name] for each in seen) for name in names}
    counts = _sums([each.held.counts for each in seen])
    users = [len(each.held) for each in seen]
    failed = [name for each in seen for name in each.answers.failed]
    foretold = Foretold.joined([each.foretold for each in seen])
    beware = [note for each in seen for note in each.notes]
    calibration = {} if foretold is None else foretold.by_event()
    return Evaluation(
        settings=settings,
        protocol=_protocol(seen, settings, engine, counts),
        users=np.concatenate([each.held.histories.users for each in seen]),
        values=values,
        whole={name: weighted(users, [each.whole[name] for each in seen]) for name in names},
        seconds=seconds,
        account=_account(seen, values[TWO_STAGE][f"ndcg@{settings.k}"], counts, seconds, settings),
        positives=_positives(seen, settings),
        calibration=calibration,
        slices=_telling(pooled(each.slices for each in seen)),
        importance=importance(engine, seen[-1].held, settings.k, settings.draws),
        curves=_curves(seen),
        examples=seen[-1].examples,
        windows=[_window(each) for each in seen],
        fit_seconds=sum(each.fit_seconds for each in seen),
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        notes=tuple(
            dict.fromkeys(
                (*engine.notes, *beware, *_gone(counts), *_said(failed), *_calibrated(calibration))
            )
        ),
    )


def _protocol(
    seen: Sequence[_Seen], settings: EvaluationSettings, engine: "Engine", counts: dict[str, int]
) -> dict[str, Any]:
    return {
        "name": settings.protocol,
        **seen[0].about,
        **(_of_several(seen) if len(seen) > 1 else {}),
        **counts,
        "items": seen[-1].held.counts["items"],
        "k": settings.k,
        "at": lengths(settings),
        "targets": list(settings.targets),
        "seed": engine.settings.seed,
    }


def _of_several(seen: Sequence[_Seen]) -> dict[str, Any]:
    users = np.concatenate([each.held.histories.users for each in seen])
    return {
        "last_event": seen[-1].about["last_event"],
        "held_share": sum(each.about["held_share"] for each in seen),
        "windows": len(seen),
        "distinct_users": len(np.unique(users)),
    }


def _account(
    seen: Sequence[_Seen],
    ndcg: Array,
    counts: dict[str, int],
    seconds: Mapping[str, float],
    settings: EvaluationSettings,
) -> dict[str, Any]:
    names = tuple(dict.fromkeys(name for each in seen for name in each.answers.found.names))
    starts = np.cumsum([0, *(len(each.held) for each in seen)])
    owners = [each.held.owners + start for each, start in zip(seen, starts, strict=False)]
    depths = {name: depth for each in seen for name, depth in each.depths.items()}
    costs = {name: sum(e.answers.seconds.get(name, 0.0) for e in seen) for name in names}
    of_ranker = max(0.0, seconds[TWO_STAGE] - seconds[FUSED])
    return account(
        found=Found.joined([each.answers.found.over(names) for each in seen]),
        owners=np.concatenate(owners),
        ranks=np.concatenate([each.ranks for each in seen]),
        ndcg=ndcg,
        counts=counts,
        k=settings.k,
        about={name: (depths[name], costs[name]) for name in names},
        seconds={"union": seconds[FUSED], "ranker": of_ranker},
        trained=any(each.trained for each in seen),
    )


def _positives(seen: Sequence[_Seen], settings: EvaluationSettings) -> pl.DataFrame:
    each = [positives(one.held, one.answers.found, one.ranks, settings.k) for one in seen]
    if len(each) == 1:
        return each[0]
    return pl.concat(
        table.select(pl.lit(number).alias("window"), pl.all())
        for number, table in enumerate(each, 1)
    )


def _window(seen: _Seen) -> dict[str, Any]:
    """One of several windows for JSON."""
    systems = {
        name: {metric: float(np.nanmean(v)) for metric, v in own.items() if np.isfinite(v).any()}
        for name, own in seen.values.items()
    }
    return {**seen.about, "users": len(seen.held), "systems": systems}


def _curves(seen: Sequence[_Seen]) -> list[dict[str, float]]:
    return [
        {"run": 0, **({"window": number} if len(seen) > 1 else {}), "epoch": epoch, **line}
        for number, each in enumerate(seen)
        for epoch, line in enumerate(each.curve, 1)
    ]


def _side_by_side(parts: Sequence[Values]) -> Values:
    """The values of all windows, of the metrics that each of them has."""
    shared = [metric for metric in parts[0] if all(metric in part for part in parts)]
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in shared}


def weighted(users: Sequence[int], windows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What is said of all lists of every window, as a mean over windows by their users.

    Of those where it is known: without a hit there is no share of hits.
    """
    weights = np.array(users)
    told = {each: np.array([own.get(each, np.nan) for own in windows]) for each in windows[0]}
    return {
        metric: float(np.average(values[known], weights=weights[known]))
        for metric, values in told.items()
        if (known := np.isfinite(values)).any()
    }


def _sums(tables: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(table[key] for table in tables) for key in tables[0]}


def _calibrated(calibration: Mapping[str, Reliability]) -> list[str]:
    errors = [f"{name} {each.error:.4f}" for name, each in calibration.items()]
    said = "calibration error of the probabilities of what was offered"
    return [f"{said}: {', '.join(errors)}"] if errors else []


def _gone(counts: Mapping[str, int]) -> list[str]:
    """How much of what was chosen no list can hold, as the catalogue has no row of it."""
    gone = counts["positives_not_in_catalog"]
    if not gone:
        return []
    every = counts["positives"] + counts["positives_not_allowed"]
    return [
        f"{gone:,} of {every:,} positives are items that are not in the catalogue: they are not "
        f"offered and not scored, and lists can hold {1 - gone / every:.1%} of what was chosen at "
        "the most; catalog.offer_unlisted = true offers and scores them"
    ]


def _said(failed: Iterable[str]) -> list[str]:
    failed = list(failed)
    return [
        f"source {name!r} failed in {failed.count(name)} blocks of users, whose lists are fused"
        for name in sorted(set(failed))
    ]
