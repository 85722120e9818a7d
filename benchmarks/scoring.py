"""What it costs to score lists, beyond making them: metrics, intervals, tests, slices, account.

    python -m benchmarks scoring [--users 6000] [--items 3400] [--draws 1000] [--json FILE]

A log, prices, categories and vectors are made up and evaluated with all that an evaluation does.
Fitting and recommending are timed by the evaluation itself and taken off; what the account of the
stages asks of the sources beyond their depth is not.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.measure import timed, write_results

EVENTS_PER_USER = 50
DIMENSIONS = 384  # of the vectors that diversity is measured on


def main() -> None:
    options = _options()
    figures = measure(options.users, options.items, options.draws)
    print(
        f"{figures['users_scored']:,} users, {figures['items']:,} items, "
        f"{figures['systems']} systems, {figures['draws']:,} draws: {figures['scoring_s']:.1f} s "
        f"beyond {figures['fit_s']:.1f} s of fitting and {figures['recommending_s']:.1f} s of "
        "recommending"
    )
    if options.json is not None:
        write_results(options.json, {**machine(), **figures})


def measure(users: int, items: int, draws: int) -> dict[str, Any]:
    """Evaluate an engine on a log that is made up; seconds of each part."""
    from recsys.engine import Engine
    from recsys.evaluation.evaluate import TWO_STAGE, Evaluation
    from recsys.settings import EngineSettings
    from recsys.shop import make_catalog, make_log

    settings = EngineSettings.parse(
        {
            "interactions": {"time": "time", "event": "event"},
            "catalog": {"category": "category", "price": "price"},
            "ranker": {"epochs": 1},
            "training": {"most_lists": 2_000, "least_positives": 2},
            "evaluation": {"draws": draws},
        }
    )
    engine = Engine(settings)
    log, catalog = engine.read(make_log(users * EVENTS_PER_USER, users, items), make_catalog(items))
    vectors = np.random.default_rng(0).normal(size=(len(catalog), DIMENSIONS))
    catalog = catalog.with_vectors("text", vectors.astype(np.float32))
    done: list[Evaluation] = []
    measured = timed(lambda: done.append(engine.evaluate(log, catalog)))
    (evaluation,) = done
    told = timed(lambda: evaluation.as_dict("made-up"))
    recommending = evaluation.seconds[TWO_STAGE]  # with all that it is made of
    return {
        "users_scored": len(evaluation.users),
        "items": items,
        "draws": draws,
        "systems": len(evaluation.values),
        "fit_s": evaluation.fit_seconds,
        "recommending_s": recommending,
        "scoring_s": measured.wall + told.wall - evaluation.fit_seconds - recommending,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--items", type=int, default=3_400)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
