"""Work over many rows, spread over the cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

_LEAST = 32  # rows below which a second thread costs more than it saves
_STRETCHES = 4  # per core, so that a slow stretch does not hold up the rest


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_rows(kernel: Callable[..., None], n: int, *args: object) -> None:
    """Call `kernel(start, stop, *args)` for stretches of `n` rows, on all cores.

    The kernel must release the GIL (numba's `nogil=True`) and write only its own rows.
    """
    if n < _LEAST or cores() == 1:
        kernel(0, n, *args)
        return
    step = max(_LEAST // 2, -(-n // (cores() * _STRETCHES)))
    stretches = [(start, min(start + step, n)) for start in range(0, n, step)]
    for done in [_pool().submit(kernel, start, stop, *args) for start, stop in stretches]:
        done.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="recsys")
