"""VectorIndex: exact, complete under masks and exclusions, the same in a batch or alone."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.errors import ArtifactError, DataError, MissingDependency, SettingsError
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.dots import dots
from recsys.retrieval.index import VectorIndex
from recsys.retrieval.nearest import Held, nearest
from recsys.retrieval.refill import refilled

CORNERS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
EAST = np.array([[1, 0.1]], np.float32)


def held(vectors: Floats, rows: Rows | None = None) -> VectorIndex:
    index = VectorIndex(vectors.shape[1], device="cpu")
    index.add(np.arange(len(vectors), dtype=np.int32) if rows is None else rows, vectors)
    return index


def named(vectors: Floats) -> Held:
    return Held.of(np.arange(len(vectors), dtype=np.int32), vectors)


def leaving_out(*excluded: list[int], items: int, mask: list[bool] | None = None) -> Allowed:
    lengths = [len(each) for each in excluded]
    return Allowed(
        np.ones(items, bool) if mask is None else np.array(mask),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([row for each in excluded for row in each], np.int32),
    )


def brute(queries: Floats, vectors: Floats, k: int, allowed: Allowed) -> list[list[int]]:
    """The best allowed rows of each query, ties by row, in plain Python."""
    lists = []
    for i, query in enumerate(queries):
        barred = set(allowed.excluded[allowed.offsets[i] : allowed.offsets[i + 1]].tolist())
        free = [j for j in range(len(vectors)) if allowed.mask[j] and j not in barred]
        lists.append(sorted(free, key=lambda j: (-float(query @ vectors[j]), j))[:k])
    return lists


def test_best_first_with_inner_products() -> None:
    items, scores = held(CORNERS).search(EAST, 3, Allowed.everything(1, 4))
    assert items.tolist() == [[0, 1, 3]]
    np.testing.assert_allclose(scores, [[1, 0.1, -0.1]], rtol=1e-6)


def test_k_above_the_catalogue_is_padded() -> None:
    items, scores = held(CORNERS).search(EAST, 6, Allowed.everything(1, 4))
    assert items.tolist() == [[0, 1, 3, 2, PAD, PAD]]
    assert scores[0, 4:].tolist() == [-np.inf, -np.inf]


def test_an_empty_index_finds_nothing() -> None:
    items, scores = VectorIndex(2).search(EAST, 2, Allowed.everything(1, 4))
    assert items.tolist() == [[PAD, PAD]]
    assert np.isneginf(scores).all()


def test_no_queries_and_k_of_0() -> None:
    index = held(CORNERS)
    assert index.search(EAST[:0], 2, Allowed.everything(0, 4))[0].shape == (0, 2)
    assert index.search(EAST, 0, Allowed.everything(1, 4))[0].shape == (1, 0)


def test_mask_and_exclusions_are_refilled() -> None:
    allowed = leaving_out([0], [], items=4, mask=[True, False, True, True])
    items, _ = held(CORNERS).search(np.repeat(EAST, 2, axis=0), 3, allowed)
    assert items.tolist() == [[3, 2, PAD], [0, 3, 2]]


def test_a_mask_that_leaves_one_in_a_thousand_still_fills_k() -> None:
    vectors = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32)
    mask = np.zeros(5000, bool)
    mask[::1000] = True
    allowed = Allowed(mask, np.array([0, 1, 1], np.int64), np.array([2000], np.int32))
    items, _ = held(vectors).search(vectors[:2], 5, allowed)
    assert sorted(items[0].tolist()) == [PAD, 0, 1000, 3000, 4000]
    assert sorted(items[1].tolist()) == [0, 1000, 2000, 3000, 4000]


def test_ties_go_to_the_lower_row() -> None:
    items, _ = held(np.ones((40, 7), np.float32)).search(
        np.ones((9, 7), np.float32), 5, Allowed.everything(9, 40)
    )
    assert items.tolist() == [[0, 1, 2, 3, 4]] * 9


def test_added_rows_replace_and_removed_rows_are_gone() -> None:
    index = held(CORNERS[:2], np.array([5, 2], np.int32))
    index.add(np.array([5, 7], np.int32), np.array([[0, 3], [0, 2]], np.float32))
    items, scores = index.search(CORNERS[1:2], 4, Allowed.everything(1, 8))
    assert (items.tolist(), scores[0, :3].tolist()) == ([[5, 7, 2, PAD]], [3, 2, 1])
    index.remove(np.array([7, 1], np.int32))
    assert len(index) == 2
    assert index.search(CORNERS[1:2], 2, Allowed.everything(1, 8))[0].tolist() == [[5, 2]]
    index.remove(np.array([2, 5], np.int32))
    assert len(index) == 0


def test_a_batch_finds_what_each_query_finds_alone() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((300, 24)).astype(np.float32)
    queries = rng.standard_normal((700, 24)).astype(np.float32)
    index, allowed = held(vectors), Allowed.everything(700, 300)
    items, scores = index.search(queries, 20, allowed)
    for i in range(0, 700, 50):
        one, one_scores = index.search(queries[i : i + 1], 20, allowed.take(np.array([i])))
        assert one[0].tolist() == items[i].tolist()
        np.testing.assert_array_equal(one_scores[0], scores[i])


@given(st.data())
def test_search_equals_brute_force(data: st.DataObject) -> None:
    items, queries = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 9))
    number = st.integers(-3, 3)  # products of small integers are exact: ties are real ties
    vectors = np.array(
        data.draw(st.lists(st.tuples(number, number), min_size=items, max_size=items)), np.float32
    )
    asked = np.array(
        data.draw(st.lists(st.tuples(number, number), min_size=queries, max_size=queries)),
        np.float32,
    )
    barred = st.lists(st.integers(0, items - 1), unique=True).map(sorted)
    excluded = data.draw(st.lists(barred, min_size=queries, max_size=queries))
    mask = data.draw(st.lists(st.booleans(), min_size=items, max_size=items))
    allowed, k = leaving_out(*excluded, items=items, mask=mask), data.draw(st.integers(1, 14))

    def on_faiss(queries: Floats, fetch: int) -> Rows:
        index = faiss.IndexFlatIP(2)
        index.add(vectors)
        return np.asarray(index.search(queries, fetch)[1], np.int32)

    expected = brute(asked, vectors, k, allowed)
    found, scores = held(vectors).search(asked, k, allowed)
    assert [[row for row in each if row != PAD] for each in found.tolist()] == expected
    assert (np.isneginf(scores) == (found == PAD)).all()
    from_faiss, _ = refilled(on_faiss, asked, named(vectors), min(k, items), allowed)
    assert [[row for row in each if row != PAD] for each in from_faiss.tolist()] == expected


@pytest.mark.parametrize("excluded", [0, 40, 2000, 2990])
def test_refill_reaches_past_long_exclusions(excluded: int) -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((3000, 8)).astype(np.float32)
    queries = rng.standard_normal((3, 8)).astype(np.float32)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    best = np.sort(np.argsort(-(vectors @ queries[1]))[:excluded])
    allowed = leaving_out([1, 2], best.tolist(), [], items=3000)
    asked: list[tuple[int, int]] = []

    def search(queries: Floats, fetch: int) -> Rows:
        asked.append((len(queries), fetch))
        return np.asarray(index.search(queries, fetch)[1], np.int32)

    items, scores = refilled(search, queries, named(vectors), 20, allowed)
    expected, expected_scores = nearest(queries, named(vectors), 20, allowed)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(scores, expected_scores)
    assert asked[0][0] == 3
    assert all(queries == 1 for queries, _ in asked[1:]), "only the short query asks again"


def test_save_and_load(tmp_path: Path) -> None:
    index = held(CORNERS, np.array([3, 9, 4, 0], np.int32))
    index.save(tmp_path / "vectors.npz")
    loaded = VectorIndex.load(tmp_path / "vectors.npz")
    for each, other in zip(
        index.search(EAST, 4, Allowed.everything(1, 10)),
        loaded.search(EAST, 4, Allowed.everything(1, 10)),
        strict=True,
    ):
        np.testing.assert_array_equal(each, other)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    held(CORNERS).save(path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ArtifactError, match=r"vectors\.npz does not hold rows, vectors"):
        VectorIndex.load(path)


def test_many_threads_search_while_one_adds() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((400, 16)).astype(np.float32)
    index, allowed = held(vectors), Allowed.everything(8, 500)
    expected = index.search(vectors[:8], 10, allowed)[0]
    far = np.full((1, 16), 0, np.float32)

    def search(_: int) -> Rows:
        return index.search(vectors[:8], 10, allowed)[0]

    with ThreadPoolExecutor(4) as pool:
        found = pool.map(search, range(60))
        for row in range(400, 430):
            index.add(np.array([row], np.int32), far)
        for items in found:
            np.testing.assert_array_equal(items, expected)


def test_wrong_input_is_named() -> None:
    index = held(CORNERS)
    with pytest.raises(DataError, match=r"vectors must be \(n, 2\); got \(1, 3\)"):
        index.search(np.zeros((1, 3), np.float32), 1, Allowed.everything(1, 4))
    with pytest.raises(DataError, match="1 queries, but `allowed` speaks of 2"):
        index.search(EAST, 1, Allowed.everything(2, 4))
    with pytest.raises(DataError, match="row 3 is held, but the mask covers 2 items"):
        index.search(EAST, 1, Allowed.everything(1, 2))
    with pytest.raises(DataError, match="must be finite"):
        index.add(np.array([0], np.int32), np.array([[np.nan, 0]], np.float32))
    with pytest.raises(DataError, match="must be distinct"):
        index.add(np.array([0, 0], np.int32), CORNERS[:2])
    with pytest.raises(DataError, match="one row per vector"):
        index.add(np.array([0], np.int32), CORNERS[:2])
    with pytest.raises(SettingsError, match="dimension must be at least 1"):
        VectorIndex(0)
    with pytest.raises(SettingsError, match="device must be one of"):
        VectorIndex(2, device="gpuu")


def test_a_missing_faiss_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency, match=r"pip install 'recsys\[cpu\]'"):
        VectorIndex(2)


@pytest.mark.parametrize("sources", [1, 3, 4, 9])
def test_dots_are_products_of_the_chosen_pairs(sources: int) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((30, 19)).astype(np.float32)
    left = rng.integers(-1, 30, (40, sources)).astype(np.int32)
    right = rng.integers(-1, 30, (40, 6)).astype(np.int32)
    expected = np.einsum("bld,bwd->bwl", vectors[left], vectors[right])
    expected[right == PAD] = 0
    expected *= (left != PAD)[:, None, :]
    np.testing.assert_allclose(dots(vectors, left, vectors, right), expected, atol=1e-5)
