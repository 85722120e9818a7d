"""The state of the code that results were made with."""

import hashlib
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

CODE = (
    *("features", "retrieval", "ranking", "recsys", "benchmarks", "constraints.txt"),
    *(":!benchmarks/results", ":!benchmarks/tables.py"),
)
"""What results hang on; results and tables change while the steps run."""


@cache
def state(code: Sequence[str]) -> str | None:
    """The last commit that touched these paths, and what differs from that.

    None where this is not a checkout of git.
    """
    commit = _git("log", "-1", "--format=%h", "--", *code)
    changes = _git("diff", "HEAD", "--", *code)
    new = _git("ls-files", "--others", "--exclude-standard", "--", *code)
    if commit is None or changes is None or new is None:
        return None
    texts = [Path(ROOT, name).read_bytes() for name in new.splitlines()]
    digest = hashlib.sha256(b"".join([changes.encode(), new.encode(), *texts])).hexdigest()
    return commit.strip() + (f"-{digest[:8]}" if changes or new else "")


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return None if done.returncode else done.stdout
