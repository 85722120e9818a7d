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


TOP = """
import sys
from numba.core import event
import numpy as np
from recsys.features.arrays import PAD
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import top_k

with event.install_recorder("numba:compile") as compiled:
    allowed = Allowed(np.ones(5, bool), np.zeros(2, np.int64), np.zeros(0, np.int32))
    found, _ = top_k(np.arange(5, dtype=np.float32)[None], 2, allowed)
print(found.tolist(), len(compiled.buffer))
"""


def asked(code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_kept_kernels_are_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    first = asked(TOP, tmp_path / "numba").stdout.split()
    for folder in [*(tmp_path / "numba").rglob("*"), tmp_path / "numba"]:
        if folder.is_dir():
            folder.chmod(0o555)
    again = asked(TOP, tmp_path / "numba")
    assert first[:2] == again.stdout.split()[:2] == ["[[4,", "3]]"]
    assert (int(first[2]) > 0, int(again.stdout.split()[2]), again.stderr) == (True, 0, "")


def test_where_nothing_can_be_kept_kernels_run_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made below this")
    ran = asked(TOP, tmp_path / "file" / "numba")
    assert ran.stdout.startswith("[[4, 3]]")
    assert ran.stderr.count("compiled kernels are not kept") == 1


def test_kept_code_that_is_damaged_is_compiled_again(tmp_path: Path) -> None:
    asked(TOP, tmp_path)
    for path in tmp_path.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert asked(TOP, tmp_path).stdout.startswith("[[4, 3]]")
