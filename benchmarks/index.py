"""What each kind of index costs and finds: building, lists for many users, one filtered search.

    python -m benchmarks index [--items 1000000] [--users 100000] [--kinds ivf hnsw] [--json FILE]

Vectors are made up in clusters of clusters, as learnt ones lie, and users near what they like. Each
kind runs in a process of its own, which has a peak of its own.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.measure import child, latencies, peak_gb, timed, write_results
from recsys.features.arrays import Floats
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.index import VectorIndex
from recsys.retrieval.index_settings import IndexSettings
from recsys.retrieval.nearest import Held, swept

KINDS = ("ivf",)
K = 100
LEFT = 0.001
"""The share of the items that the filter of single searches leaves."""
REQUESTS = 300
CHECKED = 500
"""Users whose lists are compared with the exact ones."""

TUNED = 1000
"""Other users, whom the index may ask to find how far it must look."""

Figures = dict[str, Any]


def main() -> None:
    options = _options()
    if options.one is not None:
        print(json.dumps(measure(options.one, options)))
        return
    shape = ["--items", options.items, "--users", options.users, "--factors", options.factors]
    kinds: Figures = {}
    for kind in options.kinds:
        kinds[kind] = child("benchmarks.index", "--one", kind, *shape, "--recall", options.recall)
        print(kind, json.dumps(kinds[kind], indent=1), flush=True)
    names = ("items", "users", "factors", "recall")
    shapes = {name: getattr(options, name) for name in names}
    if options.json is not None:
        write_results(options.json, {**machine(), "shape": shapes, "k": K, "kinds": kinds})


def measure(kind: str, options: argparse.Namespace) -> Figures:
    """One kind: what it takes to build, what it finds for whom at what cost, and one search."""
    items, users = made_up(options.items, options.users, options.factors)
    settings = IndexSettings(kind=kind, recall=options.recall)
    index = VectorIndex(options.factors, "cpu", settings)
    rows = np.arange(len(items), dtype=np.int32)
    build = timed(lambda: index.add(rows, items, users[-TUNED:]))
    built_gb = peak_gb()
    some = np.linspace(0, len(users) - TUNED - 1, CHECKED).astype(np.int64)
    everything = Allowed.everything(CHECKED, len(items))
    best = swept(users[some], Held.of(rows, items), K, everything)[0]
    found: list[Any] = []
    every = Allowed.everything(len(users), len(rows))
    cost = timed(lambda: found.append(index.search(users, K, every)[0]))
    near = found[0][some]
    recall = np.mean([len(np.intersect1d(*pair)) / K for pair in zip(best, near, strict=True)])
    return {
        "build": build.as_dict(),
        "build_peak_gb": built_gb,
        "all": cost.as_dict(len(users)),
        "recall": float(recall),
        "one": _one(index, users, every),
        "one_filtered": _one(index, users, _filtered(len(rows))),
        "peak_gb": peak_gb(),
        "effort": index.measured.effort,
        "kind": index.measured.kind,
        "measured_recall": index.measured.recall,
        "note": index.measured.note,
    }


def made_up(items: int, users: int, factors: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Items (n, d) in a thousand clusters within a hundred, and users (b, d) between a few."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(100, factors)).astype(np.float32)
    near = wide[rng.integers(100, size=1000)] + rng.normal(size=(1000, factors)) * 0.7
    near = near.astype(np.float32)
    vectors = rng.standard_normal((items, factors), np.float32)
    vectors *= 0.6
    vectors += near[rng.integers(1000, size=items)]
    liked = vectors[rng.integers(items, size=(users, 3))].mean(axis=1)
    liked += 0.3 * rng.standard_normal((users, factors), np.float32)
    return vectors, liked


def _filtered(items: int) -> Allowed:
    mask = np.random.default_rng(1).random(items) < LEFT
    return Allowed(mask, np.zeros(2, np.int64), np.zeros(0, np.int32))


def _one(index: VectorIndex, users: Floats, allowed: Allowed) -> Figures:
    """Percentiles of single searches, and the least that one of them found."""
    single = Allowed(allowed.mask, np.zeros(2, np.int64), np.zeros(0, np.int32))
    least = K

    def ask(user: int) -> None:
        nonlocal least
        items, _ = index.search(users[user : user + 1], K, single)
        least = min(least, int((items >= 0).sum()))

    ask(0)
    times = latencies([lambda user=user: ask(user) for user in range(min(REQUESTS, len(users)))])
    return {**times, "least_found": least}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--recall", type=float, default=0.97)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
