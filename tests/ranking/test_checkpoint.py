"""A training that was stopped and goes on: equal to one that was not, to the bit."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.features.errors import SettingsError, TrainingError
from recsys.ranking.checkpoint import Checkpoint
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker


def drawn(n: int = 60, width: int = 6, seed: int = 0) -> TrainingLists:
    """Lists in which the largest feature was chosen."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, width, 3)).astype(np.float32)
    labels = (features[:, :, 0] == features[:, :, 0].max(axis=1, keepdims=True)).astype(np.float32)
    users = np.arange(n, dtype=np.int32)
    return TrainingLists(features, labels, labels >= 0, users, ("a", "b", "c"), n, n, 0)


def ranker(path: Path | None = None, **settings: float) -> NeuralRanker:
    own = {"epochs": 6, "batch": 8, "dropout": 0.3, "patience": 6, **settings}
    return NeuralRanker(hidden=(8, 4), device="cpu", seed=5, checkpoint=path, **own)


def test_weights_of_lists_make_another_training(tmp_path: Path) -> None:
    own = [drawn(), *(replace(drawn(), weights=np.full(60, of, np.float32)) for of in (1, 2))]
    kept = [Checkpoint.of(ranker(tmp_path / "c"), lists) for lists in own]
    assert len({each.fingerprint for each in kept if each}) == 3


class StoppedError(Exception):
    """What stops a training from outside."""


def stops_after(epoch: int, epochs: int = 6) -> Callable[[float], None]:
    def progress(share: float) -> None:
        if round(share * epochs) == epoch:
            raise StoppedError

    return progress


def assert_equal(one: NeuralRanker, other: NeuralRanker) -> None:
    assert one.curve_ == other.curve_
    weights = other.network_.state_dict()
    for name, value in one.network_.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("epoch", [1, 2, 5, 6])
def test_a_resumed_training_equals_an_uninterrupted_one(epoch: int, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "ranker.safetensors"
    with pytest.raises(StoppedError):
        ranker(path).fit(drawn(), stops_after(epoch))
    shares: list[float] = []
    resumed = ranker(path).fit(drawn(), shares.append)
    assert [round(share * 6) for share in shares] == list(range(epoch + 1, 7))
    assert_equal(resumed, ranker().fit(drawn()))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_members_and_cross_layers_go_on_too(tmp_path: Path) -> None:
    path, shape = tmp_path / "ranker.safetensors", {"members": 2, "cross_layers": 1}
    with pytest.raises(StoppedError):
        ranker(path, **shape).fit(drawn(), stops_after(2))
    assert_equal(ranker(path, **shape).fit(drawn()), ranker(**shape).fit(drawn()))


def test_it_may_be_stopped_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "ranker.safetensors"
    for epoch in range(1, 7):
        with pytest.raises(StoppedError):
            ranker(path).fit(drawn(), stops_after(epoch))
    assert_equal(ranker(path).fit(drawn()), ranker().fit(drawn()))


def test_one_that_had_stopped_improving_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ranker.safetensors"
    few = {"epochs": 50, "patience": 1, "learning_rate": 0.1}
    done = ranker(path, **few).fit(drawn())
    assert len(done.curve_) < 50
    assert_equal(ranker(path, **few).fit(drawn()), done)


def test_one_of_other_lists_or_settings_is_said_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ranker.safetensors"
    ranker(path).fit(drawn())
    for other, lists in ((ranker(path), drawn(seed=1)), (ranker(path, batch=7), drawn(seed=1))):
        with caplog.at_level(logging.WARNING, "recsys"):
            other.fit(lists)
        assert f"{path} is of other settings or lists" in caplog.text
        caplog.clear()
        other.checkpoint = None
        assert_equal(ranker(path, batch=other.batch).fit(lists), other.fit(lists))
        assert not caplog.text, "the file is of this training now"


def test_a_file_that_is_no_checkpoint_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not weights")
    with pytest.raises(TrainingError, match=r"notes\.txt cannot be read as a checkpoint"):
        ranker(path).fit(drawn())
    assert path.read_text() == "not weights"
    ranker().fit(drawn()).save(tmp_path)
    with pytest.raises(TrainingError, match="holds weights that are no checkpoint"):
        ranker(tmp_path / "network.safetensors").fit(drawn())


def test_long_gradients_are_shortened() -> None:
    free, same, short = (ranker(most_gradient=most).fit(drawn()) for most in (None, 1e6, 1e-3))
    assert_equal(free, same)
    assert free.curve_ != short.curve_


@pytest.mark.parametrize("most", [0, -1, float("nan")])
def test_a_gradient_of_no_length_is_refused(most: float) -> None:
    with pytest.raises(SettingsError, match="most_gradient must be above 0"):
        ranker(most_gradient=most)
