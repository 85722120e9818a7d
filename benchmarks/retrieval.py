r"""Sources of candidates on public data: each alone, and their lists fused, without a ranker.

    python -m benchmarks.retrieval --data gowalla --data-dir DIR --sources graph-filter ease knn
    python -m benchmarks.retrieval --data gowalla --data-dir DIR --sources graph-filter --validate \
        --try sharpening=2.0 --try ideal=0.2

TUNED has the settings of a source on a data set. With --validate the test set is left alone, and
what is held out in its place is what `benchmarks.peers.tune` chooses settings by: a random tenth
of a given split. --users asks that many of the users, drawn.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestant import CONFIGS, held_out
from benchmarks.machine import machine
from benchmarks.measure import peak_gb, timed, write_results
from benchmarks.peers.tune import validation
from recsys.evaluation.held import Held
from recsys.evaluation.protocols import Window
from recsys.evaluation.yardstick import Yardstick
from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.parts import KINDS
from recsys.policy import Policy
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever
from recsys.retrieval.topk import top_k
from recsys.settings import EngineSettings

TUNED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "gowalla": {
        "graph-filter": {"factors": 1024, "ideal": 0.2, "sharpening": 2.5},
        "als": {"factors": 1024, "unobserved": 120.0, "regularization": 0.03, "iterations": 3},
        "ease": {"regularization": 25.0, "neighbours": 100},  # of neighbourhoods, not exact
    }
}
"""Per data set and kind of source the settings that validation chose.

Fused, the three lists of gowalla count the same: no other weights tried were better there."""

DEPTH = 200  # of the lists that are fused
_BLOCK = 1024  # users fused at once


def main() -> None:
    options = _options()
    settings = EngineSettings.from_toml(CONFIGS / f"{options.data}.toml")
    split = held_out(settings, options.data_dir)
    held, catalog = split.held, split.catalog
    if options.validate:
        held = _validation(held, catalog, settings)
    if options.users is not None:
        held = held.take(np.random.default_rng(0).permutation(len(held))[: options.users])
    yardstick, k, results = Yardstick.of(held), settings.evaluation.k, []
    lists = []
    for kind in options.sources:
        own = {**TUNED.get(options.data, {}).get(kind, {}), **dict(options.tried)}
        found, cost = _of(KINDS[kind](**own), held, catalog)
        lists.append(found)
        told = {"source": kind, "settings": own, **cost, **_quality(yardstick, found.items, k)}
        results.append(told)
        print(_line(told, k), flush=True)
    if len(lists) > 1:
        weights = options.weights or [1.0] * len(lists)
        both = fused(lists, weights, len(catalog.items), k)
        told = {"source": "fused", "weights": weights, **_quality(yardstick, both, k)}
        results.append(told)
        print(_line(told, k), flush=True)
    if options.json is not None:
        about = {"data": options.data, "users": len(held), "validation": options.validate}
        write_results(options.json, {**about, "results": results, **machine()})


def _validation(held: Held, catalog: Catalog, settings: EngineSettings) -> Held:
    """What settings are chosen by in the place of what is tested."""
    window = Window(validation(held.past, settings), held.past.events, {})
    policy = Policy.of(catalog.offered(), held.past.events, settings.events)
    return Held.of(window, catalog, policy)


def fused(lists: Sequence[Candidates], weights: Sequence[float], n_items: int, k: int) -> Rows:
    """The best `k` (b, k) by the weighted sum of scores, each list's divided by its norm.

    What a list does not hold counts 0 there.
    """
    n = len(lists[0])
    items = np.full((n, k), PAD, np.int32)
    for start in range(0, n, _BLOCK):
        queries = np.arange(start, min(start + _BLOCK, n))
        total = np.zeros((len(queries), n_items), np.float32)
        for each, weight in zip(lists, weights, strict=True):
            _add(total, each.take(queries), np.float32(weight))
        total[total == 0] = -np.inf
        everything = Allowed.everything(len(queries), n_items)
        items[queries] = top_k(total, k, everything)[0]
    return items


def _add(total: Floats, found: Candidates, weight: np.float32) -> None:
    scores = np.where(found.filled, found.scores[:, :, 0], 0)
    norms = np.linalg.norm(scores, axis=1, keepdims=True)
    rows = np.arange(len(found))[:, None]
    # A PAD stands for the last item here, and adds nothing to it.
    np.add.at(total, (rows, found.items), weight * scores / np.where(norms == 0, 1, norms))


def _of(source: Retriever, held: Held, catalog: Catalog) -> tuple[Candidates, dict[str, float]]:
    found: list[Candidates] = []
    fit = timed(lambda: source.fit(held.past, catalog))
    allowed = held.policy.allowed(held.histories)
    ask = timed(lambda: found.append(source.retrieve(held.histories, DEPTH, allowed)))
    return found[0], {
        "fit_seconds": fit.wall,
        "fit_cpu_seconds": fit.cpu,
        "cpu_seconds": ask.cpu,
        "users_per_second": len(held) / ask.wall,
        "peak_gb": peak_gb(),
    }


def _quality(yardstick: Yardstick, items: Rows, k: int) -> dict[str, float]:
    values = yardstick.values(items, [k])
    names = (f"recall@{k}", f"ndcg@{k}")
    return {name: float(np.nanmean(values[name])) for name in names}


def _line(told: Mapping[str, Any], k: int) -> str:
    line = f"{told['source']:14} recall@{k} {told[f'recall@{k}']:.4f}"
    line += f"  ndcg@{k} {told[f'ndcg@{k}']:.4f}"
    if "fit_cpu_seconds" in told:
        line += f"  fit {told['fit_cpu_seconds']:.1f} CPU-s  asked {told['cpu_seconds']:.1f} CPU-s"
        line += f"  peak {told['peak_gb']:.1f} GB  {told['settings']}"
    return line


def _tried(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=[p.stem for p in CONFIGS.glob("*.toml")], required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sources", nargs="+", choices=[*KINDS], required=True)
    parser.add_argument("--weights", nargs="+", type=float, help="of the sources, when fused")
    parser.add_argument("--validate", action="store_true", help="leave the test set alone")
    parser.add_argument("--users", type=int, help="ask so many of them")
    parser.add_argument(
        "--try", dest="tried", action="append", default=[], type=_tried, metavar="SETTING=VALUE"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
