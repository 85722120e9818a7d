"""Run the benchmarks one after the other and write what they measured to benchmarks/results/.

    python -m benchmarks [--data-dir ../shared/data] [--only reading serving ...]

Those that need the public data are left out, and named, where no folder is given.
"""

import argparse
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

ALONE = {
    "reading": ["--rows", "20000000"],
    "memory": [],
}
"""Benchmarks that generate what they need."""

ON_PUBLIC_DATA = {
    "embedding": [],
    "serving": ["--config", "benchmarks/configs/amazon-beauty.toml"],
}


def main() -> None:
    options = _options()
    chosen = options.only or [*ALONE, *ON_PUBLIC_DATA]
    if options.data_dir is None:
        for name in set(chosen) & set(ON_PUBLIC_DATA):
            print(f"{name} is left out: it needs --data-dir")
        chosen = [name for name in chosen if name in ALONE]
    RESULTS.mkdir(exist_ok=True)
    for name in chosen:
        arguments = ALONE.get(name) or ON_PUBLIC_DATA.get(name) or []
        if name in ON_PUBLIC_DATA:
            arguments = [*arguments, "--data-dir", str(options.data_dir)]
        print(f"--- {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        subprocess.run([*command, "--json", str(RESULTS / f"{name}.json")], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="the folder of the public data sets")
    parser.add_argument("--only", nargs="+", choices=[*ALONE, *ON_PUBLIC_DATA])
    return parser.parse_args()


if __name__ == "__main__":
    main()
