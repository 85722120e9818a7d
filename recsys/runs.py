"""One evaluation repeated with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.engine import Engine
from recsys.evaluation import Evaluation, evaluate
from recsys.features.errors import SettingsError
from recsys.fitting import Progress, silent
from recsys.settings import EngineSettings


@dataclass(frozen=True)
class Runs:
    """The evaluations of each seed, in the order of the seeds; at least one."""

    each: tuple[Evaluation, ...]

    def as_dict(self, data: str) -> dict[str, Any]:
        """As that of one evaluation; of several the systems are means, and `runs` has each."""
        first = self.each[0].as_dict(data)
        if len(self.each) == 1:
            return first
        seeds = [run.protocol["seed"] for run in self.each]
        return {
            **first,
            "protocol": {**first["protocol"], "seed": seeds},
            "systems": _means([run.systems for run in self.each]),
            "fit_seconds": float(np.mean([run.fit_seconds for run in self.each])),
            "peak_memory_bytes": max(run.peak_memory for run in self.each),
            "notes": list(dict.fromkeys(note for run in self.each for note in run.notes)),
            "runs": [run.as_dict(data) for run in self.each],
        }


def run_seeds(
    settings: EngineSettings,
    seeds: Sequence[int] = (),
    *,
    data_dir: Path | None = None,
    strict: bool = False,
    quarantine: Path | None = None,
    progress: Progress = silent,
) -> Runs:
    """Read the tables once, then evaluate a new engine for each seed; by default for its own."""
    engines = [
        Engine(EngineSettings.parse({**settings.model_dump(exclude_unset=True), "seed": seed}))
        for seed in seeds or [settings.seed]
    ]
    if len(set(seeds)) < len(seeds):
        raise SettingsError(f"seeds must differ; got {list(seeds)}")
    log, catalog = engines[0].read(data_dir=data_dir, strict=strict, quarantine=quarantine)
    said = list(engines[0].notes)
    runs = []
    for number, engine in enumerate(engines, 1):
        engine.notes = list(said)
        where = f"run {number} of {len(engines)}: " if len(engines) > 1 else ""
        runs.append(
            evaluate(
                engine,
                log,
                catalog,
                settings.evaluation,
                lambda step, share, where=where: progress(where + step, share),  # type: ignore[misc]
            )
        )
    return Runs(tuple(runs))


def _means(systems: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Per system and metric the mean over runs, of the systems that every run has."""
    shared = [name for name in systems[0] if all(name in run for run in systems)]
    return {
        name: {
            metric: float(np.mean([run[name][metric] for run in systems]))
            for metric in systems[0][name]
        }
        for name in shared
    }
