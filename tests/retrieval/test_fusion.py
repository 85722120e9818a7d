"""Fusion: weights, quotas and width by hand, a learnt mixture, and the default as it was."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.features.errors import SettingsError
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.fusion import Fusion
from recsys.retrieval.mixture import Mixture
from recsys.retrieval.union import union
from tests.worlds import offered

ALS, NEXT = offered([[1, 2, 3]], "als"), offered([[4, 5, 6]], "next")


def assert_same(one: Candidates, other: Candidates) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.ranks, other.ranks)
    assert one.sources == other.sources


def test_the_default_is_the_union() -> None:
    rng = np.random.default_rng(2)
    lists = [offered([rng.permutation(50)[:9].tolist() for _ in range(40)], n) for n in "abc"]
    assert_same(Fusion().merged(lists), union(lists))


def test_weights_by_hand() -> None:
    assert Fusion().merged([ALS, NEXT]).items.tolist() == [[1, 4, 2, 5, 3, 6]]
    heavy = Fusion(offset=0, weights={"next": 2.5})
    # als: 1, 1/2, 1/3; next: 2.5, 1.25, .83
    assert heavy.merged([ALS, NEXT]).items.tolist() == [[4, 5, 1, 6, 2, 3]]


def test_width_cuts_the_tail() -> None:
    merged = Fusion(width=2).merged([ALS, NEXT])
    assert merged.items.tolist() == [[1, 4]]
    assert merged.ranks.tolist() == [[[0, PAD], [PAD, 0]]]


def test_quotas_by_hand() -> None:
    weights = {"als": 100.0}
    assert Fusion(weights=weights).merged([ALS, NEXT]).items.tolist() == [[1, 2, 3, 4, 5, 6]]
    two_in_three = Fusion(weights=weights, quotas={"next": 2}, first=3)
    assert two_in_three.merged([ALS, NEXT]).items.tolist() == [[1, 4, 5, 2, 3, 6]]
    in_width = Fusion(weights=weights, quotas={"next": 1}, width=2)
    assert in_width.merged([ALS, NEXT]).items.tolist() == [[1, 4]]


def test_a_source_that_offers_less_than_its_quota_gives_all_it_has() -> None:
    short = offered([[4, PAD, PAD]], "next")
    fusion = Fusion(weights={"als": 100.0}, quotas={"next": 2, "content": 1}, first=3)
    assert fusion.merged([ALS, short]).items.tolist() == [[1, 2, 4, 3]]


lists = st.lists(st.integers(0, 20), unique=True, min_size=8, max_size=8)


@given(lists, lists, lists, st.integers(0, 3), st.integers(0, 3))
def test_quotas_are_kept_and_nothing_is_lost(
    one: list[int], two: list[int], three: list[int], least: int, other: int
) -> None:
    sources = [offered([own], name) for own, name in zip((one, two, three), "abc", strict=True)]
    merged = Fusion(quotas={"b": least, "c": other}, first=6).merged(sources)
    assert (merged.ranks[0, :6, 1] != PAD).sum() >= least
    assert (merged.ranks[0, :6, 2] != PAD).sum() >= other
    plain = union(sources)
    assert sorted(merged.items[0].tolist()) == sorted(plain.items[0].tolist())
    place = {item: place for place, item in enumerate(plain.items[0].tolist())}
    for part in (merged.items[0, :6], merged.items[0, 6:]):
        assert [place[item] for item in part.tolist()] == sorted(
            place[item] for item in part.tolist()
        )


def test_a_mixture_finds_the_source_that_is_right() -> None:
    rng = np.random.default_rng(0)
    own = [rng.permutation(60)[:10].tolist() for _ in range(200)]
    other = [rng.permutation(60)[:10].tolist() for _ in range(200)]
    sources = [offered(other, "noise"), offered(own, "right")]
    merged = union(sources)
    aims = np.array([each[int(rng.integers(0, 2))] for each in own])
    labels = (merged.items == aims[:, None]).astype(np.float32)
    mixture = Mixture.learnt(merged.sources, merged.ranks, labels)
    assert (mixture.weights >= 0).all()
    assert mixture.worth("right", 10)[0] > 5 * mixture.worth("noise", 10)[0]
    assert (np.diff(mixture.worth("right", 10)) <= 0).all()
    learned = Fusion(order="learned").merged(sources, mixture)
    assert (learned.items[:, :2] == aims[:, None]).any(axis=1).mean() > 0.95
    assert (merged.items[:, :2] == aims[:, None]).any(axis=1).mean() < 0.8


def test_equal_sources_get_equal_weights() -> None:
    sources = [offered([[1, 2, 3]] * 4, "a"), offered([[1, 2, 3]] * 4, "b")]
    merged = union(sources)
    labels = np.array([[1, 0, 0]] * 3 + [[0, 1, 0]], np.float32)
    mixture = Mixture.learnt(merged.sources, merged.ranks, labels)
    np.testing.assert_allclose(mixture.weights[0], mixture.weights[1], rtol=1e-3, atol=1e-6)


def test_a_mixture_survives_json_and_knows_no_strangers() -> None:
    mixture = Mixture(("a", "b"), np.array([[0.1, 2 / 3, 0], [1, 0, 1e-17]]))
    again = Mixture.of(mixture.told())
    assert again.names == mixture.names
    np.testing.assert_array_equal(again.weights, mixture.weights)
    assert mixture.worth("c", 2).tolist() == [0, 0]
    assert mixture.worth("b", 2).tolist() == pytest.approx([1, 2 / 3])


def test_without_a_mixture_reciprocal_ranks_are_added_up() -> None:
    assert_same(Fusion(order="learned").merged([ALS, NEXT], None), union([ALS, NEXT]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"offset": -1}, "fusion.offset must be 0 or more; got -1"),
        ({"width": -1}, "fusion.width must be 0 or more; got -1"),
        ({"weights": {"als": -2}}, "fusion.weights.als must be finite and 0 or more; got -2"),
        ({"quotas": {"als": 2}}, "fusion.quotas need fusion.first or fusion.width"),
        ({"quotas": {"als": 2}, "first": 1}, "must fit into 1 places; they sum to 2"),
        ({"first": 9, "width": 5}, "fusion.first must be within the width; got 9 of 5"),
        ({"order": "learned", "weights": {"als": 2}}, "weights are for the order 'reciprocal'"),
    ],
)
def test_settings_that_cannot_be_kept(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        Fusion(**settings)
