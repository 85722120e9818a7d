"""TextTuning: texts of items had together come closer; the same seed gives the same adapters."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.features.errors import ArtifactError, DataError, SettingsError, TrainingError
from recsys.features.text import TextEncoder
from recsys.features.text_adapters import Adapters
from recsys.retrieval.text_pairs import TextPairs
from recsys.retrieval.text_tuning import TextTuning
from tests.bert import tiny_bert
from tests.worlds import log_of

WORDS = ["red", "blue", "soft", "loud", "cup", "shoe", "lamp", "rug"]
TEXTS = pl.Series(WORDS)
LOG = log_of(*[[0, 1], [2, 3], [4, 5], [6, 7]] * 5, items=8)
SMALL = TextTuning(pairs=240, batch=8, rank=2, learning_rate=0.02, hard=1, near=3, max_tokens=8)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A tiny BERT of random weights that knows eight words."""
    folder = tiny_bert(tmp_path_factory.mktemp("bert"), WORDS)
    return TextEncoder(str(folder), device="cpu", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def tuned(encoder: TextEncoder) -> TextEncoder:
    return SMALL.fit(encoder, TEXTS, LOG)


def _gap(encoder: TextEncoder) -> float:
    """How much nearer texts of one pair are than others, in the mean."""
    vectors = encoder.embed(TEXTS)
    likeness = vectors @ vectors.T
    together = np.kron(np.eye(4), np.ones((2, 2))) > 0
    return float(likeness[together & ~np.eye(8, dtype=bool)].mean() - likeness[~together].mean())


def test_what_is_had_together_comes_closer(encoder: TextEncoder, tuned: TextEncoder) -> None:
    assert _gap(tuned) > _gap(encoder) + 0.2


def test_the_cache_tells_tuned_vectors_apart(encoder: TextEncoder, tuned: TextEncoder) -> None:
    assert tuned.fingerprint != encoder.fingerprint


def test_same_seed_same_adapters(encoder: TextEncoder, tuned: TextEncoder) -> None:
    again = SMALL.fit(encoder, TEXTS, LOG).adapters
    other = replace(SMALL, seed=1).fit(encoder, TEXTS, LOG).adapters
    assert tuned.adapters
    assert again
    assert other
    assert again.fingerprint == tuned.adapters.fingerprint != other.fingerprint


def test_adapters_survive_a_folder(tuned: TextEncoder, tmp_path: Path) -> None:
    assert tuned.adapters
    tuned.adapters.save(tmp_path)
    loaded = replace(tuned, adapters=Adapters.load(tmp_path), cache=tmp_path / "cache")
    assert loaded.fingerprint == tuned.fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), tuned.embed(TEXTS))
    with pytest.raises(ArtifactError, match="holds no LoRA adapters"):
        Adapters.load(tmp_path / "cache")


def test_adapters_of_another_model_are_refused(encoder: TextEncoder) -> None:
    strange = Adapters(
        {
            "x.lora_A.weight": np.ones((1, 2), np.float32),
            "x.lora_B.weight": np.ones((2, 1), np.float32),
        },
        1,
        2,
    )
    with pytest.raises(DataError, match="of another text model: they change 'x'"):
        replace(encoder, adapters=strange).network()


def test_pairs_are_counted_by_distance_and_never_of_one_text() -> None:
    texts = pl.Series(["a", "b", "a", "", "c"])
    pairs = TextPairs.of(log_of([0, 2, 1], [3, 4], [1, 4], items=5), texts, window=2)
    assert pairs.texts.to_list() == ["a", "b", "c"]
    expected = [[0, 1.5, 0], [1.5, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(pairs.counts.toarray(), expected)
    rows = np.arange(3)
    assert pairs.related(rows, rows).tolist() == (np.array(expected) + np.eye(3) > 0).tolist()
    hard = pairs.strangers(rows[::2], np.eye(3, dtype=np.float32), 1, np.random.default_rng(0))
    assert hard.tolist() == [2, 0]


def test_what_cannot_be_learnt_from_is_named(encoder: TextEncoder) -> None:
    with pytest.raises(TrainingError, match="had together; none are"):
        SMALL.fit(encoder, TEXTS, log_of([0], [1], items=8))
    with pytest.raises(SettingsError, match="batch must be at least 2; got 1"):
        TextTuning(batch=1)
