"""What work costs: wall time, CPU-seconds and peak memory, of several things in turn."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """What one piece of work took."""

    wall: float  # seconds
    cpu: float  # seconds, over all threads of this process

    def as_dict(self, queries: int | None = None) -> dict[str, float]:
        """The figures by name; with the number of queries answered also per query."""
        figures = {"wall_s": self.wall, "cpu_s": self.cpu}
        if queries:
            figures["users_per_second"] = queries / self.wall
            figures["cpu_s_per_10k"] = self.cpu / queries * 1e4
        return figures


def timed(work: Work) -> Cost:
    """What `work` costs when it is done once."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(works: Mapping[str, Work], rounds: int, warm: bool = True) -> dict[str, Cost]:
    """The median cost of each, every round doing all of them one after the other.

    So a machine that slows down for a minute slows all of them, and ratios stay true. With `warm`
    each is done once before the clock starts.
    """
    if warm:
        for work in works.values():
            work()
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            costs[name].append(timed(work))
    return {name: median(each) for name, each in costs.items()}


def median(costs: Iterable[Cost]) -> Cost:
    """The median wall time and the median CPU time, each for itself."""
    pairs = np.array([(cost.wall, cost.cpu) for cost in costs])
    wall, cpu = np.median(pairs, axis=0)
    return Cost(float(wall), float(cpu))


def latencies(works: Iterable[Work]) -> dict[str, float]:
    """Percentiles over the wall times of single pieces of work, in ms."""
    seconds = [timed(work).wall for work in works]
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1e3
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}


def peak_gb() -> float:
    """The most memory that this process has held so far.

    Linux hands the peak of a parent on to `ru_maxrss` of its child; VmHWM is the child's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def child(module: str, *arguments: object, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object that `python -m module arguments` prints as its last line."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **(env or {})}
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def write_results(path: Path, results: Mapping[str, object]) -> None:
    """Write one file of results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
    draft.replace(path)
