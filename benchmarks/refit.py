"""What the refit on everything changes for the ranker, which learnt from older sources' scores.

    python -m benchmarks refit --data-dir ../shared/data
    python -m benchmarks.refit --data shop|ml-100k|amazon-beauty [--data-dir DIR] [--seeds 0 1 2]
        [--json FILE]

The same users are asked of one ranker twice: on the sources as they serve, fitted on the whole
past, and on those of the newest moment that it learnt from (`training.refit = false`), which answer
from the same whole histories. The fused order needs no ranker, so its own difference is what the
sources gain from newer events. A ranker that scores of other sources than it learnt from mislead
would add less to the fused order after the refit than before it; so that is compared, too.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestant import CONFIGS
from benchmarks.machine import machine
from benchmarks.measure import write_results
from recsys.demo import shop_settings
from recsys.engine import Engine
from recsys.evaluation.answers import ask
from recsys.evaluation.certainty import (
    Bootstrap,
    Comparison,
    across_seeds,
    compare,
    corrected,
    in_words,
    interval,
)
from recsys.evaluation.held import Held
from recsys.evaluation.metrics import ndcg
from recsys.evaluation.protocols import Window, windows
from recsys.features.arrays import Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, TrainingError
from recsys.features.interactions import Interactions
from recsys.fitted import FUSED, TWO_STAGE
from recsys.settings import EngineSettings
from recsys.shop import make_shop

SHOP, SETS, SEVERAL = "shop", ("amazon-beauty",), ("ml-100k",)
"""Learnt from with the seed of their file, and with several."""

REFITTED, KEPT = "refitted", "as learnt from"
ADDED = "what the ranker adds"
SYSTEMS = (TWO_STAGE, FUSED, ADDED)

Values = Mapping[str, Array]
"""Per system the NDCG (b,) of each user, and of ADDED the difference of the other two."""


@dataclass(frozen=True)
class Run:
    """What one seed's ranker reaches on both kinds of sources."""

    users: Rows  # (b,)
    values: Mapping[str, Values]  # of REFITTED and KEPT
    notes: tuple[str, ...]  # of the fits, the refitted first


def main() -> None:
    options = _options()
    settings, log, catalog = _data(options)
    (window,) = windows(log, settings.evaluation)
    seeds = options.seeds or [settings.seed]
    runs = [run(settings, window, catalog, seed) for seed in seeds]
    comparisons, figures = gaps(runs, settings)
    for each in comparisons:
        print(f"{options.data}, {each.system} against {each.against}: {in_words(each)}")
    if options.json is not None:
        about = {"name": settings.evaluation.protocol, "k": settings.evaluation.k, **window.about}
        head = {"data": options.data, "protocol": about, "seeds": seeds}
        write_results(options.json, {**machine(), **head, "users": len(runs[0].users), **figures})


def run(settings: EngineSettings, window: Window, catalog: Catalog, seed: int) -> Run:
    """Learn twice, once to serve by refitted sources and once by those of the newest moment.

    Raises TrainingError where there is no ranker, or where the two learnt are not the same.
    """
    values: dict[str, Values] = {}
    weights: list[list[Floats]] = []
    notes: list[str] = []
    users = np.zeros(0, np.int32)
    for name, refit in ((REFITTED, True), (KEPT, False)):
        training = settings.training.model_copy(update={"refit": refit})
        engine = Engine(settings.model_copy(update={"training": training, "seed": seed}))
        engine.fit(window.moment.past, catalog)
        users, values[name] = _reached(engine, window, settings.evaluation.k)
        weights.append(_weights(engine))
        notes += engine.notes
    if not all(np.array_equal(one, other) for one, other in zip(*weights, strict=True)):
        raise TrainingError("two fits of the same seed gave two rankers: nothing can be compared")
    return Run(users, values, tuple(dict.fromkeys(notes)))


def gaps(runs: Sequence[Run], settings: EngineSettings) -> tuple[list[Comparison], dict[str, Any]]:
    """What each system has more with the refit than without, as comparisons and for JSON.

    Each user counts by the mean over the seeds; p is corrected for the number of systems.
    """
    users, evaluation = runs[0].users, settings.evaluation
    bootstrap = Bootstrap(len(users), evaluation.draws, evaluation.seed)
    means = {
        system: {
            name: across_seeds(np.stack([run.values[name][system] for run in runs]))[0]
            for name in (REFITTED, KEPT)
        }
        for system in SYSTEMS
    }
    metric = f"ndcg@{evaluation.k}"
    found = corrected(
        [
            each
            for system in SYSTEMS
            for each in compare(means[system], REFITTED, f"{metric} of {system}", bootstrap)
        ]
    )
    told = {
        system: {
            **{name: float(own.mean()) for name, own in means[system].items()},
            "intervals": {name: _interval(own, bootstrap) for name, own in means[system].items()},
            "gap": comparison.as_dict(),
        }
        for system, comparison in zip(SYSTEMS, found, strict=True)
    }
    by_seed = [
        {system: _mean_gap(run, system) for system in SYSTEMS} for run in runs if len(runs) > 1
    ]
    return found, {"systems": told, "gaps_by_seed": by_seed, "notes": list(runs[0].notes)}


def _reached(engine: Engine, window: Window, k: int) -> tuple[Rows, Values]:
    """The users who are scored, and the NDCG of each."""
    held = Held.of(window, engine.learnt.catalog, engine.learnt.policy)
    lists = ask(engine, held, k, k, lambda share: None).items
    reached = {
        name: ndcg(held.chosen.hits(lists[name]), held.positives) for name in (TWO_STAGE, FUSED)
    }
    return held.histories.users, {**reached, ADDED: reached[TWO_STAGE] - reached[FUSED]}


def _weights(engine: Engine) -> list[Floats]:
    """Those of the network; raises TrainingError where the ranker does not order the lists."""
    fitted = engine.learnt.fitted
    if fitted.ranker is None or fitted.leader is not None:
        raise TrainingError(f"no ranker orders the lists, so it has no gap: {engine.notes}")
    return [each.detach().cpu().numpy() for each in fitted.ranker.network_.parameters()]


def _interval(values: Array, bootstrap: Bootstrap) -> list[float]:
    low, high = interval(bootstrap.means(values[:, None]))
    return [float(low[0]), float(high[0])]


def _mean_gap(run: Run, system: str) -> float:
    return float((run.values[REFITTED][system] - run.values[KEPT][system]).mean())


def _data(options: argparse.Namespace) -> tuple[EngineSettings, Interactions, Catalog]:
    """The settings, the log and its catalogue."""
    if options.data == SHOP:
        settings, shop = shop_settings(), make_shop(users=options.shop_users)
        return settings, *Engine(settings).read(shop.events, shop.items)
    if options.data_dir is None:
        raise DataError(f"the data set {options.data!r} needs --data-dir")
    settings = EngineSettings.from_toml(CONFIGS / f"{options.data}.toml")
    return settings, *Engine(settings).read(data_dir=options.data_dir)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=(SHOP, *SETS, *SEVERAL), required=True)
    parser.add_argument("--data-dir", type=Path, help="the folder of the public data sets")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=(), help="by default that of its file"
    )
    parser.add_argument("--shop-users", type=int, default=3_000, help="of the made-up shop")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
