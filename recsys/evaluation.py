"""An engine put to the test: fitted on the past, asked for lists, held against what came next."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys import metrics
from recsys.features.arrays import Array, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.threads import side_by_side
from recsys.fitted import block_size
from recsys.fitting import Progress, silent
from recsys.learning import Moment, moment
from recsys.ranking.lists import Chosen
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.settings import EvaluationSettings

if TYPE_CHECKING:
    from recsys.engine import Engine

_System = Callable[[Histories, Allowed], Candidates]

_USERS_AT_ONCE = 10_000

TWO_STAGE, FUSED = "two-stage", "fused"


@dataclass(frozen=True)
class Evaluation:
    """How well each source, the fused list and the two-stage list foretold the future."""

    protocol: dict[str, Any]  # its name, and what it scored and left out
    systems: dict[str, dict[str, float]]  # per system: metrics, seconds, users per second
    fit_seconds: float
    peak_memory: int  # bytes, the largest resident set of this process
    notes: tuple[str, ...]

    def as_dict(self, data: str) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "data": data,
            "protocol": self.protocol,
            "users": self.protocol["users"],
            "systems": self.systems,
            "fit_seconds": self.fit_seconds,
            "peak_memory_bytes": self.peak_memory,
            "notes": list(self.notes),
        }


def evaluate(
    engine: "Engine",
    log: Interactions,
    catalog: Catalog,
    settings: EvaluationSettings,
    progress: Progress = silent,
) -> Evaluation:
    """Fit the engine on the past of `log` and score its lists on what came next.

    "last-item" holds out each user's last event; "time" all events from a cutoff on. A positive
    that the policy forbids (bought before, out of stock) cannot be offered: it is left out and
    counted, as are users without a past. Raises DataError where nothing is left to score.
    """
    test, about = _split(log, settings)
    started = time.perf_counter()
    engine.fit(test.past, catalog, progress=progress)
    fit_seconds = time.perf_counter() - started
    test, counts = _scored(test, engine)
    lists = _Lists(engine, settings.k)
    for block in test.blocks(_USERS_AT_ONCE):
        lists.add(block.histories)
        progress("recommending", lists.done / len(test.histories))
    return Evaluation(
        protocol={**about, **counts, "k": settings.k, "seed": engine.settings.seed},
        systems=lists.scored(test.chosen, len(catalog)),
        fit_seconds=fit_seconds,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        notes=(*engine.notes, *_said(lists.failed)),
    )


class _Lists:
    """The lists of every system, gathered block by block."""

    def __init__(self, engine: "Engine", k: int) -> None:
        self._engine, self._k = engine, k
        self._items: dict[str, list[Rows]] = {}
        self._seconds: dict[str, float] = {}
        self.done = 0
        self.failed: list[str] = []
        """Sources that could not answer, once for each block of users."""

    def add(self, histories: Histories) -> None:
        """Ask every system for these histories."""
        fitted, k = self._engine.learnt.fitted, self._k
        for member in fitted.sources.offering:
            retrieve = member.retriever.retrieve
            self._ask(member.name, histories, partial(_alone, retrieve, k))
        self._ask(FUSED, histories, lambda h, a: fitted.candidates(h, a, k)[0].top(k))
        self._ask(TWO_STAGE, histories, self._both_stages)
        self.done += len(histories)

    def _both_stages(self, histories: Histories, allowed: Allowed) -> Candidates:
        ranked = self._engine.learnt.fitted.rank(histories, allowed, self._k)
        self.failed.extend(ranked.failed)
        return ranked.candidates

    def scored(self, chosen: Chosen, n_items: int) -> dict[str, dict[str, float]]:
        """Per system its metrics at k and its cost, the two-stage list first."""
        positives, k = np.diff(chosen.offsets), self._k
        scores = {}
        for name in [TWO_STAGE, FUSED, *(n for n in self._items if n not in (TWO_STAGE, FUSED))]:
            items = np.concatenate(self._items[name])
            hits = chosen.hits(items)
            scores[name] = {
                f"ndcg@{k}": float(metrics.ndcg(hits, positives).mean()),
                f"recall@{k}": float(metrics.recall(hits, positives).mean()),
                f"hr@{k}": float(metrics.hit_rate(hits).mean()),
                f"coverage@{k}": metrics.coverage(items, n_items),
                "seconds": self._seconds[name],
                "users_per_second": len(items) / self._seconds[name],
            }
        return scores

    def _ask(self, name: str, histories: Histories, ask: _System) -> None:
        def items(queries: Array) -> Rows:
            block = histories.take(queries)
            return _wide(ask(block, self._engine.learnt.policy.allowed(block)).items, self._k)

        size = block_size(len(self._engine.items))
        places = np.arange(len(histories))
        started = time.perf_counter()
        parts = list(side_by_side(items, [places[i : i + size] for i in places[::size]]))
        self._seconds[name] = self._seconds.get(name, 0) + time.perf_counter() - started
        self._items.setdefault(name, []).extend(parts)


def _said(failed: list[str]) -> list[str]:
    return [
        f"source {name!r} failed in {failed.count(name)} blocks of users, whose lists are fused"
        for name in sorted(set(failed))
    ]


def _alone(
    retrieve: Callable[[Histories, int, Allowed], Candidates],
    k: int,
    histories: Histories,
    allowed: Allowed,
) -> Candidates:
    return retrieve(histories, k, allowed)


def _wide(items: Rows, k: int) -> Rows:
    return np.pad(items, [(0, 0), (0, k - items.shape[1])], constant_values=-1)


def _split(log: Interactions, settings: EvaluationSettings) -> tuple[Moment, dict[str, Any]]:
    targets = _targets(log, settings.targets)
    if settings.protocol == "last-item":
        past, last = log.split_last(1)
        alone = int((log.counts == 1).sum())  # users whose only event stays in the past
        test = moment(past, last, targets=targets)
        return replace(test, left_out=test.left_out + alone), {"name": "last-item"}
    if log.clock != "time":
        raise DataError(
            f"the protocol 'time' needs a time column; this log has {log.clock!r}: "
            "use the protocol 'last-item'"
        )
    cutoff = _cutoff(log, settings)
    past, future = log.split_at(cutoff)
    if not len(past) or not len(future):
        raise DataError(f"the cutoff {_moment(cutoff)} leaves one side without events")
    about = {"name": "time", "cutoff": _moment(cutoff), "last_event": _moment(log.times.max())}
    return moment(past, future, cutoff, targets), about


def _cutoff(log: Interactions, settings: EvaluationSettings) -> int:
    if settings.date is None:
        return int(np.quantile(log.times, 1 - settings.share, method="nearest"))
    try:
        date = datetime.fromisoformat(settings.date)
    except ValueError as error:
        raise DataError(f"evaluation.date {settings.date!r} is not a date: {error}") from None
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1e6)


def _moment(time_: Any) -> str:
    return datetime.fromtimestamp(int(time_) / 1e6, UTC).isoformat()


def _targets(log: Interactions, names: tuple[str, ...]) -> Mask | None:
    if not names:
        return None
    unknown = set(names) - set(log.events)
    if unknown:
        raise DataError(f"unknown target events {sorted(unknown)}; the log has {list(log.events)}")
    return np.array([name in names for name in log.events])


def _scored(test: Moment, engine: "Engine") -> tuple[Moment, dict[str, int]]:
    """The users with something to find, and how much was left out."""
    within = test.chosen.within(engine.learnt.policy.allowed(test.histories))
    kept = np.flatnonzero(np.diff(within.offsets) > 0)
    if not len(kept):
        raise DataError("nothing to score: nobody chose an item that might have been offered")
    counts = {
        "users": len(kept),
        "positives": len(within.items),
        "users_without_past": test.left_out,
        "users_without_allowed_positives": len(test.histories) - len(kept),
        "positives_not_allowed": len(test.chosen.items) - len(within.items),
    }
    return Moment(test.past, test.histories.take(kept), within.take(kept), test.left_out), counts
