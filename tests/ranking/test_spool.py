"""Features in a temporary file are those that were put there, whichever lists are read."""

import os
import pickle
import tempfile
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.arrays import Floats
from recsys.features.errors import TrainingError
from recsys.ranking.checkpoint import Checkpoint
from recsys.ranking.compression import some_candidates
from recsys.ranking.distributed import _read, _write
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.spool import Spool, Spooled, joined

NAMES = ("a", "b", "c")
IN_MEMORY, ON_DISK = 1 << 20, 1


def drawn(n: int, width: int, seed: int = 0) -> TrainingLists:
    """Lists that end anywhere behind their chosen candidate, the first."""
    rng = np.random.default_rng(seed)
    filled = np.arange(width) < rng.integers(1, width + 1, n)[:, None]
    labels = (filled & (np.arange(width) == 0)).astype(np.float32)
    features = rng.standard_normal((n, width, len(NAMES))).astype(np.float32)
    features[:, :, 0] += 2 * labels
    features[~filled] = 0
    users = np.arange(n, dtype=np.int32)
    return TrainingLists(features, labels, filled, users, NAMES, n, n, 0)


def everything(lists: TrainingLists) -> Floats:
    return lists.features[:]


shapes = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=4)


@settings(deadline=None)
@given(shapes, st.sampled_from([IN_MEMORY, ON_DISK]), st.randoms(use_true_random=False))
def test_what_is_read_is_what_was_appended(shapes, held, random) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    blocks = [rng.random((n, width, 2), np.float32) for n, width in shapes]
    most = max(width for _, width in shapes)
    expected = np.concatenate(
        [np.pad(each, [(0, 0), (0, most - each.shape[1]), (0, 0)]) for each in blocks]
    )
    spool = Spool(held)
    whole = joined([spool.append(each) for each in blocks], most)
    assert isinstance(whole, Spooled)
    assert whole.shape == expected.shape
    assert len(whole) == len(expected)
    places = np.array(random.choices(range(len(expected)), k=7))
    np.testing.assert_array_equal(whole[places], expected[places])
    np.testing.assert_array_equal(whole.take(places)[:], expected[places])
    np.testing.assert_array_equal(whole[1:], expected[1:])
    np.testing.assert_array_equal(np.asarray(whole), expected)
    assert np.asarray(whole, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copied"):
        np.asarray(whole, copy=False)


def test_what_is_not_in_one_spool_is_joined_as_an_array() -> None:
    first, second = np.ones((2, 1, 3), np.float32), np.full((1, 2, 3), 2, np.float32)
    for parts in ([Spool().append(first), Spool().append(second)], [first, Spool().append(second)]):
        whole = joined(parts, 2)
        assert isinstance(whole, np.ndarray)
        assert whole[:, :, 0].tolist() == [[1, 0], [1, 0], [2, 2]]


def test_no_parts_are_not_joined() -> None:
    with pytest.raises(ValueError, match="at least one part; got none"):
        joined([], 2)


@pytest.mark.parametrize("held", [IN_MEMORY, ON_DISK])
def test_threads_read_side_by_side(held: int) -> None:
    expected = np.arange(400 * 50 * 2, dtype=np.float32).reshape(400, 50, 2)
    kept = Spool(held).append(expected)

    def wrong(seed: int) -> int:
        places = np.random.default_rng(seed).integers(0, len(kept), 5_000)
        return int((kept[places] != expected[places]).sum())

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(wrong, range(4))) == [0] * 4


def test_what_is_missing_in_the_file_is_an_error() -> None:
    spool = Spool(ON_DISK)
    kept = spool.append(np.ones((3, 1, 2), np.float32))
    os.ftruncate(spool._file.fileno(), 20)
    assert kept[[0, 1]].tolist() == [[[1, 1]], [[1, 1]]]
    with pytest.raises(TrainingError, match=r"end at byte 20 .* to which 24 were written"):
        kept[:]


@pytest.mark.parametrize("held", [IN_MEMORY, ON_DISK])
def test_a_copy_is_an_array(held: int) -> None:
    lists = drawn(20, 3)
    kept = lists.spooled(Spool(held))
    for copied in (deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert isinstance(copied.features, np.ndarray)
        np.testing.assert_array_equal(copied.features, everything(lists))


@pytest.mark.parametrize("places", [3, (np.arange(2), np.arange(2)), np.zeros((2, 2), np.intp)])
def test_what_is_not_read_list_by_list_is_named(places: object) -> None:
    kept = Spool().append(np.ones((4, 3, 2), np.float32))
    with pytest.raises(TypeError, match=r"\[places\] .* \[:\] for all"):
        kept[places]  # type: ignore[index]


def test_a_ranker_learns_the_same_from_a_spool(tmp_path: Path) -> None:
    lists = drawn(600, 5)
    kept = lists.spooled(Spool(ON_DISK))
    assert isinstance(kept.features, Spooled)
    assert kept.spooled(Spool()) is kept
    whole, read = (
        NeuralRanker(hidden=(8,), epochs=2, compression="distilled", most_loss=1.0).fit(each)
        for each in (lists, kept)
    )
    asked = everything(lists), NAMES, lists.filled
    np.testing.assert_array_equal(whole.scores(*asked), read.scores(*asked))
    assert whole.compress(lists) == read.compress(kept)
    np.testing.assert_array_equal(whole.scores(*asked), read.scores(*asked))
    settings = replace(whole, checkpoint=tmp_path / "training.safetensors")
    assert Checkpoint.of(settings, lists) == Checkpoint.of(settings, kept)


def test_a_ranker_holds_a_part_of_what_is_in_a_spool() -> None:
    rng = np.random.default_rng(0)
    names = tuple(map(str, range(60)))
    features = rng.random((4_000, 10, len(names)), np.float32)
    labels = np.eye(1, 10, dtype=np.float32).repeat(4_000, axis=0)
    users = np.arange(4_000, dtype=np.int32)
    lists = TrainingLists(features, labels, labels >= 0, users, names, 4_000, 4_000, 0)
    kept, size = lists.spooled(Spool(ON_DISK)), features.nbytes
    ranker = NeuralRanker(hidden=(4,), epochs=1).fit(kept.take(np.arange(100)))  # loads torch
    tracemalloc.start()
    try:
        ranker.fit(kept)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 2


def test_features_that_are_not_finite_are_named_wherever_they_are_kept() -> None:
    lists = drawn(300, 3)
    features = everything(lists).copy()
    features[290, 0, 1] = np.nan
    odd = replace(lists, features=features)
    for each in (odd, odd.spooled(Spool(ON_DISK))):
        with pytest.raises(TrainingError, match=r"not finite: \['b'\]"):
            NeuralRanker(epochs=1).fit(each)


def test_candidates_are_drawn_alike_from_a_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.ranking.compression.MOST_MEASURED", 50)
    lists = drawn(700, 4)
    places = np.arange(3, 700, 2)
    few = some_candidates(lists, places, seed=1)
    assert few.shape == (50, 3)
    again = some_candidates(lists.spooled(Spool(ON_DISK)), places, seed=1)
    np.testing.assert_array_equal(few, again)


@pytest.mark.parametrize("places", [[], [0, 1]])
def test_no_candidates_to_draw_from_are_an_error(places: list[int]) -> None:
    lists = drawn(3, 2)
    empty = replace(lists, filled=np.zeros_like(lists.filled))
    with pytest.raises(TrainingError, match=f"got none in {len(places)} lists"):
        some_candidates(empty, np.array(places, np.intp), seed=1)


def test_processes_read_what_is_in_a_spool(tmp_path: Path) -> None:
    lists = drawn(300, 4)
    _write(lists.spooled(Spool(ON_DISK)), tmp_path)
    np.testing.assert_array_equal(everything(_read(tmp_path)), everything(lists))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which is a full disk")
@pytest.mark.parametrize("name", ["features", "labels"])
def test_processes_without_room_for_lists_say_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.npy").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"No space left.*TMPDIR"):
        _write(drawn(3_000, 4).spooled(Spool(ON_DISK)), tmp_path)


def test_a_spool_without_room_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(TrainingError, match="TMPDIR"):
        drawn(10, 3).spooled(Spool(ON_DISK))
    assert len(drawn(10, 3).spooled(Spool(IN_MEMORY))) == 10  # needs no file
