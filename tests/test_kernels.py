"""Compiled kernels: the same machine code, whether it was just compiled or read from a cache."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from numba.core.dispatcher import Dispatcher

ROOT = Path(__file__).parent.parent

SOLVED = """
import hashlib
import numpy as np
import scipy.sparse as sp
from recsys.retrieval.least_squares import Ridge, solved

rng = np.random.default_rng(0)
factors = rng.normal(size=(60, 32)).astype(np.float32)
weights = rng.uniform(1, 5, (30, 60)).astype(np.float32)
weights[np.arange(60) >= np.arange(2, 62, 2)[:, None]] = 0  # 2 to 60 events: short rows and long
found = solved(sp.csr_matrix(weights), factors, (factors**2).sum(axis=0), 0.1, Ridge(0.1, 1.0))
print(hashlib.sha256(found).hexdigest())
"""


def printed(code: str, cache: Path) -> str:
    """What a fresh interpreter prints whose kernels are cached in this folder."""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return run.stdout


def test_a_compiled_kernel_answers_as_a_cached_one(tmp_path: Path) -> None:
    assert printed(SOLVED, tmp_path) == printed(SOLVED, tmp_path)


def kernels() -> Iterator[Dispatcher]:
    for floor in ("features", "retrieval", "ranking"):
        for path in (ROOT / floor).glob("*.py"):
            if "@compiled" in path.read_text():
                found = vars(import_module(f"recsys.{floor}.{path.stem}")).values()
                yield from (each for each in found if isinstance(each, Dispatcher))


def helpers(kernel: Dispatcher) -> Iterator[Dispatcher]:
    for name in kernel.py_func.__code__.co_names:
        if isinstance(helper := kernel.py_func.__globals__.get(name), Dispatcher):
            yield helper


def test_what_a_kernel_may_round_otherwise_stands_in_the_kernel() -> None:
    """Each kernel has machine code of its own for a helper, and the first loaded serves all.

    With fastmath the copies may round differently, unless each is inlined where it is called.
    """
    seen = set()
    for kernel in kernels():
        for helper in helpers(kernel):
            if any(each.targetoptions.get("fastmath") for each in (kernel, helper)):
                seen.add(helper.py_func.__name__)
                assert helper.targetoptions.get("forceinline"), (kernel, helper)
    assert {"dot", "_cholesky", "_round"} <= seen


REPEATS = """
import numpy as np
from numba.core import event
from recsys.features.repeats import Repeats

with event.install_recorder("numba:compile") as compiled:
    items, kinds = np.array([1, 1, 2], np.int32), np.zeros(3, np.uint8)
    found = Repeats.of(np.array([0, 3]), items, kinds, 3, 1)
print(*found.earlier, len(compiled.buffer))
"""


def asked(code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_kept_kernels_are_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    cache = tmp_path / "numba"
    *first, compiled = asked(REPEATS, cache).stdout.split()
    for folder in [cache, *cache.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o555)
    again = asked(REPEATS, cache)
    assert (first, int(compiled) > 0) == (["-1", "0", "-1"], True)
    assert (again.stdout.split(), again.stderr) == ([*first, "0"], "")


def test_where_nothing_can_be_kept_kernels_run_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made below this")
    ran = asked(REPEATS, tmp_path / "file" / "numba")
    assert ran.stdout.startswith("-1 0 -1 ")
    assert ran.stderr.count("compiled kernels are not kept") == 1


def test_kept_code_that_is_damaged_is_compiled_again(tmp_path: Path) -> None:
    asked(REPEATS, tmp_path)
    for path in tmp_path.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert asked(REPEATS, tmp_path).stdout.startswith("-1 0 -1 ")
