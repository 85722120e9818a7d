"""CoVisit: what follows what, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Array
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.covisit import CoVisit
from recsys.retrieval.retriever import links_items
from tests.retrieval.contract import RetrieverContract
from tests.worlds import leaving_out, log_of, sessions

PLAIN = {"source_damping": 0.0, "target_damping": 0.0}
A, B, C, D = range(4)


class TestCoVisit(RetrieverContract):
    make = staticmethod(CoVisit)
    recall_floor = 0.9

    def test_an_empty_history(self, fitted: CoVisit) -> None:
        """As everywhere, but that a history leads to few items."""
        found = fitted.retrieve(sessions([], [4]), 3, Allowed.everything(2, 62))
        assert found.filled.all(axis=1).tolist() == [False, True]
        assert not found.filled[0].any()


def fitted(log: Interactions, **settings: float) -> CoVisit:
    return CoVisit(**settings).fit(log, Catalog.empty(log.items))


def matrix(covisit: CoVisit, items: int) -> Array:
    """(items, items) how strongly each item leads to each."""
    rows = np.arange(items, dtype=np.int32)
    return covisit.links(rows[:, None], np.tile(rows, (items, 1)))[:, :, 0]


def test_pairs_weigh_by_distance_and_direction() -> None:
    covisit = fitted(log_of([A, B, C, A, D], items=4), window=2, backward=0.5, **PLAIN)
    expected = [
        # A: pairs A-B 1, A-C 1/2; A-D 1; backward to C 1/2, to B 1/4
        [0, 1 + 0.25, 0.5 + 0.5, 1],
        # B: forward C 1, A 1/2; backward A 1/2
        [0.5 + 0.5, 0, 1, 0],
        # C: forward A 1, D 1/2; backward B 1/2, A 1/4
        [1 + 0.25, 0.5, 0, 0.5],
        # D: backward A 1/2, C 1/4
        [0.5, 0, 0.25, 0],
    ]
    np.testing.assert_allclose(matrix(covisit, 4), expected, rtol=1e-6)


def test_forward_alone_reads_one_way() -> None:
    covisit = fitted(log_of([A, B], [A, B], items=2), window=1, backward=0, **PLAIN)
    assert matrix(covisit, 2).tolist() == [[0, 2], [0, 0]]
    assert not covisit.retrieve(sessions([B]), 2, Allowed.everything(1, 2)).filled.any()


def test_backward_alone_reads_the_other_way() -> None:
    covisit = fitted(log_of([A, B], items=2), window=1, forward=0, backward=0.3, **PLAIN)
    np.testing.assert_allclose(matrix(covisit, 2), [[0, 0], [0.3, 0]], rtol=1e-6)


def test_a_pair_counts_as_what_it_leads_to_weighs() -> None:
    log = replace(log_of([A, B, C], items=3), weights=np.array([1, 4, 9], np.float32))
    settings = {"window": 1, "backward": 0.5, **PLAIN}
    by_weight = matrix(fitted(log, event_power=0.5, **settings), 3)
    np.testing.assert_allclose(by_weight, [[0, 2, 0], [0.5, 0, 3], [0, 1, 0]], rtol=1e-6)
    assert matrix(fitted(log, **settings), 3)[A, B] == 1


def test_a_pair_counts_half_for_every_half_life_between_its_ends() -> None:
    minutes = np.array([0, 20, 80]) * 60_000_000
    log = replace(log_of([A, B, C], items=3), times=minutes, clock="time")
    faded = matrix(fitted(log, window=2, backward=0, half_life=20, **PLAIN), 3)
    np.testing.assert_allclose(faded, [[0, 1 / 2, 1 / 2 / 16], [0, 0, 1 / 8], [0, 0, 0]], rtol=1e-6)
    log = replace(log, clock="order")
    assert matrix(fitted(log, window=2, backward=0, half_life=20, **PLAIN), 3)[A, C] == 0.5


def test_what_is_too_long_ago_to_count_is_no_link() -> None:
    log = replace(log_of([A, B, A, B], items=2), times=np.arange(4) * 10**15, clock="time")
    covisit = fitted(log, half_life=1, **PLAIN)
    assert not matrix(covisit, 2).any()
    assert not covisit.retrieve(sessions([A]), 2, Allowed.everything(1, 2)).filled.any()


def test_the_sessions_of_two_users_never_pair() -> None:
    covisit = fitted(log_of([A, B], [C, D], items=4), window=5, **PLAIN)
    assert (matrix(covisit, 4)[:2, 2:] == 0).all()
    assert (matrix(covisit, 4)[2:, :2] == 0).all()


def test_a_thousand_reloads_pair_like_one_customer() -> None:
    """C leads to D for two customers, and A to B for one who goes to and fro."""
    log = log_of([A, B] * 1_000, [A, D], [A, D], items=4)
    strengths = matrix(fitted(log, window=3, **PLAIN), 4)
    assert strengths[A, B] == pytest.approx(1 + 0.3)
    assert strengths[A, D] == pytest.approx(2)
    damped = matrix(fitted(log, window=3), 4)
    assert damped[A, B] == pytest.approx(1.3 / 3**0.5)  # three customers had A, one had B


def test_nothing_beyond_the_window() -> None:
    assert matrix(fitted(log_of([A, B, C], items=3), window=1, **PLAIN), 3)[A, C] == 0


def test_popular_ends_are_damped() -> None:
    log = log_of([A, B], [A, C], [D, A], [D, A], items=4)  # A: 4 events, B, C: 1, D: 2
    settings = {"window": 1, "backward": 0.0, "source_damping": 0.5, "target_damping": 1.0}
    strengths = matrix(fitted(log, **settings), 4)
    assert strengths[A, B] == pytest.approx(1 / (4**0.5 * 1))
    assert strengths[D, A] == pytest.approx(2 / (2**0.5 * 4))


def test_older_items_of_a_history_weigh_less() -> None:
    log = log_of([A, C], [B, D], items=4)
    covisit = fitted(log, window=1, backward=0, decay=0.5, **PLAIN)
    found = covisit.retrieve(sessions([A, B]), 4, Allowed.everything(1, 4))
    assert found.items.tolist() == [[D, C, PAD, PAD]]
    assert found.scores[0, :2, 0].tolist() == [1, 0.5]


def test_repeats_in_a_history_add_up() -> None:
    covisit = fitted(log_of([A, B], items=2), window=1, backward=0, decay=0.5, **PLAIN)
    assert covisit.score(sessions([A, A]), np.array([[B]], np.int32)).tolist() == [[1.5]]


def test_only_the_last_items_count() -> None:
    log = log_of([A, C], [B, D], items=4)
    covisit = fitted(log, window=1, backward=0, last=1, **PLAIN)
    found = covisit.retrieve(sessions([A, B]), 4, Allowed.everything(1, 4))
    assert found.items.tolist() == [[D, PAD, PAD, PAD]]


def test_a_decay_of_0_reads_the_last_item_only() -> None:
    log = log_of(*[[A, C, D, B]] * 3, items=4)
    covisit = fitted(log, window=3, decay=0.0, last=20)
    long = [A, B, C, D] * 10
    only, last = (
        covisit.retrieve(sessions(each), 4, Allowed.everything(1, 4)) for each in (long, [D])
    )
    assert only.items.tolist() == last.items.tolist()
    assert only.scores.tolist() == last.scores.tolist()


def test_pruning_keeps_the_strongest() -> None:
    log = log_of([A, B], [A, C], [A, C], [A, D], [A, D], [A, D], items=4)
    covisit = fitted(log, window=1, backward=0, neighbours=2, **PLAIN)
    assert matrix(covisit, 4)[A].tolist() == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"neighbours": 0}, "neighbours must be at least 1; got 0"),
        ({"window": 0}, "window must be at least 1; got 0"),
        ({"last": 0}, "last must be at least 1; got 0"),
        ({"target_damping": 40.0}, "target_damping must be between 0 and 2; got 40"),
        ({"decay": -0.5}, "decay must be between 0 and 1; got -0.5"),
        ({"forward": -1.0}, "forward must be 0, or between .001 and 1000; got -1"),
        ({"backward": -1.0}, "backward must be 0, or between .001 and 1000; got -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        CoVisit(**settings)


def test_similar_items_are_the_strongest_links() -> None:
    log = log_of([A, B], [A, C], [A, C], items=4)
    covisit = fitted(log, window=1, backward=0, **PLAIN)
    assert links_items(covisit)
    allowed = leaving_out([], [C], [], items=4)
    found = covisit.similar(np.array([A, A, PAD], np.int32), 2, allowed)
    assert found.items.tolist() == [[C, B], [B, PAD], [PAD, PAD]]
    assert found.users.tolist() == [PAD, PAD, PAD]


def test_links_of_pad_are_0() -> None:
    covisit = fitted(log_of([A, B], items=2), window=1, **PLAIN)
    links = covisit.links(np.array([[PAD, A]], np.int32), np.array([[B, PAD, A]], np.int32))
    assert links.tolist() == [[[0, 1], [0, 0], [0, 0]]]


walks = st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=5)


def counted(sequences: list[list[int]], window: int, forward: float, backward: float) -> Array:
    """The pairs in plain Python: of each user in each direction the nearest."""
    counts = np.zeros((6, 6))
    for own in sequences:
        ahead, back = np.zeros((6, 6)), np.zeros((6, 6))
        for place, first in enumerate(own):
            for distance, second in enumerate(own[place + 1 : place + 1 + window], 1):
                ahead[first, second] = max(ahead[first, second], forward / distance)
                back[second, first] = max(back[second, first], backward / distance)
        counts += ahead + back
    return counts


@given(walks, st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.0]))
def test_links_equal_a_count_in_python(
    sequences: list[list[int]], window: int, backward: float
) -> None:
    covisit = fitted(log_of(*sequences, items=6), window=window, backward=backward, **PLAIN)
    expected = counted(sequences, window, 1.0, backward)
    np.testing.assert_allclose(matrix(covisit, 6), expected, rtol=1e-5, atol=1e-7)


def test_saved_links_are_those_that_were_counted(tmp_path: Path) -> None:
    covisit = fitted(log_of([A, B, C], items=3), **PLAIN)
    covisit.save(tmp_path)
    np.testing.assert_array_equal(matrix(CoVisit().load(tmp_path), 3), matrix(covisit, 3))
