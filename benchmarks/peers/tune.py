"""Search the settings of a peer on validation data; the test part of a data set stays out of it.

    python -m benchmarks.peers.tune --data ml-1m --peer als [--try factors=64,128 alpha=1,10]

Validation is the item before the last, with the last one taken from everything; where a split is
given, a random tenth of what each user has in its train part. Every combination of the values is
fitted once; what FILE (--json) already holds is not fitted again, so a search can be stopped and
gone on with, or widened. --most-items searches on the items with most events only, where a fit of
all takes long. With --test the settings of settings.toml are scored on the test part, or those of
--try, so that a published figure of known settings can be reproduced.
"""

import argparse
import json
import time
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import PEERS, Peer, tuned
from recsys.engine import Engine
from recsys.evaluation import metrics
from recsys.evaluation.protocols import read_test, windows
from recsys.features.arrays import Mask
from recsys.features.catalog import Catalog
from recsys.features.interactions import Interactions
from recsys.learning import Moment, moment
from recsys.policy import Policy
from recsys.settings import EngineSettings

CONFIGS = Path(__file__).parent.parent / "configs"

GRIDS: dict[str, dict[str, list[Any]]] = {
    "popularity": {},
    "knn": {"neighbours": [20, 50, 100, 200, 500], "similarity": ["cosine"]},
    "als": {
        "factors": [32, 64, 128],
        "alpha": [1.0, 5.0, 20.0],
        "regularization": [0.1, 3.0, 30.0],
        "iterations": [15],
    },
    "bpr": {"factors": [64], "regularization": [0.003, 0.01, 0.03], "iterations": [50, 150]},
    "lightfm": {"factors": [64], "learning_rate": [0.03, 0.06], "epochs": [10, 30]},
    "recsys-als": {
        "factors": [64, 256],
        "unobserved": [40.0, 100.0],
        "regularization": [0.03, 0.1],
        "iterations": [3, 8],
    },
    "ease": {"regularization": [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]},
}
"""Where a search begins."""

_HELD = 0.1


def main() -> None:
    options = _options()
    settings = EngineSettings.from_toml(CONFIGS / f"{options.data}.toml")
    log, catalog = Engine(settings).read(data_dir=options.data_dir)
    if options.test:
        test = read_test(settings, options.data_dir)
        cut = next(windows(log, settings.evaluation, test)).moment
        for chosen in combinations(_tried(options.tries)):
            peer = PEERS[options.peer](**chosen) if chosen else tuned(options.peer, options.data)
            print(_said(chosen, _measured(peer, cut, catalog, settings)), flush=True)
        return
    cut = validation(_most_had(log, options.most_items), settings)
    done = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    for chosen in combinations(GRIDS[options.peer] | _tried(options.tries)):
        if any(run["settings"] == chosen for run in done):
            continue
        peer = PEERS[options.peer](**chosen)
        done.append({"settings": chosen, **_measured(peer, cut, catalog, settings)})
        print(_said(chosen, done[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(done, indent=1) + "\n")
    best = max(done, key=lambda run: run["ndcg"])
    print("best:", _said(best["settings"], best))


def validation(log: Interactions, settings: EngineSettings) -> Moment:
    """The cut that settings are chosen by: nothing of the test part is in it."""
    if settings.evaluation.protocol == "given":
        held = _drawn(log, settings.seed)
        return moment(log.where(~held), log.where(held))
    rest, _ = log.split_last(1)
    return moment(*rest.split_last(1))


def combinations(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of a grid, the last name changing fastest."""
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _most_had(log: Interactions, n: int | None) -> Interactions:
    """The events of the `n` items that have most, of all for None."""
    if n is None:
        return log
    kept = np.zeros(len(log.items), bool)
    kept[np.argsort(-log.item_counts, kind="stable")[:n]] = True
    return log.where(kept[log.item_rows])


def _drawn(log: Interactions, seed: int) -> Mask:
    """(n,) a random tenth of each user's events, rounded down."""
    order = np.lexsort((np.random.default_rng(seed).random(len(log)), log.user_rows))
    place = np.empty(len(log), np.int64)
    place[order] = np.arange(len(log)) - log.offsets[log.user_rows[order]]
    held: Mask = place < (log.counts * _HELD).astype(np.int64)[log.user_rows]
    return held


def _measured(
    peer: Peer, cut: Moment, catalog: Catalog, settings: EngineSettings
) -> dict[str, Any]:
    k, started = settings.evaluation.k, time.perf_counter()
    peer.fit(cut.past, catalog)
    fitted = time.perf_counter()
    policy = Policy.of(catalog.offered(), cut.past.events, settings.events)
    hits = cut.chosen.hits(peer.lists(cut.histories, policy.allowed(cut.histories), k))
    positives = np.diff(cut.chosen.offsets)
    return {
        "recall": round(float(metrics.recall(hits, positives).mean()), 5),
        "ndcg": round(float(metrics.ndcg(hits, positives).mean()), 5),
        "fit_seconds": round(fitted - started, 1),
        "seconds": round(time.perf_counter() - fitted, 1),
    }


def _said(chosen: dict[str, Any], run: dict[str, Any]) -> str:
    shown = " ".join(f"{name}={value}" for name, value in chosen.items())
    return (
        f"{shown} recall {run['recall']:.4f} ndcg {run['ndcg']:.4f} "
        f"fit {run['fit_seconds']} s, lists {run['seconds']} s"
    ).strip()


def _tried(asked: list[str]) -> dict[str, list[Any]]:
    """What "factors=64,128" means: values as TOML writes them, but words without quotes."""
    grid = {}
    for each in asked:
        name, _, values = each.partition("=")
        try:
            grid[name] = tomllib.loads(f"v = [{values}]")["v"]
        except tomllib.TOMLDecodeError:
            grid[name] = values.split(",")
    return grid


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, choices=sorted(p.stem for p in CONFIGS.iterdir()))
    parser.add_argument("--peer", required=True, choices=list(PEERS))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--try", dest="tries", nargs="+", default=[], metavar="NAME=VALUES")
    parser.add_argument("--most-items", type=int, help="search on so many items only")
    parser.add_argument("--json", type=Path, help="what was measured, to go on from")
    parser.add_argument("--test", action="store_true", help="score the settings chosen")
    return parser.parse_args()


if __name__ == "__main__":
    main()
