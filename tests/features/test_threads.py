"""Threads: every row once, answers in order, errors passed on, no deadlock within a block."""

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.features import threads as of_this_machine
from recsys.features.arrays import Array
from recsys.features.threads import cores, one_thread, over_rows, side_by_side


def count(start: int, stop: int, rows: Array) -> None:
    rows[start:stop] += 1


@given(st.integers(0, 5000))
def test_every_row_is_worked_on_once(n: int) -> None:
    rows = np.zeros(n, np.int64)
    over_rows(count, n, rows)
    assert (rows == 1).all()


def test_an_error_of_a_kernel_reaches_the_caller() -> None:
    def fail(start: int, stop: int) -> None:
        if stop > 900:
            raise ValueError(f"row {stop} is one too many")

    with pytest.raises(ValueError, match="row 1000 is one too many"):
        over_rows(fail, 1000)


def test_answers_come_in_the_order_of_their_blocks() -> None:
    assert list(side_by_side(lambda block: block * 2, range(50))) == list(range(0, 100, 2))
    assert list(side_by_side(lambda block: block, [])) == []


def test_blocks_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def blocks() -> Iterator[int]:
        for block in range(100):
            taken.append(block)
            yield block

    answers = side_by_side(lambda block: block, blocks())
    assert next(answers) == 0
    assert len(taken) <= cores() + 1
    answers.close()
    assert len(taken) <= cores() + 1


def test_the_only_block_stays_on_this_thread_with_one_of_torch() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = side_by_side(lambda _: (threading.get_ident(), torch.get_num_threads()), [0])
        assert list(seen) == [(threading.get_ident(), 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_block_reaches_the_caller() -> None:
    def work(block: int) -> int:
        if block == 3:
            raise RuntimeError("block 3 is broken")
        return block

    answers = side_by_side(work, range(9))
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="block 3 is broken"):
        next(answers)


def test_work_within_a_block_stays_on_its_thread() -> None:
    """Were it handed to the same pool, all blocks would wait for one another."""

    def work(block: int) -> tuple[Array, set[int]]:
        seen: set[int] = set()

        def kernel(start: int, stop: int, rows: Array) -> None:
            seen.add(threading.get_ident())
            rows[start:stop] += block

        rows = np.zeros(500, np.int64)
        over_rows(kernel, 500, rows)
        inner = list(side_by_side(lambda each: threading.get_ident(), range(5)))
        return rows, seen | set(inner)

    for block, (rows, threads) in enumerate(side_by_side(work, range(8))):
        assert (rows == block).all()
        assert len(threads) == 1


def test_torch_has_one_thread_in_a_block_and_its_own_outside() -> None:
    before = torch.get_num_threads()
    assert list(side_by_side(lambda block: torch.get_num_threads(), range(4))) == [1] * 4
    assert torch.get_num_threads() == before


def test_a_worker_keeps_one_thread_when_the_default_changes_before_its_first_step() -> None:
    of_this_machine._pool.cache_clear()
    list(side_by_side(lambda block: block, range(4)))
    with one_thread():
        pass
    assert list(side_by_side(lambda block: torch.get_num_threads(), range(4))) == [1] * 4


def of_a_new_thread() -> int:
    """What torch gives a thread that begins."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.fixture
def two_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_of_torch")
@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_requests_of_new_threads_leave_torch_as_it_was(first_to_leave: int) -> None:
    """The second begins while the first is held to one thread."""
    inside, leave = threading.Barrier(2), [threading.Event(), threading.Event()]

    def ask(own: int) -> tuple[int, int]:
        def work(block: int) -> int:
            inside.wait()
            leave[own].wait()
            return torch.get_num_threads()

        (within,) = side_by_side(work, [0])
        return within, torch.get_num_threads()

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first = one.submit(ask, 0)
        while not of_this_machine._limit.inside:
            leave[0].wait(0.001)
        asked = [first, other.submit(ask, 1)]
        for own in (first_to_leave, 1 - first_to_leave):
            leave[own].set()
            assert asked[own].result() == (1, 2)
    assert of_a_new_thread() == torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_of_torch")
def test_workers_leave_new_threads_what_they_would_have_had() -> None:
    of_this_machine._pool.cache_clear()
    list(side_by_side(lambda block: block, range(4)))
    assert of_a_new_thread() == torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_of_torch")
def test_a_thread_that_was_told_to_have_one_keeps_it() -> None:
    def ask() -> int:
        torch.set_num_threads(1)
        list(side_by_side(lambda block: block, [0]))
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask).result() == 1


def test_blocks_are_let_go_as_they_are_done() -> None:
    class Block:
        pass

    made: list[weakref.ref[Block]] = []

    def blocks() -> Iterator[Block]:
        for _ in range(40):
            block = Block()
            made.append(weakref.ref(block))
            yield block
            del block

    most = 0
    for _ in side_by_side(lambda block: None, blocks()):
        most = max(most, sum(each() is not None for each in made))
        if len(made) > 10:
            assert all(each() is None for each in made[: len(made) - cores() - 2])
    assert most <= cores() + 2
