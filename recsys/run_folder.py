"""A folder that keeps one run: settings, environment, data, losses of every epoch, metrics."""

import json
import logging
import math
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.features.drafts import is_gone, owner
from recsys.features.errors import OutputError
from recsys.features.outputs import draft_of, write_whole
from recsys.trackers import About, Outcome

_LONGEST = 100  # characters of a name that a folder's name repeats

_log = logging.getLogger("recsys")


def new_folder(parent: Path, name: str, kind: str) -> Path:
    """Make the folder of a new run, <name>-<kind>-<time in UTC>-<4 hexadecimal digits>.

    Raises OutputError where it cannot be made.
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:_LONGEST].strip("-.") or "engine"
    folder = parent / f"{safe}-{kind}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"the run folder {folder} cannot be made ({error.strerror}); name another with --runs "
            "or tracking.folder, or keep none with --no-run or tracking.use = false"
        ) from None
    return folder


def mark_abandoned(parent: Path) -> list[Path]:
    """Say of the runs in a folder whose process was killed that they are interrupted; which.

    Those of other machines and containers stay as they are: nobody here can know.
    """
    marked = []
    for path in sorted(parent.glob("*/status.json")):
        try:
            status = json.loads(path.read_text(encoding="utf8"))
            if status["status"] != "running" or not is_gone(status["owner"]):
                continue
            said = f"process {status['process']} was killed, or the machine was stopped"
            about = {"status": "interrupted", "started": status["started"], "error": said}
            write_whole(path, json.dumps(about, indent=1) + "\n")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # not one of ours
            continue
        _log.warning("the run in %s was killed; its status says so now", path.parent)
        marked.append(path.parent)
    return marked


@dataclass
class RunFolder:
    """The tracker that is always there.

    It writes settings.json, environment.json and status.json at the start, data.json once the
    tables are read, epochs.jsonl after each fit, and at the end metrics.json and the whole result,
    evaluation.json or fit.json, beside the tables that it is given. Every file is whole at every
    moment. The status is "running", "finished", "failed" with the error, or "interrupted": by
    Ctrl-C, by a signal, or by a kill, which the next run beside it finds out (`mark_abandoned`).
    """

    folder: Path
    name: str = "run folder"

    def start(self, about: About) -> None:
        """Write what is known before any work."""
        self._about = about
        self._epochs: list[str] = []
        self._started = _now()
        settings = about.settings.model_dump(mode="json")
        self._write("settings.json", settings)
        self._write("environment.json", {**about.environment, "seeds": list(about.seeds)})
        self._status("running", process=os.getpid(), owner=owner())

    def data(self, data: Mapping[str, Any]) -> None:
        """Write what was read."""
        self._write("data.json", data)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add a line of one epoch."""
        self._epochs.append(json.dumps(plain(row), allow_nan=False) + "\n")
        write_whole(self.folder / "epochs.jsonl", "".join(self._epochs))

    def table(self, name: str, table: pl.DataFrame) -> None:
        """Write a table as <name>.parquet."""
        with draft_of(self.folder / f"{name}.parquet") as draft:
            table.write_parquet(draft)

    def finish(self, outcome: Outcome) -> None:
        """Write what came out."""
        self._write("metrics.json", outcome.metrics)
        self._write(f"{self._about.kind}.json", outcome.result)
        self._status("finished", notes=outcome.notes)

    def fail(self, reason: str) -> None:
        """Say why nothing came out."""
        self._status("failed", error=reason)

    def interrupt(self, reason: str) -> None:
        """Say what ended the run before it came to anything."""
        self._status("interrupted", error=reason)

    def _status(self, status: str, **more: Any) -> None:
        ended = {} if status == "running" else {"ended": _now()}
        self._write("status.json", {"status": status, "started": self._started, **ended, **more})

    def _write(self, name: str, value: Any) -> None:
        text = json.dumps(plain(value), indent=1, allow_nan=False) + "\n"
        write_whole(self.folder / name, text)


def plain(value: Any) -> Any:
    """The same as JSON can say it: null for what is not finite, text for paths and dates."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
