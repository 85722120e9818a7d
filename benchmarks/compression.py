"""Compressed rankers beside the full one, and LightGBM on the same lists: size, speed, quality.

    python -m benchmarks compression [--data-dir ../shared/data] [--lists 4000] [--json FILE]

On amazon-beauty, or without a folder of data on a shop that is made up. All learn from the same
lists and are judged on the same held-out ones, each candidate list as it was drawn to learn from:
figures compare scorers, they are not those of an evaluation. One thread; a request is the scores of
300 candidates with their features at hand, the systems in turn.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.measure import in_turn, timed, write_results
from recsys.engine import Engine
from recsys.features.arrays import Array, Floats
from recsys.features.errors import MissingDependency
from recsys.features.threads import one_thread
from recsys.parts import make_ranker
from recsys.ranking.compression import METHODS, compressed, ndcg
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.scorers import NetworkScorer, scored
from recsys.ranking.training import held_out
from recsys.settings import EngineSettings
from recsys.shop import make_shop

CONFIG = Path(__file__).parent / "configs" / "amazon-beauty.toml"
REQUEST, BLOCK = 300, 20_000  # candidates
FULL, RIVAL = "full", "lightgbm"

Figures = dict[str, Any]


@dataclass(frozen=True)
class System:
    """One way to score, and what it took to make it."""

    score: Callable[[Floats], Floats]  # features (n, f) -> (n, 1)
    size: int  # bytes on disk
    cpu_s: float  # of learning or compressing


def main() -> None:
    options = _options()
    lists, settings = lists_of(options)
    print(f"{len(lists):,} lists, {len(lists.names)} features", flush=True)
    ranker = make_ranker(settings)
    with one_thread():
        figures = measure(lists, ranker)
    for name, each in figures["systems"].items():
        print(f"{name:14}" + "  ".join(f"{key} {value:,.4g}" for key, value in each.items()))
    if options.json is not None:
        write_results(options.json, {**machine(), "data": settings.name, **figures})


def lists_of(options: argparse.Namespace) -> tuple[TrainingLists, EngineSettings]:
    """What a ranker learns from on this data, with few lists, and the settings."""
    few = {"most_lists": options.lists}
    if options.data_dir is not None:
        config = EngineSettings.from_toml(CONFIG)
        training = config.training.model_copy(update=few)
        settings = config.model_copy(update={"training": training, "name": CONFIG.stem})
        return Engine(settings).training_lists(data_dir=options.data_dir), settings
    settings = EngineSettings.parse(
        {
            "name": "shop",
            "interactions": {"time": "time", "event": "event"},
            "catalog": {"category": ["category", "brand"], "price": "price"},
            "training": few,
        }
    )
    shop = make_shop(users=options.shop_users, items=max(100, options.shop_users // 2))
    return Engine(settings).training_lists(shop.events, shop.items), settings


def measure(lists: TrainingLists, ranker: NeuralRanker, requests: int = 300) -> Figures:
    """Fit, compress, and measure all of them on one data set."""
    learnt, held = held_out(lists, ranker)
    systems = made(lists, ranker, learnt, held)
    unseen = lists.features[held], lists.filled[held]
    quality = {
        name: ndcg(scored(each.score, *unseen), lists.labels[held])
        for name, each in systems.items()
    }
    rows = lists.features[:][lists.filled]
    request = in_turn({n: _asks(s, rows, REQUEST) for n, s in systems.items()}, requests)
    block = in_turn({n: _asks(s, rows, BLOCK) for n, s in systems.items()}, max(3, requests // 30))
    return {
        "learnt_from": len(learnt),
        "held_out": len(held),
        "features": len(lists.names),
        "systems": {
            name: {
                "kb": each.size / 1024,
                "request_us": request[name].wall * 1e6,
                "us_per_1000": block[name].wall * 1e6 / BLOCK * 1000,
                "ndcg@10": quality[name],
                "ndcg_change": quality[name] / quality[FULL] - 1,
                "request_to_full": request[name].wall / request[FULL].wall,
                "cpu_s": each.cpu_s,
            }
            for name, each in systems.items()
        },
    }


def made(
    lists: TrainingLists, ranker: NeuralRanker, learnt: Array, held: Array
) -> dict[str, System]:
    """The full ranker, all that is made of it, and LightGBM; what is not installed is left out."""
    cost = timed(lambda: ranker.fit(lists))
    full = NetworkScorer(ranker.network_)
    systems = {FULL: System(full, _size(full.save), cost.cpu)}
    for method in METHODS:
        found: list[Any] = []
        try:
            cost = timed(lambda m=method, f=found: f.append(compressed(ranker, m, lists).scorer))  # type: ignore[misc]
        except MissingDependency as error:
            print(f"{method} is left out: {error}")
            continue
        systems[method] = System(found[0], _size(found[0].save), cost.cpu)
    try:
        systems[RIVAL] = boosted(lists, learnt, held, ranker.seed)
    except ModuleNotFoundError:
        print(f"{RIVAL} is left out: pip install 'recsys[gbdt]'")
    return systems


def boosted(lists: TrainingLists, learnt: Array, held: Array, seed: int) -> System:
    """LightGBM's LambdaMART with its own defaults, stopped by the same held-out lists."""
    import lightgbm

    def data(places: Array, reference: Any = None) -> Any:
        features, labels, filled = (  # backwards: the chosen stand first, and win where all tie
            each[places][:, ::-1] for each in (lists.features, lists.labels, lists.filled)
        )
        relevant, sizes = (labels[filled] > 0).astype(np.int32), filled.sum(axis=1)
        return lightgbm.Dataset(features[filled], relevant, group=sizes, reference=reference)

    parameters = {
        "objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "num_threads": 1,
        "seed": seed, "deterministic": True, "verbose": -1,
    }  # fmt: skip
    came: list[Any] = []

    def learn() -> None:
        training = data(learnt)
        stop = lightgbm.early_stopping(30, verbose=False)
        came.append(
            lightgbm.train(
                parameters, training, 500, valid_sets=[data(held, training)], callbacks=[stop]
            )
        )

    cost = timed(learn)
    model = came[0]

    def score(features: Floats) -> Floats:
        return np.asarray(model.predict(features, num_threads=1), np.float32)[:, None]

    return System(score, len(model.model_to_string().encode()), cost.cpu)


def _asks(system: System, rows: Floats, n: int) -> Callable[[], Floats]:
    """The scores of one list of `n` candidates, drawn of `rows`, as a ranker is asked for them."""
    drawn = np.random.default_rng(0).integers(0, len(rows), n)
    features, filled = rows[drawn][None], np.ones((1, n), bool)
    return lambda: scored(system.score, features, filled)


def _size(save: Callable[[Path], None]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return sum(path.stat().st_size for path in Path(folder).iterdir())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="the folder of the public data sets")
    parser.add_argument("--lists", type=int, default=4_000, help="to learn from, at the most")
    parser.add_argument("--shop-users", type=int, default=3_000, help="without --data-dir")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
