"""The cores of this machine: blocks of work side by side, each with its libraries at one thread."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from typing import TypeVar

Block = TypeVar("Block")
Answer = TypeVar("Answer")

_LEAST = 32  # rows below which a second thread costs more than it saves
_STRETCHES = 4  # per core, so that a slow stretch does not hold up the rest

_here = threading.local()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_worker() -> bool:
    """Whether this is a thread that works on one of several blocks."""
    return getattr(_here, "is_worker", False)


def side_by_side(work: Callable[[Block], Answer], blocks: Iterable[Block]) -> Iterator[Answer]:
    """`work` of each block, in their order, as many at a time as there are cores.

    Torch runs each block with one thread: threads that wait for one another within a block cost
    more than they give. No more than one block beyond those at work is held. A block that is the
    only one stays on this thread: another wakes up later than a single request is answered.
    """
    if is_worker():
        yield from map(work, blocks)
        return
    blocks = iter(blocks)
    first = list(islice(blocks, 2))
    if len(first) < 2:
        with one_thread():
            answers = [work(block) for block in first]
        yield from answers
        return
    waiting: deque[Future[Answer]] = deque()
    try:
        for block in chain(first, blocks):
            waiting.append(_pool().submit(work, block))
            if len(waiting) > cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def over_rows(kernel: Callable[..., None], n: int, *args: object) -> None:
    """Call `kernel(start, stop, *args)` for stretches of `n` rows, on all cores.

    The kernel must release the GIL (numba's `nogil=True`) and write only its own rows. Within a
    block of `side_by_side` it is called once.
    """
    if n < _LEAST or cores() == 1 or is_worker():
        kernel(0, n, *args)
        return
    step = max(_LEAST // 2, -(-n // (cores() * _STRETCHES)))
    stretches = [(start, min(start + step, n)) for start in range(0, n, step)]
    for done in [_pool().submit(kernel, start, stop, *args) for start, stop in stretches]:
        done.result()


@contextmanager
def one_thread(small: bool = True) -> Iterator[None]:
    """Torch works with one thread in here, if what it does in a step is small.

    Threads that wait for one another within a small step cost more than they give, and far more on
    a machine that has other work. Other threads of this process keep theirs.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1 if small else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _pool() -> ThreadPoolExecutor:
    import torch

    torch.get_num_threads()  # settles this thread's number before a worker's becomes the default
    return ThreadPoolExecutor(cores(), thread_name_prefix="recsys", initializer=_become_worker)


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _become_worker() -> None:
    import torch

    torch.get_num_threads()  # asked first, or it would take a later default at its first step
    torch.set_num_threads(1)  # of this thread: others keep theirs
    _here.is_worker = True
