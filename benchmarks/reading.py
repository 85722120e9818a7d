"""How fast, and in how much memory, a log of many rows becomes `Interactions`.

    python -m benchmarks reading [--rows 20000000] [--shuffled] [--json FILE]

The log is made in one process and read in another, so that the peak is that of reading alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.measure import peak_gb

USERS_PER_ROW = 1 / 20
ITEMS_PER_ROW = 1 / 200


def main() -> None:
    options = _options()
    if options.make is not None:
        _make(options.make, options.rows, options.shuffled)
    elif options.read is not None:
        print(json.dumps(_read(options.read)))
    else:
        measured = _measure(options.rows, options.shuffled)
        print(
            f"{measured['rows']:,} rows read in {measured['seconds']:.1f} s "
            f"({measured['rows'] / measured['seconds']:,.0f} rows/s), "
            f"peak {measured['peak_gb']:.2f} GB"
        )
        if options.json is not None:
            options.json.write_text(json.dumps({**machine(), **measured}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--shuffled", action="store_true", help="rows in no order of time")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(rows: int, shuffled: bool) -> dict[str, float | str]:
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "log.parquet")
        this = [sys.executable, "-m", "benchmarks.reading", "--rows", str(rows)]
        subprocess.run([*this, "--make", log, *(["--shuffled"] if shuffled else [])], check=True)
        done = subprocess.run([*this, "--read", log], check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout), "shuffled": shuffled}


def _make(path: Path, rows: int, shuffled: bool) -> None:
    from recsys.shop import make_log

    users, items = max(1, int(rows * USERS_PER_ROW)), max(1, int(rows * ITEMS_PER_ROW))
    log = make_log(rows, users, items, seed=0).select("user_id", "item_id", "event", "time")
    if shuffled:
        log = log.sample(fraction=1.0, shuffle=True, seed=0)
    log.write_parquet(path)


def _read(path: Path) -> dict[str, float]:
    from recsys.features.columns import LogColumns
    from recsys.features.reading import read_interactions

    started = time.perf_counter()
    log, rejections = read_interactions(path, LogColumns(event="event", time="time"))
    seconds = time.perf_counter() - started
    return {
        "rows": rejections.read,
        "kept": len(log),
        "users": len(log.users),
        "items": len(log.items),
        "seconds": seconds,
        "peak_gb": peak_gb(),
    }


if __name__ == "__main__":
    main()
