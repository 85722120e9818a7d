"""RecTools as a peer: hands it our rows as files, and reads its lists back."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.rectools import environment
from recsys.features.arrays import PAD, Array, Rows
from recsys.features.errors import DataError, TrainingError
from recsys.features.interactions import Interactions

_RUN = environment.HERE / "run.py"
_TOLD = 2000  # characters of what a failed run said last


def lists(
    model: str,
    past: Interactions,
    users: Rows,
    k: int,
    workspace: Path,
    settings: Mapping[str, Any],
    *,
    excluded: tuple[Rows, Rows] | None = None,
    threads: int | None = None,
) -> tuple[Rows, dict[str, Any]]:
    """What RecTools offers after `past`: rows (b, k), PAD where short, and its timing.

    `users` (b,) are distinct rows, `model` is "two-stage" or "sasrec", and `settings` go over the
    defaults of run.py. Nothing that a user has in `past` is offered, nor any pair of `excluded`
    (user rows (n,), item rows (n,)). A user without a past gets what is popular from "two-stage",
    an empty list from "sasrec".
    Raises MissingDependency without the environment, TrainingError where the run fails.
    """
    python = environment.python()
    threads = threads or len(os.sched_getaffinity(0))
    write(workspace, past, users, excluded)
    command = [str(python), "-P", str(_RUN), str(workspace), "--model", model, "--k", str(k)]
    command += ["--threads", str(threads), "--settings", json.dumps(dict(settings))]
    done = subprocess.run(
        command, env=_environ(threads), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip()[-_TOLD:]
        raise TrainingError(f"RecTools {model} ended with code {done.returncode}: {said}")
    timing = json.loads((workspace / "timing.json").read_text())
    return read(workspace / "lists.parquet", users, k), timing


def write(
    folder: Path, past: Interactions, users: Rows, excluded: tuple[Rows, Rows] | None = None
) -> None:
    """Write train.parquet, users.parquet and, where given, excluded.parquet; drop older lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("excluded.parquet", "lists.parquet", "timing.json"):
        (folder / name).unlink(missing_ok=True)
    _log(past).write_parquet(folder / "train.parquet")
    pl.DataFrame({"user_id": users}).write_parquet(folder / "users.parquet")
    if excluded is not None:
        pairs = pl.DataFrame({"user_id": excluded[0], "item_id": excluded[1]}).unique()
        pairs.write_parquet(folder / "excluded.parquet")


def read(path: Path, users: Rows, k: int) -> Rows:
    """The lists (b, k) of `users` (b,); PAD where a list is short or absent.

    Raises DataError where the file speaks of users who were not asked for, or of ranks beyond `k`.
    """
    table = pl.read_parquet(path)
    queries = _queries(table["user_id"].to_numpy(), users)
    places = table["rank"].to_numpy().astype(np.int64) - 1
    if len(places) and not (places.min() >= 0 and places.max() < k):
        got = f"{places.min() + 1}..{places.max() + 1}"
        raise DataError(f"ranks in {path.name} must lie in 1..{k}; got {got}")
    items = np.full((len(users), k), PAD, np.int32)
    items[queries, places] = table["item_id"].to_numpy()
    return items


def _log(past: Interactions) -> pl.DataFrame:
    """One row per event; `time` (microseconds) only where the log has a clock."""
    columns: dict[str, Array] = {
        "user_id": past.user_rows,
        "item_id": past.item_rows,
        "weight": past.weights,
        "position": np.arange(len(past)) - past.offsets[past.user_rows],
    }
    if past.clock == "time":
        columns["time"] = past.times
    return pl.DataFrame(columns)


def _queries(found: Array, users: Rows) -> Array:
    """Which of `users` each of the `found` (n,) is."""
    order = np.argsort(users)
    place = np.minimum(np.searchsorted(users, found, sorter=order), len(users) - 1)
    queries = order[place]
    if (users[queries] != found).any():
        strange = found[users[queries] != found][0]
        raise DataError(f"lists are for the users asked for; got one for user row {strange}")
    return queries


def _environ(threads: int) -> dict[str, str]:
    """Ours, with OpenMP bound to `threads` and OpenBLAS to one, as implicit asks for."""
    bound = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **bound}
