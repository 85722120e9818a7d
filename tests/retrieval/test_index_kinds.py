"""What every kind of index promises, as tests that each kind passes."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.errors import SettingsError
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.cells import Cells
from recsys.retrieval.index import VectorIndex
from recsys.retrieval.index_settings import IndexSettings, Kind
from recsys.retrieval.nearest import Held, nearest
from recsys.retrieval.searchers import Searcher, make

ITEMS, SIZE, K = 3000, 16, 20
KINDS: tuple[Kind, ...] = ("exact", "ivf", "hnsw", "sq", "pq")
ROWS = np.arange(ITEMS, dtype=np.int32)


def clustered(items: int = ITEMS, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((40, SIZE), np.float32)
    return centres[rng.integers(40, size=items)] + rng.standard_normal((items, SIZE), np.float32)


VECTORS, QUERIES = clustered(), clustered()[:50] + np.float32(0.1)


def made(kind: Kind, vectors: Floats = VECTORS, recall: float = 0.9) -> VectorIndex:
    settings = IndexSettings(kind=kind, recall=recall, depth=K)
    index = VectorIndex(SIZE, "cpu", settings)
    index.add(np.arange(len(vectors), dtype=np.int32), vectors)
    return index


def exact(vectors: Floats, rows: Rows, allowed: Allowed, k: int = K) -> Rows:
    """The right answer among these rows, by the exact search that has its own tests."""
    mask = np.zeros(len(allowed.mask), bool)
    mask[rows] = allowed.mask[rows]
    every = np.zeros((len(mask), SIZE), np.float32)
    every[rows] = vectors
    held = Held.of(np.arange(len(mask), dtype=np.int32), every)
    own = Allowed(mask, allowed.offsets, allowed.excluded)
    return nearest(QUERIES[: len(allowed)], held, k, own)[0]


def shared(found: Rows, best: Rows) -> float:
    """The share of the right answers that were found."""
    return float(np.mean([np.isin(b, f).mean() for f, b in zip(found, best, strict=True)]))


def assert_well_formed(items: Rows, scores: Floats, vectors: Floats) -> None:
    """Best first by the vectors' own products, ties by row, distinct, PAD and -inf at the end."""
    filled = items != PAD
    assert (np.isneginf(scores) == ~filled).all()
    assert (filled[:, 1:] <= filled[:, :-1]).all()
    for query, row, reached in zip(QUERIES, items, scores, strict=False):
        own, best = row[row != PAD], reached[row != PAD]
        assert len(set(own.tolist())) == len(own)
        np.testing.assert_allclose(best, vectors[own] @ query, rtol=1e-4, atol=1e-4)
        assert (np.lexsort((own, -best)) == np.arange(len(own))).all()


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest) -> VectorIndex:
    return made(request.param)


def test_lists_are_well_formed_and_near_the_exact_ones(index: VectorIndex) -> None:
    allowed = Allowed.everything(50, ITEMS)
    items, scores = index.search(QUERIES, K, allowed)
    assert_well_formed(items, scores, VECTORS)
    assert (items != PAD).all()
    assert index.measured.recall >= 0.9
    assert shared(items, exact(VECTORS, ROWS, allowed)) >= 0.85


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.9])
def test_a_filter_is_refilled(index: VectorIndex, share: float) -> None:
    mask = np.random.default_rng(1).random(ITEMS) < share
    barred = np.flatnonzero(mask)[:2].astype(np.int32)
    offsets = np.minimum(np.arange(51), 1) * len(barred)
    allowed = Allowed(mask, offsets.astype(np.int64), barred)
    items, scores = index.search(QUERIES, K, allowed)
    assert_well_formed(items, scores, VECTORS)
    assert ((items != PAD).sum(axis=1) == np.minimum(K, allowed.available())).all()
    assert mask[items[items != PAD]].all()
    assert not np.isin(items[0], barred).any()
    assert shared(items, exact(VECTORS, ROWS, allowed)) >= 0.8


def test_long_exclusions_are_refilled(index: VectorIndex) -> None:
    best = exact(VECTORS, ROWS, Allowed.everything(50, ITEMS), 500)
    excluded = np.sort(best, axis=1).astype(np.int32)
    allowed = Allowed(np.ones(ITEMS, bool), np.arange(51, dtype=np.int64) * 500, excluded.ravel())
    items, scores = index.search(QUERIES, K, allowed)
    assert_well_formed(items, scores, VECTORS)
    assert (items != PAD).all()
    assert not any(np.isin(*pair).any() for pair in zip(items, excluded, strict=True))


def test_nothing_allowed_and_k_above_what_is_held(index: VectorIndex) -> None:
    none = Allowed(np.zeros(ITEMS, bool), np.zeros(2, np.int64), np.zeros(0, np.int32))
    assert (index.search(QUERIES[:1], K, none)[0] == PAD).all()
    items, _ = index.search(QUERIES[:1], ITEMS + 5, Allowed.everything(1, ITEMS))
    assert sorted(items[0].tolist()) == [PAD] * 5 + ROWS.tolist()


def test_a_batch_finds_what_each_query_finds_alone(index: VectorIndex) -> None:
    items, scores = index.search(QUERIES, K, Allowed.everything(50, ITEMS))
    for query in range(0, 50, 10):
        one, best = index.search(QUERIES[query : query + 1], K, Allowed.everything(1, ITEMS))
        np.testing.assert_array_equal(one[0], items[query])
        np.testing.assert_array_equal(best[0], scores[query])


@pytest.mark.parametrize("kind", KINDS)
def test_ties_go_to_the_lower_row(kind: Kind) -> None:
    vectors = np.repeat(clustered(300), 5, axis=0)
    index = made(kind, vectors)
    for queries in (1, 9):
        allowed = Allowed.everything(queries, len(vectors))
        items, _ = index.search(vectors[10 : 10 + 1].repeat(queries, axis=0), 5, allowed)
        best = nearest(
            vectors[10:11], Held.of(np.arange(1500, dtype=np.int32), vectors), 5,
            Allowed.everything(1, 1500),
        )  # fmt: skip
        assert items.tolist() == best[0].tolist() * queries


@pytest.mark.parametrize("kind", KINDS)
def test_upserts_and_deletions_are_seen_at_once_and_built_in_later(kind: Kind) -> None:
    index, rng, vectors = made(kind), np.random.default_rng(2), VECTORS.copy()
    queries, allowed = QUERIES[:3], Allowed.everything(3, ITEMS + 2000)
    new = np.array([ITEMS + 7, 3], np.int32)
    strong = np.stack([9 * queries[0], 8 * queries[0]])
    index.add(new, strong)
    assert index.search(queries, 2, allowed)[0][0].tolist() == new.tolist()
    index.remove(new[:1])
    gone = np.arange(100, 400, dtype=np.int32)
    index.remove(gone)
    items, _ = index.search(queries, K, allowed)
    assert items[0, 0] == 3
    assert not np.isin(items, gone).any()
    assert len(index) == ITEMS - 300
    more = np.arange(ITEMS, ITEMS + 1500, dtype=np.int32)  # more than a tenth: all is built anew
    others = rng.standard_normal((1500, SIZE), np.float32)
    index.add(more, others)
    assert len(index) == ITEMS + 1200
    vectors[3] = strong[1]
    kept = np.setdiff1d(ROWS, gone).astype(np.int32)
    rows, held = np.concatenate([kept, more]), np.concatenate([vectors[kept], others])
    assert shared(index.search(queries, K, allowed)[0], exact(held, rows, allowed)) >= 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_two_threads_search_while_one_changes(kind: Kind) -> None:
    index = made(kind)
    allowed = Allowed.everything(8, ITEMS + 50)
    expected = index.search(QUERIES[:8], K, allowed)[0]

    def search(_: int) -> Rows:
        return index.search(QUERIES[:8], K, allowed)[0]

    with ThreadPoolExecutor(2) as pool:
        found = pool.map(search, range(30))
        for row in range(ITEMS, ITEMS + 20):
            index.add(np.array([row], np.int32), np.zeros((1, SIZE), np.float32))
            index.remove(np.array([row - 1], np.int32) if row > ITEMS else np.zeros(0, np.int32))
        for items in found:
            np.testing.assert_array_equal(items, expected)


def test_save_and_load(index: VectorIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index.npz")
    loaded = VectorIndex.load(tmp_path / "index.npz", "cpu")
    assert loaded.measured == index.measured
    allowed = Allowed.everything(50, ITEMS)
    for each, other in zip(
        index.search(QUERIES, K, allowed), loaded.search(QUERIES, K, allowed), strict=True
    ):
        np.testing.assert_array_equal(each, other)


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "pq"])
def test_recall_below_the_target_is_said_and_stepped_up(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(3).standard_normal((ITEMS, SIZE), np.float32)
    with caplog.at_level(logging.INFO, "recsys"):
        index = made(kind, noise, recall=0.999)
    note = index.measured.note
    assert note is not None
    assert note in caplog.messages
    assert "below 0.999" in note
    assert index.measured.recall >= 0.999


def test_where_nothing_suffices_all_is_read(caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(3).standard_normal((1100, SIZE), np.float32)
    index = made("ivf", noise, recall=1.0)
    assert (index.measured.kind, index.measured.recall) == ("exact", 1.0)
    assert "every vector is read instead" in caplog.text
    items, _ = index.search(QUERIES, K, Allowed.everything(50, 1100))
    assert shared(items, exact(noise, ROWS[:1100], Allowed.everything(50, 1100))) == 1.0


def test_cells_are_given_up_before_they_read_an_eighth_of_all() -> None:
    noise = np.random.default_rng(3).standard_normal((ITEMS, SIZE), np.float32)
    searcher: Searcher | None = make(faiss, None, "ivf", ROWS, noise, IndexSettings())
    while searcher is not None:
        last, searcher = searcher, searcher.stronger()
    assert isinstance(last, Cells)
    assert last.effort <= max(8, len(last.centroids) // 8)


def test_recall_is_measured_with_the_queries_given() -> None:
    far = np.random.default_rng(4).standard_normal((100, SIZE), np.float32)
    settings = IndexSettings(kind="ivf", recall=0.9, depth=K)
    index = VectorIndex(SIZE, "cpu", settings)
    index.add(ROWS, VECTORS, far)
    allowed = Allowed.everything(100, ITEMS)
    items, _ = index.search(far, K, allowed)
    best, _ = nearest(far, Held.of(ROWS, VECTORS), K, allowed)
    assert shared(items, best) == pytest.approx(index.measured.recall, abs=1e-6)
    assert index.measured.recall >= 0.9


def test_auto_picks_by_size() -> None:
    for limit, kind in ((ITEMS, "ivf"), (ITEMS + 1, "exact")):
        index = VectorIndex(SIZE, "cpu", IndexSettings(exact_below=limit, recall=0.9))
        index.add(ROWS, VECTORS)
        assert index.measured.kind == kind


def test_few_vectors_are_always_read() -> None:
    assert made("pq", VECTORS[:900]).measured.kind == "exact"


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(SettingsError, match=r"setting 'kind': .* got 'ivg'"):
        IndexSettings.parse({"kind": "ivg"})
    with pytest.raises(SettingsError, match=r"setting 'recall': .*; got 1\.5"):
        IndexSettings.parse({"recall": 1.5})
    with pytest.raises(SettingsError, match="unknown setting 'kid'; did you mean 'kind'"):
        IndexSettings.parse({"kid": "ivf"})


def test_the_same_seed_makes_the_same_index() -> None:
    allowed = Allowed.everything(50, ITEMS)
    one, other = (made("ivf").search(QUERIES, K, allowed)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not faiss.get_num_gpus(), reason="there is no GPU")
@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw"])
def test_on_a_gpu_lists_are_as_on_a_cpu(kind: Kind) -> None:
    index = VectorIndex(SIZE, "cuda", IndexSettings(kind=kind, recall=0.9, depth=K))
    index.add(ROWS, VECTORS)
    for share in (1.0, 0.3, 0.01):
        mask = np.random.default_rng(1).random(ITEMS) < share
        allowed = Allowed(mask, np.zeros(51, np.int64), np.zeros(0, np.int32))
        items, scores = index.search(QUERIES, K, allowed)
        assert_well_formed(items, scores, VECTORS)
        assert shared(items, exact(VECTORS, ROWS, allowed)) >= 0.85
