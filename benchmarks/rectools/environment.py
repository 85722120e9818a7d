"""Make the environment of RecTools with one command.

    python -m benchmarks.rectools.environment [--torch "torch==2.13.0 --index-url ADDRESS"]

RecTools needs numpy below 2, so it cannot live beside recsys. The environment is .rectools-venv/ in
the root of the repository, or the folder that RECTOOLS_VENV names. What is there is kept; only when
requirements.txt has changed are packages installed again.
"""

import argparse
import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

from recsys.features.errors import MissingDependency

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
COMMAND = "python -m benchmarks.rectools.environment"
_RECEIPT = "rectools-requirements.txt"  # what was installed, written once all of it was


def folder() -> Path:
    """Where the environment is, or will be."""
    return Path(os.environ.get("RECTOOLS_VENV") or HERE.parents[1] / ".rectools-venv").absolute()


def python() -> Path:
    """The interpreter of the environment.

    Raises MissingDependency where the environment is absent, unfinished or of other versions.
    """
    if not ready():
        raise MissingDependency(
            f"RecTools runs in an environment of its own; {folder()} is not that of "
            f"{REQUIREMENTS.name}: make it with {COMMAND}"
        )
    return _interpreter()


def ready() -> bool:
    """Whether the environment holds exactly what requirements.txt pins."""
    receipt = folder() / _RECEIPT
    return (
        _interpreter().exists()
        and receipt.exists()
        and receipt.read_text() == REQUIREMENTS.read_text()
    )


def make(torch: str | None = None) -> Path:
    """Create the environment where it is not ready; the interpreter.

    `torch` is what pip is told in order to install torch, which goes first and alone so that its
    build is chosen once; by default the line of requirements.txt.
    """
    if ready():
        return _interpreter()
    if not _interpreter().exists():
        venv.create(folder(), with_pip=True, symlinks=True)
    for arguments in (shlex.split(torch or _pin("torch")), ["-r", str(REQUIREMENTS)]):
        command = [str(_interpreter()), "-m", "pip", "install", "--quiet", *arguments]
        subprocess.run(command, check=True)
    (folder() / _RECEIPT).write_text(REQUIREMENTS.read_text())
    return _interpreter()


def _interpreter() -> Path:
    return folder() / "bin" / "python"


def _pin(package: str) -> str:
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", help="what to tell pip, where another build is needed")
    options = parser.parse_args()
    if sys.version_info[:2] != (3, 11):
        raise SystemExit(f"the pins are for CPython 3.11; this is {sys.version.split()[0]}")
    print(make(options.torch))


if __name__ == "__main__":
    main()
