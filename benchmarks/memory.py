"""Peak memory while recommending, and whether it grows with the number of users.

    python -m benchmarks memory [--users 10000 100000] [--json FILE]

A shop is generated and fitted once; then each number of users is asked for in a process of its
own, which first loads the engine and answers one block. What the rest adds is the figure.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from benchmarks.measure import peak_gb


def main() -> None:
    options = _options()
    if options.ask is not None:
        print(json.dumps(_ask(options.ask, options.users[0])))
        return
    measured = _measure(options.users)
    for row in measured:
        print(
            f"{row['users']:>9,} users: {row['loaded_mb']:,.0f} MB after one block, "
            f"{row['peak_mb']:,.0f} MB at the peak"
        )
    if options.json is not None:
        options.json.write_text(json.dumps({**machine(), "runs": measured}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(users: list[int]) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "engine"
        _fit(max(users), artifact)
        this = [sys.executable, "-m", "benchmarks.memory", "--ask", str(artifact)]
        return [
            json.loads(
                subprocess.run(
                    [*this, "--users", str(n)], check=True, capture_output=True, text=True
                ).stdout
            )
            for n in users
        ]


def _fit(users: int, artifact: Path) -> None:
    from recsys.demo import shop_settings
    from recsys.engine import Engine
    from recsys.settings import TrainingSettings
    from recsys.shop import make_shop

    shop = make_shop(users=users, items=5_000, sessions_per_user=3.0)
    changes = {
        "ranker": {"epochs": 1},
        "sources": {name: {"use": False} for name in ("content", "sequence")},  # long fits alone
        "training": TrainingSettings(most_lists=4_000),
    }
    settings = shop_settings().model_copy(update=changes)
    Engine(settings).fit(shop.events, shop.items).save(artifact)


def _ask(artifact: Path, users: int) -> dict[str, float]:
    """The resident peak (MB) after one block and after so many users, each list then dropped."""
    from recsys.engine import Engine

    engine = Engine.load(artifact)
    known = np.flatnonzero(engine.learnt.log.counts)[:users]
    ids = engine.users.gather(known)
    for _ in islice(engine.recommend_all(users=ids), 1):
        loaded = _peak()
    for _ in engine.recommend_all(users=ids):
        pass
    return {"users": len(ids), "loaded_mb": loaded, "peak_mb": _peak()}


def _peak() -> float:
    return peak_gb() * 1024


if __name__ == "__main__":
    main()
