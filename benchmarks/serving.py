"""How long one request takes, and how many users a second a whole export serves.

    python -m benchmarks.serving --config benchmarks/configs/amazon-beauty.toml \\
        --data-dir ../shared/data [--artifact FOLDER] [--rounds 5] [--json FILE]

Every round asks, in turn: the two-stage engine for all users, implicit's own recommend for the
same users from the same ALS factors (one stage of ours, the fastest library for it), and single
requests. The figures are medians over the rounds.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.machine import machine
from recsys.engine import Engine
from recsys.features.histories import Histories
from recsys.settings import EngineSettings

REQUESTS = 300


def main() -> None:
    options = _options()
    engine = _engine(options.config, options.data_dir, options.artifact)
    measured = _measure(engine, options.rounds)
    for name, value in measured.items():
        print(f"{name:44} {value:,.2f}" if isinstance(value, float) else f"{name:44} {value}")
    if options.json is not None:
        about = {"config": options.config.stem, "rounds": options.rounds, **machine()}
        options.json.write_text(json.dumps({**about, **measured}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--artifact", type=Path, help="a fitted engine; made there if it is not")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def _engine(config: Path, data_dir: Path | None, artifact: Path | None) -> Engine:
    """The engine as it serves: fitted, saved and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = artifact or Path(folder) / "engine"
        if not artifact.exists():
            Engine(EngineSettings.from_toml(config)).fit(data_dir=data_dir).save(artifact)
        return Engine.load(artifact)


def _measure(engine: Engine, rounds: int) -> dict[str, Any]:
    sessions = _sessions(engine)
    ask_all: Callable[[], object] = lambda: sum(1 for _ in engine.recommend_all(k=10))  # noqa: E731
    ask_implicit = _implicit(engine)
    engine.recommend(engine.users[:1000])
    for session in sessions[:20]:
        engine.recommend(sessions={0: session})
    rows: list[dict[str, float]] = []
    for _ in range(rounds):
        two_stage, implicit = _timed(ask_all), _timed(ask_implicit)
        latencies = [_timed(lambda s=s: engine.recommend(sessions={0: s}))[0] for s in sessions]
        users = len(engine.users)
        rows.append(
            {
                "two-stage, users per second": users / two_stage[0],
                "two-stage, CPU-seconds per 10k users": two_stage[1] / users * 1e4,
                "implicit ALS alone, users per second": users / implicit[0],
                "implicit ALS alone, CPU-seconds per 10k users": implicit[1] / users * 1e4,
                "one request, p50 ms": float(np.percentile(latencies, 50)) * 1e3,
                "one request, p95 ms": float(np.percentile(latencies, 95)) * 1e3,
                "one request, p99 ms": float(np.percentile(latencies, 99)) * 1e3,
            }
        )
    medians = pl.DataFrame(rows).median().row(0, named=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "users": len(engine.users),
        "items": len(engine.items),
        "candidates per request, median": _candidates(engine),
        **medians,
        "peak memory, GB": peak,
    }


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """(wall seconds, CPU-seconds)"""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _histories(engine: Engine, users: int) -> Histories:
    return Histories.of(engine.learnt.log, np.arange(users, dtype=np.int32))


def _sessions(engine: Engine) -> list[list[Any]]:
    """The histories of the first users as sessions of item ids."""
    histories = _histories(engine, min(REQUESTS, len(engine.users)))
    ids = engine.learnt.log.items.ids_at(histories.items)
    bounds = zip(histories.offsets[:-1], histories.offsets[1:], strict=True)
    return [ids[int(start) : int(end)].to_list() for start, end in bounds]


def _candidates(engine: Engine) -> float:
    histories = _histories(engine, min(REQUESTS, len(engine.users)))
    candidates, _ = engine.learnt.fitted.candidates(
        histories, engine.learnt.policy.allowed(histories)
    )
    return np.median(candidates.filled.sum(axis=1))


def _implicit(engine: Engine) -> Callable[[], object]:
    """implicit's recommend for all users, seen items filtered, on one BLAS thread as it asks."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    matrix = _histories(engine, len(engine.users)).matrix(len(engine.items))
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(factors=64, alpha=10, iterations=15, random_state=0)
        model.fit(matrix, show_progress=False)

    def ask() -> object:
        with threadpool_limits(1, user_api="blas"):
            return model.recommend(np.arange(matrix.shape[0]), matrix, N=10)

    return ask


if __name__ == "__main__":
    main()
