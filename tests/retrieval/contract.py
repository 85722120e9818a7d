"""What every source of candidates promises, as tests that each of them joins by inheriting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from recsys.features.arrays import PAD
from recsys.features.histories import Histories
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever, likens_items
from tests.worlds import GROUPS, ITEMS, SIZE, World, leaving_out, planted, sessions

STRANGER = GROUPS * SIZE  # an item that nobody had and of which nothing is known
K = 8


def everything(histories: Histories) -> Allowed:
    return Allowed.everything(len(histories), ITEMS)


def assert_well_formed(found: Candidates, k: int) -> None:
    """Best first, distinct, and PAD / -inf behind the end only."""
    items, scores, ranks = found.items, found.scores[:, :, 0], found.ranks[:, :, 0]
    assert items.shape == scores.shape == ranks.shape == (len(found), k)
    assert (items.dtype, scores.dtype, ranks.dtype) == (np.int32, np.float32, np.int32)
    filled = items != PAD
    assert ((items >= PAD) & (items < ITEMS)).all()
    assert (np.isneginf(scores) == ~filled).all()
    assert np.isfinite(scores[filled]).all()
    assert (filled[:, 1:] <= filled[:, :-1]).all(), "a list has a hole"
    assert (scores[:, 1:] <= scores[:, :-1]).all(), "a list is not sorted"
    for own in items:
        assert len(set(own[own != PAD].tolist())) == (own != PAD).sum(), "an item comes twice"
    assert (ranks == np.where(filled, np.arange(k), PAD)).all()


def assert_same(one: Candidates, other: Candidates) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.ranks, other.ranks)


class RetrieverContract:
    make: ClassVar[Callable[[], Retriever]]
    recall_floor: ClassVar[float]
    """The least share of users of the planted world whose next item is among the first 5."""
    answers_nobody: ClassVar[bool] = False
    """Does it offer something to an empty history?"""
    offers_all: ClassVar[bool] = True
    """Does it have something to say of any item? Otherwise its lists may be short."""

    @pytest.fixture(scope="class")
    @staticmethod
    def world() -> World:
        return planted()

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, world: World) -> Retriever:
        return cls.make().fit(world.log, world.catalog)

    def test_lists_are_well_formed(self, fitted: Retriever, world: World) -> None:
        found = fitted.retrieve(world.histories, K, everything(world.histories))
        assert_well_formed(found, K)
        assert found.sources == (fitted.name,)
        np.testing.assert_array_equal(found.users, world.histories.users)
        assert found.filled.all() or not self.offers_all

    def test_nothing_forbidden_is_offered(self, fitted: Retriever, world: World) -> None:
        mask = np.ones(ITEMS, bool)
        mask[::3] = False
        barred = Allowed(mask, world.seen.offsets, world.seen.excluded)
        found = fitted.retrieve(world.histories, ITEMS, barred)
        assert_well_formed(found, ITEMS)
        assert (found.filled.sum(axis=1) <= barred.available()).all()
        assert mask[found.items[found.filled]].all()
        for query, items in enumerate(found.items):
            own = slice(*world.seen.offsets[query : query + 2])
            assert not set(items.tolist()) & set(world.seen.excluded[own].tolist())

    def test_all_items_forbidden(self, fitted: Retriever) -> None:
        nothing = Allowed(np.zeros(ITEMS, bool), np.zeros(2, np.int64), np.zeros(0, np.int32))
        assert not fitted.retrieve(sessions([3]), K, nothing).filled.any()

    def test_k_above_the_catalogue(self, fitted: Retriever, world: World) -> None:
        found = fitted.retrieve(world.histories, ITEMS + 7, everything(world.histories))
        assert_well_formed(found, ITEMS + 7)
        assert (found.items[:, ITEMS:] == PAD).all()

    def test_the_library_never_pads_with_item_0(self, fitted: Retriever, world: World) -> None:
        without = leaving_out(*[[0]] * len(world.histories), items=ITEMS)
        found = fitted.retrieve(world.histories, ITEMS + 7, without)
        assert not (found.items == 0).any()

    def test_an_empty_history(self, fitted: Retriever) -> None:
        histories = sessions([], [4], [])
        found = fitted.retrieve(histories, K, everything(histories))
        assert_well_formed(found, K)
        assert not self.offers_all or found.filled.all(axis=1).tolist() == [
            self.answers_nobody,
            True,
            self.answers_nobody,
        ]
        assert found.filled.any(axis=1).tolist() == [self.answers_nobody, True, self.answers_nobody]
        if not self.answers_nobody:
            assert (fitted.score(sessions([]), np.array([[0, 3, PAD]], np.int32)) == 0).all()

    def test_a_history_of_which_nothing_is_known(self, fitted: Retriever) -> None:
        histories = sessions([STRANGER], [STRANGER, STRANGER + 1], [4])
        found = fitted.retrieve(histories, K, everything(histories))
        assert_well_formed(found, K)
        assert found.filled.any(axis=1).tolist() == [self.answers_nobody] * 2 + [True]

    def test_scores_are_those_that_lists_are_sorted_by(
        self, fitted: Retriever, world: World
    ) -> None:
        found = fitted.retrieve(world.histories, ITEMS, world.seen)
        scores = fitted.score(world.histories, found.items)
        assert scores.shape == found.items.shape
        assert scores.dtype == np.float32
        np.testing.assert_allclose(
            scores[found.filled], found.scores[:, :, 0][found.filled], rtol=1e-5, atol=1e-6
        )
        assert (scores[~found.filled] == 0).all()

    def test_items_left_out_of_a_list_score_no_better(
        self, fitted: Retriever, world: World
    ) -> None:
        found = fitted.retrieve(world.histories, K, everything(world.histories))
        every = np.broadcast_to(np.arange(ITEMS, dtype=np.int32), (len(found), ITEMS))
        scores = fitted.score(world.histories, every).copy()
        own, place = np.nonzero(found.filled)
        scores[own, found.items[own, place]] = -np.inf
        worst = np.where(found.filled[:, -1], found.scores[:, -1, 0], 0)
        assert (scores.max(axis=1) <= worst + 1e-6).all()

    def test_no_answer_depends_on_the_rest_of_the_batch(
        self, fitted: Retriever, world: World
    ) -> None:
        together = fitted.retrieve(world.histories, K, world.seen)
        scores = fitted.score(world.histories, together.items)
        for query in range(len(world.histories)):
            one = np.array([query])
            history = world.histories.take(one)
            alone = fitted.retrieve(history, K, world.seen.take(one))
            assert_same(alone, together.take(one))
            np.testing.assert_array_equal(fitted.score(history, alone.items), scores[one])

    def test_k_of_0(self, fitted: Retriever) -> None:
        found = fitted.retrieve(sessions([4], []), 0, Allowed.everything(2, ITEMS))
        assert found.items.shape == (2, 0)

    def test_no_queries(self, fitted: Retriever) -> None:
        nobody = sessions()
        assert fitted.retrieve(nobody, K, everything(nobody)).items.shape == (0, K)
        assert fitted.score(nobody, np.zeros((0, 3), np.int32)).shape == (0, 3)

    def test_threads_do_not_disturb_one_another(self, fitted: Retriever, world: World) -> None:
        expected = fitted.retrieve(world.histories, K, world.seen)
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(fitted.retrieve, world.histories, K, world.seen) for _ in range(6)]
            for each in asked:
                assert_same(each.result(), expected)

    def test_likeness_is_the_cosine_of_items(self, fitted: Retriever, world: World) -> None:
        if not likens_items(fitted):
            return
        rows = np.arange(len(world.catalog), dtype=np.int32)
        alike = fitted.likeness(rows[:, None], np.tile(rows, (len(rows), 1)))[:, :, 0]
        known = np.diag(alike) != 0
        assert known.any()
        np.testing.assert_allclose(np.diag(alike)[known], 1, rtol=1e-5)
        np.testing.assert_allclose(alike, alike.T, rtol=1e-5, atol=1e-6)
        assert (np.abs(alike) <= 1 + 1e-5).all()
        nothing = np.full((len(rows), 2), PAD, np.int32)
        assert not fitted.likeness(nothing, rows[:, None]).any()
        assert not fitted.likeness(rows[:, None], nothing).any()

    def test_saved_and_loaded_it_answers_the_same(
        self, fitted: Retriever, world: World, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path)
        loaded = self.make().load(tmp_path)
        found = [each.retrieve(world.histories, K, world.seen) for each in (fitted, loaded)]
        assert_same(*found)
        np.testing.assert_array_equal(
            *(each.score(world.histories, found[0].items) for each in (fitted, loaded))
        )

    def test_the_same_seed_gives_the_same_lists(self, fitted: Retriever, world: World) -> None:
        again = self.make().fit(world.log, world.catalog)
        assert_same(*(each.retrieve(world.histories, K, world.seen) for each in (fitted, again)))

    def test_a_refit_forgets(self, fitted: Retriever, world: World) -> None:
        other = planted(seed=1)
        again = self.make().fit(other.log, other.catalog).fit(world.log, world.catalog)
        assert_same(*(each.retrieve(world.histories, K, world.seen) for each in (fitted, again)))

    def test_nothing_of_the_callers_is_edited(self, world: World) -> None:
        log, histories, seen = deepcopy((world.log, world.histories, world.seen))
        fitted = self.make().fit(world.log, world.catalog)
        found = fitted.retrieve(world.histories, K, world.seen)
        items = found.items.copy()
        fitted.score(world.histories, found.items)
        np.testing.assert_array_equal(found.items, items)
        for name in ("user_rows", "item_rows", "event_codes", "times", "weights"):
            np.testing.assert_array_equal(getattr(world.log, name), getattr(log, name))
        for name in ("users", "offsets", "items", "events", "times", "weights", "now"):
            np.testing.assert_array_equal(getattr(world.histories, name), getattr(histories, name))
        for name in ("mask", "offsets", "excluded"):
            np.testing.assert_array_equal(getattr(world.seen, name), getattr(seen, name))

    def test_it_finds_the_planted_structure(self, fitted: Retriever, world: World) -> None:
        found = fitted.retrieve(world.histories, 5, world.seen)
        assert world.recall(found.items) >= self.recall_floor
