"""Processes that train together: one step of all is the step of one, and they stop and resume."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.features.errors import SettingsError, TrainingError
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker


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


@pytest.fixture(scope="module")
def both() -> NeuralRanker:
    return ranker(processes=2, most_gradient=1.0).fit(drawn())


def test_two_processes_learn_what_one_does(both: NeuralRanker) -> None:
    alone = ranker(most_gradient=1.0).fit(drawn())
    # Adam divides by the size of a gradient, so of one that is nearly 0 the rounding is seen.
    torch.testing.assert_close(weights(both), weights(alone), rtol=0, atol=2e-3)
    for one, other in zip(both.curve_, alone.curve_, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_events_are_foretold_alike(both: NeuralRanker) -> None:
    lists = drawn()
    assert both.events_ == ("chosen",)
    expected = ranker(most_gradient=1.0).fit(lists).log_odds(lists.features, lists.names)
    found = both.log_odds(lists.features, lists.names)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_training_of_two_processes_resumes(tmp_path: Path) -> None:
    path = tmp_path / "ranker.safetensors"
    whole = ranker(processes=2, dropout=0.3, checkpoint=path)

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole.fit(drawn(), stop)
    assert path.exists()
    shares: list[float] = []
    resumed = ranker(processes=2, dropout=0.3, checkpoint=path).fit(drawn(), shares.append)
    assert all(share > 1 / 3 for share in shares), "the first epoch is done"
    assert torch.equal(weights(resumed), weights(ranker(processes=2, dropout=0.3).fit(drawn())))


def test_what_fails_in_a_process_is_said() -> None:
    with pytest.raises(
        TrainingError, match=r"a process that trains the ranker failed: .*not finite"
    ):
        ranker(processes=2, learning_rate=1e30).fit(drawn())


def test_a_process_that_is_killed_is_said_and_none_is_left() -> None:
    def kill(share: float) -> None:
        multiprocessing.active_children()[-1].kill()

    with pytest.raises(TrainingError, match="a process that trains the ranker failed: "):
        ranker(processes=2, epochs=2000, patience=2000).fit(drawn(), kill)
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
