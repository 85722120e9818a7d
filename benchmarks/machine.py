"""What a figure was measured on: machine, versions, commit, command."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.environment import commit, processor, versions
from recsys.features.threads import cores

_PACKAGES = ("recsys", "numpy", "polars", "torch", "faiss-cpu", "implicit", "numba", "transformers")


def machine() -> dict[str, Any]:
    """A table for the head of a file of results."""
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": cores(),
        "system": f"{platform.system()}, CPython {platform.python_version()}",
        "versions": versions(*_PACKAGES),
        "commit": commit() or "unknown",
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *_arguments()]),
    }


def _arguments() -> list[str]:
    """As they were given, paths as seen from here: results name no folder of a machine."""
    return [os.path.relpath(each) if Path(each).is_absolute() else each for each in sys.argv[1:]]
