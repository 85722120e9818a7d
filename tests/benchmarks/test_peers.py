"""The peers: lists whose answer is known without them."""

import numpy as np
import polars as pl
import pytest

from benchmarks.peers import PEERS, TUNED, Peer, lists, tuned
from benchmarks.peers.ease import Ease
from benchmarks.peers.knn import Knn, shrunk_cosines
from benchmarks.peers.popularity import Popularity
from benchmarks.peers.tune import combinations, validation
from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.columns import LogColumns
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories, anonymous
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.features.vocabulary import Vocabulary
from recsys.policy import Policy
from recsys.retrieval.allowed import Allowed
from recsys.settings import EngineSettings

FACTORS = ["als", "bpr", "lightfm"]
SMALL = {
    "als": {"factors": 4, "iterations": 5},
    "bpr": {"factors": 4, "iterations": 50},
    "lightfm": {"factors": 4, "epochs": 10},
    "ease": {"regularization": 1.0},
    "recsys-als": {"factors": 4, "unobserved": 10.0},
}


def made(name: str) -> Peer:
    if name == "lightfm":
        pytest.importorskip("lightfm")
    return PEERS[name](**SMALL.get(name, {}))


def log_of(*baskets: str, items: str = "") -> Interactions:
    """One user per basket, whose letters are items; `items` that nobody had come behind."""
    rows = [(f"u{n:02d}", item) for n, basket in enumerate(baskets) for item in basket]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    known = Vocabulary.of(pl.Series(list(items), dtype=pl.String))
    return read_interactions(frame, LogColumns(ties="file"), items=known)[0]


def two_tastes() -> Interactions:
    """Half of the people like a to d, half like e to h, and each leaves one of them out."""
    circles = ["abcd", "efgh"]
    baskets = [c.replace(out, "") for c in circles for out in c for _ in range(3)]
    return log_of(*baskets, items="abcdefghz")


def asked(log: Interactions) -> tuple[Histories, Allowed]:
    histories = Histories.of(log, np.arange(len(log.users), dtype=np.int32))
    policy = Policy.of(np.ones(len(log.items), bool), log.events, {})
    return histories, policy.allowed(histories)


def fitted(peer: Peer, log: Interactions) -> Peer:
    return peer.fit(log, Catalog.empty(log.items))


@pytest.mark.parametrize("name", [name for name in PEERS if name != "popularity"])
class TestEveryPeer:
    def test_finds_what_people_of_one_taste_have_left_out(self, name: str) -> None:
        log = two_tastes()
        histories, allowed = asked(log)
        first = fitted(made(name), log).lists(histories, allowed, 1)[:, 0]
        left_out = [c.find(out) + 4 * n for n, c in enumerate(["abcd", "efgh"]) for out in c]
        assert (first == np.repeat(left_out, 3)).mean() > 0.8

    def test_offers_no_item_that_is_barred_and_none_twice(self, name: str) -> None:
        log = two_tastes()
        histories, allowed = asked(log)
        mask = allowed.mask.copy()
        mask[2] = False
        allowed = Allowed(mask, allowed.offsets, allowed.excluded)
        lists = fitted(made(name), log).lists(histories, allowed, 20)
        assert lists.shape == (len(histories), 20)
        for query, own in enumerate(lists):
            offered = own[own != PAD]
            had = histories.items[histories.offsets[query] : histories.offsets[query + 1]]
            assert len(set(offered)) == len(offered)
            assert not set(offered) & {*had, 2}
            assert (own[len(offered) :] == PAD).all()

    def test_never_offers_what_nobody_had(self, name: str) -> None:
        log = two_tastes()
        lists = fitted(made(name), log).lists(*asked(log), 9)
        assert int(log.items.rows(["z"])[0]) not in lists

    def test_one_seed_is_one_answer(self, name: str) -> None:
        log = two_tastes()
        one, two = (fitted(made(name), log).lists(*asked(log), 5) for _ in range(2))
        assert (one == two).all()

    def test_nobody_at_all_gets_no_lists(self, name: str) -> None:
        log = two_tastes()
        nobody = asked(log)[0].take(np.zeros(0, np.int32))
        lists = fitted(made(name), log).lists(nobody, Allowed.everything(0, len(log.items)), 3)
        assert lists.shape == (0, 3)


def test_popularity_counts_and_leaves_out_what_nobody_had() -> None:
    log = log_of("abc", "ab", "a", items="abcz")
    lists = fitted(Popularity(), log).lists(
        anonymous(np.zeros(0, np.int32), np.zeros(2, np.int64)), Allowed.everything(1, 4), 5
    )
    assert lists.tolist() == [[0, 1, 2, PAD, PAD]]


def test_knn_adds_cosines_of_pairs_that_count_once() -> None:
    # a and b: 2 of sqrt(2 x 3); a and c: 1 of sqrt(2 x 1); that the first user had b twice is one.
    log = log_of("abb", "abc", "b")
    session = anonymous(np.array([0]), np.array([0, 1]))
    allowed = Allowed(np.ones(3, bool), np.array([0, 1]), np.array([0], np.int32))
    assert fitted(Knn(), log).lists(session, allowed, 3).tolist() == [[1, 2, PAD]]
    assert fitted(Knn(neighbours=1), log).lists(session, allowed, 3).tolist() == [[1, PAD, PAD]]


def test_shrunk_cosines_are_counts_over_norms_and_a_constant() -> None:
    # a 3, b 3 and c 1 users; a and b have 2 in common, a and c 1, b and c 1.
    taken = lists.ones(lists.pairs(log_of("abc", "ab", "a", "b")))
    near = shrunk_cosines(taken, 2, 1.0).toarray()
    expected = [[0, 2 / 4, 1 / (3**0.5 + 1)], [2 / 4, 0, 1 / (3**0.5 + 1)]]
    np.testing.assert_allclose(near[:2], expected, rtol=1e-6)
    assert (shrunk_cosines(taken, 1, 1.0) > 0).sum(axis=1).tolist() == [[1], [1], [1]]


def test_cosines_that_are_hardly_shrunk_are_those_of_implicit() -> None:
    log = two_tastes()
    ours, theirs = (fitted(Knn(shrinkage=s), log)._near.toarray() for s in (1e-9, 0.0))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    with pytest.raises(SettingsError, match="0 but for cosine; got 1 for bm25"):
        Knn(similarity="bm25", shrinkage=1)


def test_knn_names_the_similarities_that_there_are() -> None:
    with pytest.raises(SettingsError, match="cosine, bm25 or tfidf; got 'jaccard'"):
        Knn(similarity="jaccard")  # type: ignore[arg-type]


def test_knn_keeps_neighbours_of_what_was_had_or_of_what_is_offered() -> None:
    # Cosines: ab 3 / sqrt(12), ac 1 / sqrt(3), bc 1 / 2. The nearest to a is b, to b and c it is a.
    log = log_of("ab", "ab", "abc", "b")
    session = anonymous(np.array([0]), np.array([0, 1]))
    allowed = Allowed(np.ones(3, bool), np.array([0, 1]), np.array([0], np.int32))
    had = fitted(Knn(neighbours=1), log).lists(session, allowed, 2)
    offered = fitted(Knn(neighbours=1, of="offered"), log).lists(session, allowed, 2)
    assert had.tolist() == [[1, PAD]]
    assert offered.tolist() == [[1, 2]]
    with pytest.raises(SettingsError, match="of must be history or offered; got 'rows'"):
        Knn(of="rows")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bm25", "tfidf"])
def test_knn_knows_other_similarities(kind: str) -> None:
    log = two_tastes()
    lists = fitted(Knn(similarity=kind), log).lists(*asked(log), 1)  # type: ignore[arg-type]
    assert (lists[:12] < 4).all()
    assert (lists[12:] >= 4).all()


def test_ease_is_the_closed_form_of_its_paper() -> None:
    log = two_tastes()
    taken = np.zeros((24, 8))
    taken[log.user_rows, log.item_rows] = 1
    inverse = np.linalg.inv(taken.T @ taken + 3 * np.eye(8))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = np.where(taken > 0, -np.inf, taken @ weights)
    lists = fitted(Ease(regularization=3.0), log).lists(*asked(log), 5)
    ours = np.take_along_axis(scores, lists, axis=1)
    np.testing.assert_allclose(ours, -np.sort(-scores, axis=1)[:, :5], atol=1e-5)


def test_ease_refuses_more_memory_than_it_may_take() -> None:
    with pytest.raises(DataError, match=r"8 items take 2\.56e-07 GB; most_bytes allows 1e-07 GB"):
        fitted(Ease(most_bytes=100), two_tastes())


@pytest.mark.parametrize("name", FACTORS)
def test_factors_have_nothing_for_users_without_a_past(name: str) -> None:
    log = two_tastes()
    past = log.where(log.user_rows != 3)
    histories = Histories.of(log, np.array([2, 3], np.int32))
    stranger = anonymous(np.array([0]), np.array([0, 1]))
    peer = fitted(made(name), past)
    lists = peer.lists(histories, Allowed.everything(2, 9), 2)
    assert (lists[0] != PAD).all()
    assert (lists[1] == PAD).all()
    assert (peer.lists(stranger, Allowed.everything(1, 9), 2) == PAD).all()


@pytest.mark.parametrize("name", ["knn", "ease"])
def test_items_to_items_answer_sessions_of_strangers(name: str) -> None:
    session = anonymous(np.array([0, 1]), np.array([0, 2]))
    allowed = Allowed(np.ones(9, bool), np.array([0, 2]), np.array([0, 1], np.int32))
    lists = fitted(made(name), two_tastes()).lists(session, allowed, 2)
    assert set(lists[0]) == {2, 3}


def test_tuned_settings_can_be_made_and_others_are_defaults() -> None:
    for data, peers in TUNED.items():
        for name in PEERS.keys() & peers:
            assert repr(tuned(name, data)) == repr(PEERS[name](**peers[name]))
    assert repr(tuned("popularity", "nowhere")) == repr(Popularity())
    with pytest.raises(SettingsError, match="unknown peer 'svd'; known are popularity, knn"):
        tuned("svd", "ml-1m")


def test_validation_never_sees_the_last_item() -> None:
    log = log_of("abcd", "dcba")
    cut = validation(log, EngineSettings())
    assert cut.past.item_rows.tolist() == [0, 1, 3, 2]
    assert cut.chosen.items.tolist() == [2, 1]


def test_validation_of_a_given_split_is_a_tenth_of_each_user() -> None:
    log = log_of("abcdefghijklmnopqrst", "abc")
    settings = EngineSettings.parse({"evaluation": {"protocol": "given"}})
    cut = validation(log, settings)
    assert cut.past.counts.tolist() == [18, 3]
    assert len(cut.chosen.items) == 2
    assert not set(cut.chosen.items) & set(cut.past.item_rows[:18])


def test_a_grid_is_every_combination_of_its_values() -> None:
    assert list(combinations({"a": [1, 2], "b": ["x"]})) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    assert list(combinations({})) == [{}]
