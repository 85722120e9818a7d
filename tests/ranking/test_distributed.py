"""Processes that train together: one step of all is the step of one, and they stop and resume."""

import errno
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import start_processes

from recsys.features.errors import SettingsError, TrainingError
from recsys.ranking.distributed import Processes, _reasons, train_together
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.training import train


def drawn(n: int = 130, width: int = 6) -> TrainingLists:
    """Lists of different lengths in which the largest feature was chosen."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, width, 3)).astype(np.float32)
    filled = np.arange(width) < rng.integers(2, width + 1, n)[:, None]
    features[~filled] = 0
    best = np.where(filled, features[:, :, 0], -np.inf)
    labels = (best == best.max(axis=1, keepdims=True)).astype(np.float32)
    users = np.arange(n, dtype=np.int32)
    return TrainingLists(features, labels, filled, users, ("a", "b", "c"), n, n, 0)


def ranker(**settings: object) -> NeuralRanker:
    own = {"epochs": 3, "batch": 32, "dropout": 0.0, "patience": 6, "device": "cpu", **settings}
    return NeuralRanker(hidden=(8, 4), seed=5, **own)  # type: ignore[arg-type]


def weights(fitted: NeuralRanker) -> torch.Tensor:
    return torch.cat([each.flatten() for each in fitted.network_.state_dict().values()])


@dataclass
class Ended:
    """A process that has ended."""

    exitcode: int


class Stopped(Exception):
    """Where a training is left."""


def stop(share: float) -> None:
    raise Stopped(share)


def train_alone(own: NeuralRanker, progress: Callable[[float], None]) -> None:
    """By this process, however many `own` asks for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own.seed)
        train(drawn(), own, progress)


@pytest.fixture(scope="module")
def alone() -> NeuralRanker:
    return ranker(most_gradient=1.0).fit(drawn())


@pytest.fixture(scope="module")
def both() -> NeuralRanker:
    return ranker(processes=2, most_gradient=1.0).fit(drawn())


def assert_about_equal(one: NeuralRanker, other: NeuralRanker) -> None:
    # Adam divides by the size of a gradient, so of one that is nearly 0 the rounding is seen.
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=2e-3)
    for epoch, others in zip(one.curve_, other.curve_, strict=True):
        assert epoch == pytest.approx(others, rel=1e-4)


def test_two_processes_learn_what_one_does(both: NeuralRanker, alone: NeuralRanker) -> None:
    assert_about_equal(both, alone)


def test_events_are_foretold_alike(both: NeuralRanker, alone: NeuralRanker) -> None:
    lists = drawn()
    assert both.events_ == ("chosen",)
    found, expected = (each.log_odds(lists.features, lists.names) for each in (both, alone))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_two_processes_go_on_from_a_checkpoint(tmp_path: Path, alone: NeuralRanker) -> None:
    """It is left by one process, which can be stopped after its first epoch to the step."""
    own = ranker(processes=2, most_gradient=1.0, checkpoint=tmp_path / "ranker.safetensors")
    with pytest.raises(Stopped):
        train_alone(own, stop)
    shares: list[float] = []
    assert_about_equal(own.fit(drawn(), shares.append), alone)
    assert shares == pytest.approx([2 / 3, 1]), "the first epoch is done"


def test_what_a_process_draws_hangs_on_nothing_that_was_drawn_before() -> None:
    def drawn_by(rank: int, epoch: int) -> torch.Tensor:
        Processes(rank, 2).draw_anew(5, epoch)
        return torch.rand(9)

    with torch.random.fork_rng(devices=[]):
        first = drawn_by(0, 1)
        assert torch.equal(drawn_by(0, 1), first)
        assert not any(torch.equal(drawn_by(*other), first) for other in ((1, 1), (0, 2)))


def test_what_fails_in_a_process_is_said() -> None:
    of_one = replace(drawn(), users=np.zeros(130, np.int32))
    said = "a process that trains the ranker failed: TrainingError: lists of at least 2 users"
    with pytest.raises(TrainingError, match=said):
        train_together(of_one, ranker(processes=1), None)


def test_what_failed_first_is_said_first(tmp_path: Path) -> None:
    for rank, (said, at) in enumerate([("ConnectionError: closed", 30), ("MemoryError: 9 GB", 20)]):
        path = tmp_path / f"failed-{rank}.txt"
        path.write_text(said)
        os.utime(path, (at, at))
    failed = [Ended(1), Ended(1)]
    assert _reasons(tmp_path, failed) == "MemoryError: 9 GB; ConnectionError: closed"
    killed = [*failed, Ended(-signal.SIGKILL), Ended(-signal.SIGTERM)]
    assert _reasons(tmp_path, killed) == (
        "SIGKILL ended process 2; MemoryError: 9 GB; ConnectionError: closed"
    )


def test_a_signal_without_a_name_is_said_by_its_number(tmp_path: Path) -> None:
    nameless = max(signal.valid_signals()) + 1
    assert _reasons(tmp_path, [Ended(-nameless)]) == f"signal {nameless} ended process 0"


def test_a_process_that_is_killed_is_said_and_none_is_left() -> None:
    def kill_one() -> None:
        while not (running := multiprocessing.active_children()):
            time.sleep(0.01)
        running[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(TrainingError, match=r"ranker failed: SIGKILL ended process \d"):
        ranker(processes=2).fit(drawn())
    killer.join()
    assert not multiprocessing.active_children()


def test_none_is_left_waiting_for_one_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = []

    def start_first(*arguments: object, **options: object) -> object:
        if started:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(start_processes(*arguments, **options))
        return started[0]

    monkeypatch.setattr("recsys.ranking.distributed.start_processes", start_first)
    said = r"process 1 of 2 that train the ranker cannot be started: .*temporarily unavailable"
    with pytest.raises(TrainingError, match=said):
        ranker(processes=2).fit(drawn())
    (first,) = started[0].processes
    assert first.exitcode is not None
    assert not multiprocessing.active_children()


def test_a_device_by_number_is_no_device_for_several() -> None:
    with pytest.raises(SettingsError, match="each of 2 processes has a device of its own"):
        ranker(processes=2, device="cuda:0")


def test_half_precision_learns_about_the_same() -> None:
    half, full = (ranker(precision=each, epochs=8).fit(drawn()) for each in ("bfloat16", "float32"))
    assert half.curve_ != full.curve_
    assert half.curve_[-1]["held out"] == pytest.approx(full.curve_[-1]["held out"], rel=0.05)
    assert all(each.dtype == torch.float32 for each in half.network_.state_dict().values())


def test_precision_is_checked() -> None:
    with pytest.raises(SettingsError, match="unknown precision 'float8'"):
        ranker(precision="float8")
    assert not ranker().in_half
    assert ranker(precision="bfloat16").in_half
