"""Forks of this process: they have none of the threads that the work on tables is done by."""

import os
import re
import sys
from pathlib import Path

from recsys.features.errors import ForkError

_POOL = re.compile(r"polars-\d")  # the threads of polars' pool; it has others from its import on

_HOW = (
    "call Engine.load in each process after the fork (gunicorn: without --preload, or in "
    "post_fork), or start processes by spawn: multiprocessing.get_context('spawn')"
)


class _Process:
    """What is known of this process, and what a fork of it inherits."""

    owner = 0  # the process that worked with data; 0: none has yet
    is_at_work = False  # the owner is this process
    had_pool = False  # polars had its pool in a process that this one is a fork of
    has_pool_at_fork = False  # polars had its pool here when the last fork began
    is_fork = False


def check_process() -> None:
    """Raise ForkError in a fork of a process that has worked with data, where polars would wait
    for ever for threads that are not there.

    Every entry to the work calls this first. It looks at one flag, which a fork puts out: to ask
    the system for the process id takes a microsecond.
    """
    if not _Process.is_at_work:
        _begin()


def _begin() -> None:
    """The first work of this process."""
    if _Process.owner or _Process.had_pool:
        raise ForkError(
            f"process {os.getpid()} is a fork of one that had worked with tables or engines, and "
            f"a fork has none of the threads that do such work: {_HOW}"
        )
    if _Process.is_fork:
        _one_thread_of_openmp()
    _Process.owner, _Process.is_at_work = os.getpid(), True


def _one_thread_of_openmp() -> None:
    """Libraries that worked with several threads before the fork would wait for them here."""
    if not {"torch", "faiss"} & sys.modules.keys():
        return
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, "openmp")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _threads_of(process: int | str) -> list[str]:
    """The names of a process's threads, where the system tells them."""
    names = []
    for task in Path(f"/proc/{process}/task").glob("*/comm"):
        try:
            names.append(task.read_text())
        except OSError:  # it has ended
            continue
    return names


def _has_pool(process: int | str) -> bool:
    return any(_POOL.match(name) for name in _threads_of(process))


def _before_fork() -> None:
    _Process.has_pool_at_fork = _has_pool("self")


def _after_fork_in_child() -> None:
    _Process.is_fork, _Process.is_at_work = True, False
    _Process.had_pool = _Process.had_pool or _Process.has_pool_at_fork


def _forked_before_this_was_imported() -> bool:
    """Whether this process is a fork of one in which polars had its pool: polars is there, but not
    one of its threads, and whoever started this process has the pool and the same command."""
    if "polars" not in sys.modules or any(n.startswith("polars") for n in _threads_of("self")):
        return False
    parent = os.getppid()
    return _has_pool(parent) and _command("self") == _command(parent)


def _command(process: int | str) -> bytes | None:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return None


if hasattr(os, "register_at_fork"):
    if _forked_before_this_was_imported():
        _Process.had_pool = _Process.is_fork = True
    os.register_at_fork(
        before=_before_fork,
        after_in_child=_after_fork_in_child,
    )
