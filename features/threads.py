"""The cores of this machine: blocks of work side by side, each with its libraries at one thread."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TypeVar

Block = TypeVar("Block")
Answer = TypeVar("Answer")

_LEAST = 32  # rows below which a second thread costs more than it saves
_STRETCHES = 4  # per core, so that a slow stretch does not hold up the rest

_here = threading.local()
_draws = threading.RLock()


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
    first = deque(islice(blocks, 2))
    if len(first) < 2:
        with one_thread():
            answers = [work(block) for block in first]
        yield from answers
        return
    waiting: deque[Future[Answer]] = deque()
    try:
        for block in _all(first, blocks):
            waiting.append(_pool().submit(work, block))
            del block  # or it would be held until the next is there
            if len(waiting) > cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _all(first: deque[Block], rest: Iterator[Block]) -> Iterator[Block]:
    """The first blocks and then the rest, none of which is held once it is handed out."""
    while first:
        yield first.popleft()
    yield from rest


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
    a machine that has other work: there a list for one user took 2.3 times as long with two. Other
    threads keep theirs, but for one that meanwhile uses torch for the first time and outside of
    here: it begins with one.
    """
    threads = _limit.enter() if small else 1
    try:
        yield
    finally:
        if threads > 1:
            _limit.leave(threads)


@contextmanager
def seeded(seed: int, gpus: bool = False) -> Iterator[None]:
    """Torch draws from this seed in here, and afterwards goes on as it would have.

    Its generator is one for all threads: of several only one at a time is in here, or the draws of
    one would be missing in those of another. With `gpus` their generators are kept as well.
    """
    import torch

    with _draws, torch.random.fork_rng(None if gpus else []):
        torch.manual_seed(seed)
        yield


class _Limit:
    """What torch's number of threads was before one thread or several were held to one.

    `torch.set_num_threads` is of the thread that calls it, and also what others begin with: one
    that begins while another is held to one would take that for its own number and leave it behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside: set[int] = set()  # threads that are held to one
        self._outside = 1  # torch's number for a thread that begins, without them

    def enter(self) -> int:
        """Hold this thread to one, and say how many it had; one that had one stays as it is."""
        import torch

        with self._lock:
            threads = torch.get_num_threads()
            if self.inside and not _is_settled():
                threads = max(threads, self._outside)
            _here.is_settled = True
            if threads > 1:
                if not self.inside:
                    self._outside = threads
                self.inside.add(threading.get_ident())
                torch.set_num_threads(1)
            return threads

    def leave(self, threads: int) -> None:
        """Give this thread back what it had."""
        import torch

        with self._lock:
            torch.set_num_threads(threads)
            self.inside.discard(threading.get_ident())

    def forked(self) -> None:
        """A child has no other threads, and none that would open the lock."""
        self._lock = threading.Lock()
        self.inside &= {threading.get_ident()}


_limit = _Limit()


def _is_settled() -> bool:
    """Whether torch's number of threads is known to be this thread's own."""
    return getattr(_here, "is_settled", False)


@cache
def _pool() -> ThreadPoolExecutor:
    """All of its threads begin here, since what they set is what others would begin with."""
    with one_thread():
        pool = ThreadPoolExecutor(cores(), "recsys", _become_worker)
        everyone = threading.Barrier(cores())
        for there in [pool.submit(everyone.wait) for _ in range(cores())]:
            there.result()
        return pool


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
    os.register_at_fork(after_in_child=_limit.forked)


def _become_worker() -> None:
    import torch

    torch.get_num_threads()  # asked first, or it would take a later default at its first step
    torch.set_num_threads(1)
    _here.is_worker = _here.is_settled = True
