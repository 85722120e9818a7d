"""One evaluation repeated with several seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.protocols import read_test
from recsys.evaluation.result import Evaluation, mean_of
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.interactions import Interactions
from recsys.fitting import Progress, silent
from recsys.parts import check_parts
from recsys.settings import EngineSettings, without_checkpoint


@dataclass(frozen=True)
class Runs:
    """The evaluations of each seed, in the order of the seeds; at least one."""

    each: tuple[Evaluation, ...]

    @property
    def positives(self) -> pl.DataFrame:
        """Which of the positives was found, and by what, in the first run."""
        return self.each[0].positives

    def as_dict(self, data: str) -> dict[str, Any]:
        """As that of one evaluation; of several it is their mean, and `runs` has each.

        Intervals are over users, each with the mean of the seeds; `seed_deviations` tells how much
        the seeds differ.
        """
        if len(self.each) == 1:
            return self.each[0].as_dict(data)
        return {
            **mean_of(self.each).as_dict(data),
            "seed_deviations": _deviations([run.systems for run in self.each]),
            "runs": [_short(run) for run in self.each],
        }


def seeded(settings: EngineSettings, seeds: Sequence[int] = ()) -> list[EngineSettings]:
    """The settings with each of the seeds, by default as they are; without a checkpoint to share.

    Raises SettingsError where a seed stands twice, or a part of an engine cannot be made.
    """
    if len(set(seeds)) < len(seeds):
        raise SettingsError(f"seeds must differ; got {list(seeds)}")
    check_parts(settings)
    own = without_checkpoint(settings).model_dump(exclude_unset=True)
    return [EngineSettings.parse({**own, "seed": seed}) for seed in seeds or [settings.seed]]


def run_seeds(
    seeded: Sequence[EngineSettings],
    *,
    data_dir: Path | None = None,
    strict: bool = False,
    quarantine: Path | None = None,
    progress: Progress = silent,
    told: Callable[[Interactions, Catalog, list[str]], None] = lambda *_: None,
) -> Runs:
    """Read the tables once, then evaluate an engine of each of these settings.

    They differ in their seed, and one engine is held at a time.
    `told` is given the log, the catalogue and the notes on them before anything is learnt.
    """
    reader = Engine(seeded[0])
    log, catalog = reader.read(data_dir=data_dir, strict=strict, quarantine=quarantine)
    test = read_test(seeded[0], data_dir)
    said = list(reader.notes)
    told(log, catalog, said)
    runs = []
    for number, settings in enumerate(seeded, 1):
        engine = Engine(settings)
        engine.notes = list(said)
        where = f"run {number} of {len(seeded)}: " if len(seeded) > 1 else ""
        runs.append(
            evaluate(
                engine,
                log,
                catalog,
                settings.evaluation,
                lambda step, share, where=where: progress(where + step, share),  # type: ignore[misc]
                test,
            )
        )
    return Runs(tuple(runs))


def _short(run: Evaluation) -> dict[str, Any]:
    """One of several runs for JSON."""
    return {
        "protocol": dict(run.protocol),
        "systems": run.systems,
        "account": dict(run.account),
        "fit_seconds": run.fit_seconds,
        "peak_memory_bytes": run.peak_memory,
        "notes": list(run.notes),
    }


def _deviations(systems: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Per system and metric the standard deviation (n - 1) between seeds, where all have it."""
    shared = [name for name in systems[0] if all(name in run for run in systems)]
    return {
        name: {
            metric: float(np.std([run[name][metric] for run in systems], ddof=1))
            for metric in systems[0][name]
            if all(metric in run[name] for run in systems)
        }
        for name in shared
    }
