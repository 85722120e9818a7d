"""What an evaluation found: per user, per system, per stage, per slice, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from recsys.evaluation.calibration import Reliability
from recsys.evaluation.certainty import (
    Bootstrap,
    Comparison,
    across_seeds,
    compare,
    corrected,
    interval,
    per_user,
)
from recsys.evaluation.slices import Slice, table
from recsys.evaluation.yardstick import Values
from recsys.features.arrays import Array, Rows
from recsys.fitted import TWO_STAGE
from recsys.settings import EvaluationSettings

PUBLISHED = ("ndcg", "recall")
"""Metrics that systems are compared in."""


@dataclass(frozen=True)
class Evaluation:
    """How well each source, the fused list and the two-stage list foretold the future.

    Where something may be offered again `own_lists` is a list more.
    """

    settings: EvaluationSettings
    protocol: Mapping[str, Any]  # its name, and what it scored and left out
    users: Rows  # (u,) rows of those who were scored, once for each window
    values: Mapping[str, Values]  # per system and metric (u,)
    whole: Mapping[str, Mapping[str, float]]  # per system what is said of all lists together
    seconds: Mapping[str, float]  # per system, to make all lists
    account: Mapping[str, Any]  # see `account`
    positives: pl.DataFrame  # see `positives`; of several windows with a column `window`, from 1
    calibration: Mapping[str, Reliability]  # per event that was foretold, the weakest first
    slices: Sequence[Slice]
    importance: Mapping[str, Any]  # see `importance`; empty where there was no ranker
    curves: Sequence[Mapping[str, float]]  # per run and epoch the losses of the ranker
    examples: Sequence[Mapping[str, Any]]
    windows: Sequence[Mapping[str, Any]]  # one each where there are several
    fit_seconds: float
    peak_memory: int  # bytes, the largest resident set of this process
    notes: tuple[str, ...]

    @cached_property
    def systems(self) -> dict[str, dict[str, float]]:
        """Per system its metrics and its cost; the two-stage list first."""
        return {
            name: {
                **{metric: _mean(values) for metric, values in own.items() if _known(values)},
                **{metric: v for metric, v in self.whole[name].items() if np.isfinite(v)},
                "seconds": self.seconds[name],
                "users_per_second": len(self.users) / self.seconds[name],
            }
            for name, own in self.values.items()
        }

    def as_dict(self, data: str) -> dict[str, Any]:
        """The same for JSON, with intervals and comparisons from the bootstrap over users."""
        return {
            "data": data,
            "protocol": dict(self.protocol),
            "users": self.protocol["users"],
            "systems": self.systems,
            "intervals": self._intervals(),
            "comparisons": [each.as_dict() for each in self._comparisons()],
            "slices": table(self.slices, self.settings.draws, self.settings.seed),
            "account": dict(self.account),
            **({"importance": dict(self.importance)} if self.importance else {}),
            **({"calibration": self._calibration()} if self.calibration else {}),
            "curves": list(self.curves),
            "examples": list(self.examples),
            **({"windows": list(self.windows)} if len(self.windows) > 1 else {}),
            "fit_seconds": self.fit_seconds,
            "peak_memory_bytes": self.peak_memory,
            "notes": list(self.notes),
        }

    def _calibration(self) -> dict[str, Any]:
        """The error of each event; bins of the weakest, which most of what comes true is."""
        event, weakest = next(iter(self.calibration.items()))
        errors = {name: each.error for name, each in self.calibration.items()}
        return {"event": event, **weakest.as_dict(), "errors": errors}

    def _intervals(self) -> dict[str, dict[str, list[float]]]:
        """Per system and metric the ends of the 95 % interval of the mean over users."""
        return {name: self._intervals_of(own) for name, own in self.values.items()}

    def _intervals_of(self, values: Values) -> dict[str, list[float]]:
        known = [metric for metric, own in values.items() if _known(own)]
        sums, counts = per_user(self.users, np.stack([values[m] for m in known], axis=1))
        low, high = interval(self._bootstrap.ratios(sums, counts))
        return {
            metric: [float(low[place]), float(high[place])]
            for place, metric in enumerate(known)
            if np.isfinite(low[place])
        }

    def _comparisons(self) -> list[Comparison]:
        """The two-stage list against every other system, corrected for all of them together."""
        found: list[Comparison] = []
        for name in PUBLISHED:
            metric = f"{name}@{self.settings.k}"
            values = {system: own[metric] for system, own in self.values.items()}
            found += compare(values, TWO_STAGE, metric, self._bootstrap, users=self.users)
        return corrected(found)

    @cached_property
    def _bootstrap(self) -> Bootstrap:
        persons = len(per_user(self.users, np.zeros((len(self.users), 1)))[0])
        return Bootstrap(persons, self.settings.draws, self.settings.seed)


def mean_of(runs: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations of one protocol, which differ in the engine's seed, as one.

    Each user's value is the mean over the runs, of the systems that all of them have; so are the
    costs. The account, the positives, the importance and the examples are those of the first run;
    the account and the importance say so.
    """
    first = runs[0]
    shared = [name for name in first.values if all(name in run.values for run in runs)]
    values = {
        name: {
            metric: across_seeds(np.stack([run.values[name][metric] for run in runs]))[0]
            for metric in first.values[name]
        }
        for name in shared
    }
    return replace(
        first,
        protocol={**first.protocol, "seed": [run.protocol["seed"] for run in runs]},
        values=values,
        whole={name: _means([run.whole[name] for run in runs]) for name in shared},
        seconds=_means([{n: run.seconds[n] for n in shared} for run in runs]),
        account={**first.account, "seed": first.protocol["seed"]},
        slices=_mean_slices([run.slices for run in runs], shared),
        windows=_mean_windows([run.windows for run in runs], shared),
        curves=[{**line, "run": number} for number, run in enumerate(runs) for line in run.curves],
        fit_seconds=float(np.mean([run.fit_seconds for run in runs])),
        peak_memory=max(run.peak_memory for run in runs),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )


def _mean_slices(runs: Sequence[Sequence[Slice]], systems: Sequence[str]) -> list[Slice]:
    def mean(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.mean([part[name] for part in parts], axis=0) for name in systems}

    return [
        replace(
            same[0],
            ndcg=mean([each.ndcg for each in same]),
            recall=mean([each.recall for each in same]),
        )
        for same in zip(*runs, strict=True)
    ]


def _mean_windows(
    runs: Sequence[Sequence[Mapping[str, Any]]], systems: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {**same[0], "systems": {n: _means([each["systems"][n] for each in same]) for n in systems}}
        for same in zip(*runs, strict=True)
    ]


def _means(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of what all tables have."""
    shared = [key for key in tables[0] if all(key in table for table in tables)]
    return {key: float(np.mean([table[key] for table in tables])) for key in shared}


def _known(values: Array) -> bool:
    return bool(np.isfinite(values).any())


def _mean(values: Array) -> float:
    return float(np.nanmean(values))
