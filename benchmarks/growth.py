"""How fitting and asking grow from 10,000 to a million users, and to a million items.

    python -m benchmarks growth [--points users:10000 items:1000000 ...] [--json FILE]

Logs are made by `make_log`: 5 events per user, over 10,000 items while users grow, 500,000 events
of 100,000 users while items grow. There is no text, the sequence encoder is off (what its fit reads
is bounded by a setting, not by the log), and the ranker learns one epoch from few lists of one
moment: what is measured is how costs grow, not how good the lists are. Each point is made, fitted
and asked in processes of its own; of a million users 10,000 are asked, which is a rate like any
other, since users are answered in blocks.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.measure import child, latencies, peak_gb, timed, write_results

POINTS = ("users:10000", "users:100000", "users:1000000", "items:1000000")
"""What grows, and to how much; items:10000 is users:100000."""

EVENTS_PER_USER = 5
FEW_ITEMS, FEW_USERS = 10_000, 100_000
ASKED, REQUESTS, STAGED = 10_000, 100, 1_024

Figures = dict[str, Any]


def main() -> None:
    options = _options()
    if options.part is not None:
        print(json.dumps(PARTS[options.part](options)))
        return
    points = {}
    for point in options.points:
        with tempfile.TemporaryDirectory() as folder:
            points[point] = measure(point, Path(folder), options.asked)
        _show(point, points[point])
    if options.json is not None:
        write_results(options.json, {**machine(), "points": points})


def measure(point: str, folder: Path, asked: int) -> Figures:
    """Make, fit, ask; each in a process of its own."""

    def part(name: str) -> Figures:
        arguments = ["--part", name, "--folder", folder, "--points", point, "--asked", asked]
        return child("benchmarks.growth", *arguments)

    return {**part("make"), "fit": part("fit"), **part("ask")}


def shape_of(point: str) -> tuple[int, int]:
    """(users, items) of a point such as "users:10000"."""
    axis, _, count = point.partition(":")
    if axis not in ("users", "items") or not count.isdecimal() or int(count) < 1:
        raise SystemExit(f"a point is users:N or items:N; got {point!r}")
    return (int(count), FEW_ITEMS) if axis == "users" else (FEW_USERS, int(count))


def make(options: argparse.Namespace) -> Figures:
    """A log and a catalogue as Parquet."""
    from recsys.shop import make_catalog, make_log

    users, items = shape_of(options.points[0])
    log = make_log(users * EVENTS_PER_USER, users, items)
    log.write_parquet(options.folder / "events.parquet")
    make_catalog(items).write_parquet(options.folder / "items.parquet")
    return {"users": users, "items": items, "events": len(log)}


def fit(options: argparse.Namespace) -> Figures:
    """Read the files, fit both stages, save."""
    from recsys.engine import Engine
    from recsys.settings import EngineSettings

    engine = Engine(EngineSettings.parse(SETTINGS))
    data: list[Any] = []
    read = timed(lambda: data.extend(engine.read(data_dir=options.folder)))
    cost = timed(lambda: engine.fit(*data))
    peak = peak_gb()
    saved = timed(lambda: engine.save(options.folder / "engine"))
    size = sum(path.stat().st_size for path in (options.folder / "engine").rglob("*.*"))
    return {
        "read_s": read.wall,
        **cost.as_dict(),
        "peak_gb": peak,
        "save_s": saved.wall,
        "artifact_mb": size / 1024**2,
        "has_ranker": engine.learnt.fitted.ranker is not None,
    }


SETTINGS: dict[str, Any] = {
    "interactions": {"path": "events.parquet", "time": "time", "event": "event"},
    "catalog": {"path": "items.parquet", "category": "category", "price": "price"},
    "sources": {"content": {"use": False}, "sequence": {"use": False}},
    "ranker": {"epochs": 1},
    "training": {"moments": 1, "most_lists": 4_000, "least_positives": 2},
}


def ask(options: argparse.Namespace) -> Figures:
    """Load, recommend for many, answer single requests, and take the stages apart."""
    from recsys.engine import Engine

    loaded: list[Engine] = []
    load = timed(lambda: loaded.append(Engine.load(options.folder / "engine")))
    engine = loaded[0]
    load_peak = peak_gb()
    known = engine.learnt.log.active_users()
    asked = engine.users.gather(known[np.linspace(0, len(known) - 1, options.asked).astype(int)])
    engine.recommend(asked[:200])
    every = timed(lambda: [None for _ in engine.recommend_all(users=asked)])
    singles = asked[np.linspace(0, len(asked) - 1, REQUESTS).astype(int).tolist()].to_list()
    one = latencies([lambda user=user: engine.recommend([user]) for user in singles])
    return {
        "load": {**load.as_dict(), "peak_gb": load_peak},
        "all": {**every.as_dict(len(asked)), "asked": len(asked)},
        "one": one,
        "ask_peak_gb": peak_gb(),
        "stages_cpu_ms": stages(engine, min(STAGED, len(known))),
    }


def stages(engine: Any, queries: int) -> dict[str, float]:
    """CPU milliseconds per user of each source, of all with their union, and of ranking."""
    import torch

    from recsys.features.histories import Histories
    from recsys.fitted import block_size

    torch.set_num_threads(1)  # as in the threads that serve
    users = engine.learnt.log.active_users()
    users = users[np.linspace(0, len(users) - 1, queries).astype(int)]
    size = block_size(len(engine.items))
    spent: dict[str, float] = {}
    for start in range(0, queries, size):
        for name, cpu in _staged(engine, Histories.of(engine.learnt.log, users[start:][:size])):
            spent[name] = spent.get(name, 0.0) + cpu * 1e3 / queries
    return spent


def _staged(engine: Any, histories: Any) -> Iterator[tuple[str, float]]:
    """(stage, CPU-seconds) for one block of queries, in the order of serving."""
    fitted, answers = engine.learnt.fitted, []
    allowed = engine.learnt.policy.allowed(histories)
    for member in fitted.sources.offering:
        retrieve, depth = member.retriever.retrieve, member.depth
        yield member.name, timed(partial(retrieve, histories, depth, allowed)).cpu
    yield "all sources", timed(lambda: answers.append(fitted.candidates(histories, allowed))).cpu
    candidates, _ = answers.pop()
    yield "features", timed(lambda: answers.append(fitted.features(histories, candidates))).cpu
    if fitted.ranker is not None:
        yield "ranker", timed(partial(fitted.ranker.scores, *answers[0], candidates.filled)).cpu


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {"make": make, "fit": fit, "ask": ask}


def _show(point: str, figures: Figures) -> None:
    fitted, every = figures["fit"], figures["all"]
    print(
        f"{point:15} fit {fitted['wall_s']:7.1f} s ({fitted['cpu_s']:.0f} CPU-s, "
        f"{fitted['peak_gb']:.2f} GB), load {figures['load']['wall_s']:.1f} s, "
        f"{every['users_per_second']:,.0f} users/s "
        f"({every['cpu_s_per_10k']:.1f} CPU-s per 10,000), one request "
        f"{figures['one']['p50_ms']:.1f} ms, peak {figures['ask_peak_gb']:.2f} GB",
        flush=True,
    )
    stages = figures["stages_cpu_ms"].items()
    print("  CPU ms per user: " + ", ".join(f"{name} {value:.2f}" for name, value in stages))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="users:N or items:N")
    parser.add_argument("--asked", type=int, default=ASKED, help="users who get a list per point")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
