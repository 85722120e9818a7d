"""What `import recsys` costs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = {"faiss", "implicit", "numba", "pandas", "torch", "transformers"}
SECONDS = 1.0


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return run.stdout


def test_import_is_quick() -> None:
    code = "import time; t = time.perf_counter(); import recsys; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(3)) < SECONDS


def test_import_leaves_heavy_packages_alone() -> None:
    loaded = python("import sys, recsys; print(*sys.modules, sep='\\n')").split()
    assert HEAVY.intersection(loaded) == set()
