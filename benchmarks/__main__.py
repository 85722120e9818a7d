"""Measure, and keep what was measured in benchmarks/results/.

    python -m benchmarks all|readme|peers|quality|seeds|refit|speed|als|compression|embed|index|
        growth|scoring|reading|memory
        [--data-dir ../shared/data] [--results DIR] [--keep | --fresh]

Each step is a process of its own that leaves one file. A step whose file was made by this code and
these arguments is skipped, so that a run that was stopped goes on where it stopped; --keep skips
whatever has a file, --fresh skips nothing. A step that fails is named at the end. `seeds` repeats
`quality` with three seeds, which takes as long as all others: `all` leaves it out.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import refit
from benchmarks.comparison import CONTESTS
from benchmarks.measure import write_results
from benchmarks.quality import SETS, SEVERAL
from benchmarks.versions import CODE, state

HERE = Path(__file__).parent
RESULTS = HERE / "results"

Stamp = dict[str, object]
"""The code and the arguments that a file of results was made with."""


@dataclass(frozen=True)
class Step:
    """A module that writes one file of results, and takes --data-dir where it reads public data."""

    name: str
    module: str
    result: str | None  # the file of results, named by step and data; None: it leaves none
    arguments: tuple[str, ...] = ()
    reads_data: bool = False
    generated: str | None = None  # the file without --data-dir; None: then the step is left out
    own_fresh: bool = False  # it keeps parts of its work, and --fresh makes it forget them
    of_all: bool = True  # False: it is done only where it is named

    def file(self, options: argparse.Namespace) -> Path | None:
        """Where its results go."""
        made_up = self.reads_data and options.data_dir is None
        name = self.generated if made_up else self.result
        return options.results / name if name else None

    @property
    def label(self) -> str:
        return Path(self.result).stem if self.result else self.name


def _on(name: str, module: str, sets: Iterable[str], *further: str, **about: Any) -> list[Step]:
    """A step for each of these public data sets."""
    return [
        Step(name, module, f"{name}-{data}.json", ("--data", data, *further), True, **about)
        for data in sets
    ]


_SEEDS = ("--seeds", "0", "1", "2")

STEPS = (
    *_on("peers", "benchmarks.comparison", CONTESTS, own_fresh=True),
    *_on("quality", "benchmarks.quality", SETS),
    *_on("seeds", "benchmarks.quality", SEVERAL, *_SEEDS, of_all=False),
    *_on("refit", "benchmarks.refit", refit.SETS),
    *_on("refit", "benchmarks.refit", refit.SEVERAL, *_SEEDS),
    Step("refit", "benchmarks.refit", "refit-shop.json", ("--data", refit.SHOP, *_SEEDS)),
    Step(
        "speed",
        "benchmarks.speed",
        "speed-amazon-beauty.json",
        reads_data=True,
        generated="speed-shop.json",
    ),
    Step("als", "benchmarks.als", "als.json"),
    Step("compression", "benchmarks.compression", "compression-shop.json"),
    Step("embed", "benchmarks.embedding", "embed.json", reads_data=True, generated="embed.json"),
    Step("index", "benchmarks.index", "index.json"),
    Step("growth", "benchmarks.growth", "growth.json"),
    Step("scoring", "benchmarks.scoring", "scoring.json"),
    Step("reading", "benchmarks.reading", "reading.json"),
    Step("memory", "benchmarks.memory", "memory.json"),
    Step("readme", "benchmarks.tables", None),
)
"""In the order of `all`; the steps of one name run together."""


def main() -> None:
    options, further = _options()
    everything = options.step == "all"
    chosen = [s for s in STEPS if (s.of_all if everything else s.name == options.step)]
    failed = [step.label for step in chosen if not run(step, options, further)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(step: Step, options: argparse.Namespace, further: list[str]) -> bool:
    """Do one step unless its file is there already; False where it failed."""
    path = step.file(options)
    stamp: Stamp = {"code": state(CODE), "arguments": [*step.arguments, *further]}
    reason = left_out(step, path, stamp, options)
    print(f"--- {step.label}" + (f": {reason}" if reason else ""), flush=True)
    if reason:
        return True
    command = [sys.executable, "-m", step.module, *step.arguments, *further]
    if step.reads_data and options.data_dir is not None:
        command += ["--data-dir", str(options.data_dir)]
    command += ["--json", str(path)] if path else ["--results", str(options.results)]
    command += ["--fresh"] if step.own_fresh and options.fresh else []
    options.results.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, check=False).returncode == 0
    if done and path:
        write_results(path, {**json.loads(path.read_text()), "made_by": stamp})
    return done


def left_out(
    step: Step, path: Path | None, stamp: Stamp, options: argparse.Namespace
) -> str | None:
    """Why a step need not or cannot run; None where it should."""
    if step.result and path is None:
        return "left out, it needs --data-dir"
    if path is None or options.fresh or not path.exists():
        return None
    if options.keep:
        return f"kept, {path.name} is there"
    if stamp["code"] is not None and json.loads(path.read_text()).get("made_by") == stamp:
        return f"skipped, {path.name} was made by this code"
    return None


def _options() -> tuple[argparse.Namespace, list[str]]:
    """Ours, and further arguments for the module of a single step."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=[*dict.fromkeys(step.name for step in STEPS), "all"])
    parser.add_argument("--data-dir", type=Path, help="the folder of the public data sets")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the files go")
    skip = parser.add_mutually_exclusive_group()
    skip.add_argument("--keep", action="store_true", help="skip every step that has a file")
    skip.add_argument("--fresh", action="store_true", help="skip none")
    options, further = parser.parse_known_args()
    if further and options.step == "all":
        parser.error(f"'all' takes no further arguments; got {further}")
    return options, further


if __name__ == "__main__":
    main()
