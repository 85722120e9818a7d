"""pair_features: hand values, and what a feature must not depend on."""

from dataclasses import replace
from math import log, sqrt

import numpy as np
import polars as pl
import pytest

from recsys.features.arrays import PAD, Array, Floats
from recsys.features.catalog import Catalog
from recsys.features.columns import CatalogColumns
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.ranking.day_features import Told
from recsys.ranking.pair_features import Knowledge, families, feature_names, pair_features
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.als import Als
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.content import Content
from recsys.retrieval.covisit import CoVisit
from recsys.retrieval.popular import Popular
from recsys.retrieval.retriever import Retriever
from recsys.retrieval.union import union
from tests.worlds import DAY, ITEMS, World, log_of, offered, planted, sessions

LOG = log_of([0, 1], [0, 1], [0, 2], [3, 1], items=5)
CATALOG = Catalog(
    LOG.items,
    pl.DataFrame(
        {
            "colour": ["red", "blue", "red", "blue", None],
            "mood": ["calm|warm", "warm", None, "calm|odd", "odd"],
            "cost": [9.0, 19.0, 4.0, None, 9.0],
        }
    ),
    CatalogColumns(category="colour", tags="mood", price="cost"),
    {},
    np.ones(5, bool),
)
HISTORY = [3, 0]  # item 0 is the last


def covisit() -> CoVisit:
    return CoVisit(window=1, backward=0, source_damping=0, target_damping=0, decay=0.5)


def knowledge_of(log: Interactions, catalog: Catalog, *sources: Retriever) -> Knowledge:
    fitted = [source.fit(log, catalog) for source in sources]
    return Knowledge.of(fitted, log, catalog, Told.of(log))


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return knowledge_of(LOG, CATALOG, covisit(), Popular())


def columns_of(
    knowledge: Knowledge, history: list[int], candidates: Candidates
) -> dict[str, list[float]]:
    features, names = pair_features(sessions(history), candidates, knowledge)
    assert features.shape == (1, candidates.items.shape[1], len(names))
    assert len(set(names)) == len(names)
    return {name: features[0, :, column].tolist() for column, name in enumerate(names)}


@pytest.fixture(scope="module")
def columns(knowledge: Knowledge) -> dict[str, list[float]]:
    """Of candidates 1, 2, 4, 0 and 3 for somebody who had 3 and then 0."""
    return columns_of(knowledge, HISTORY, offered([[1, 2, 4, 0, 3, PAD]]))


def test_scores_shares_and_ranks(columns: dict[str, list[float]]) -> None:
    # 0 -> 1 twice, 0 -> 2 once; 3 -> 1 once, which is one item further back
    assert columns["covisit score"] == pytest.approx([2.5, 1, 0, 0, 0, 0])
    assert columns["covisit share of best"] == pytest.approx([1, 0.4, 0, 0, 0, 0])
    third = 1 / sqrt(3)
    ranks = [1, 1 / sqrt(2), third, third, third, 0]
    assert columns["covisit rank"] == pytest.approx(ranks)
    assert columns["popular score"] == [3, 1, 0, 3, 1, 0]
    assert columns["popular share of best"] == pytest.approx([1, 1 / 3, 0, 1, 1 / 3, 0])
    ranks = [1, third, 1 / sqrt(5), 1, third, 0]
    assert columns["popular rank"] == pytest.approx(ranks)


def test_links_from_the_newest_items(columns: dict[str, list[float]]) -> None:
    assert columns["covisit from last"] == pytest.approx([2, 1, 0, 0, 0, 0])
    assert columns["covisit from last, share of best"] == pytest.approx([1, 0.5, 0, 0, 0, 0])
    assert columns["covisit from 2 back"] == [1, 0, 0, 0, 0, 0]
    assert columns["covisit from 3 back"] == [0] * 6
    assert columns["covisit strongest link"] == [2, 1, 0, 0, 0, 0]


def test_the_strongest_link_may_be_an_old_one(knowledge: Knowledge) -> None:
    columns = columns_of(knowledge, [0, 4, 4, 4, 4, 4], offered([[1, 2]]))
    assert columns["covisit strongest link"] == [2, 1]
    assert columns["covisit from last"] == [0, 0]


def test_place_in_the_fused_list_and_votes(columns: dict[str, list[float]]) -> None:
    expected = [1 / sqrt(1 + place) for place in range(5)] + [0]
    assert columns["fused rank"] == pytest.approx(expected)
    assert columns["sources that offer it"] == [1] * 5 + [0]


def test_votes_of_two_sources(knowledge: Knowledge) -> None:
    both = union([offered([[1, 2]], "covisit"), offered([[2, 4]], "popular")])
    assert columns_of(knowledge, HISTORY, both)["sources that offer it"] == [2, 1, 1]


def test_counts_of_the_item_and_length_of_the_history(columns: dict[str, list[float]]) -> None:
    expected = [log(4), log(2), 0, log(4), log(2), 0]
    assert columns["popularity"] == pytest.approx(expected)
    assert columns["history length"] == pytest.approx([log(3)] * 5 + [0])
    assert "days of silence" not in columns  # the log has no clock


def test_silence_is_told_in_days() -> None:
    log_ = log_of([0, 1], items=2, times=[0, 2 * DAY], clock="time")
    knowledge = knowledge_of(log_, Catalog.empty(log_.items), Popular())
    histories = Histories.of(log_, np.array([0], np.int32), now=5 * DAY)
    features, names = pair_features(histories, offered([[1, 0]]), knowledge)
    silence = features[0, :, names.index("days of silence")]
    assert silence.tolist() == pytest.approx([log(4)] * 2)


def test_repeats(columns: dict[str, list[float]], knowledge: Knowledge) -> None:
    assert columns["times in history"] == pytest.approx([0, 0, 0, log(2), log(2), 0])
    assert columns["nearness of last time"] == pytest.approx([0, 0, 0, 1, 1 / sqrt(2), 0])
    again = columns_of(knowledge, [1, 1, 0, 1, 2], offered([[1]]))
    assert again["times in history"] == pytest.approx([log(4)])
    assert again["nearness of last time"] == pytest.approx([1 / sqrt(2)])


def test_categories_weigh_by_age(columns: dict[str, list[float]]) -> None:
    newest, older = 1 / 1.85, 0.85 / 1.85  # red is that of item 0, blue that of item 3
    expected = [older, newest, 0, newest, older, 0]
    assert columns["colour affinity"] == pytest.approx(expected)
    assert columns["colour of last item"] == [0, 1, 0, 1, 0, 0]


def test_tags_count_by_their_share(columns: dict[str, list[float]]) -> None:
    newest, older = 1 / 1.85, 0.85 / 1.85
    # the profile: calm 1, warm newest, odd older
    expected = [newest, 0, older, (1 + newest) / 2, (1 + older) / 2, 0]
    assert columns["mood affinity"] == pytest.approx(expected)
    assert columns["mood of last item"] == pytest.approx([1, 0, 0, 1, 0.5, 0])


def test_prices_are_compared_as_logarithms(columns: dict[str, list[float]]) -> None:
    # Item 3 has no price: the history's mean is that of item 0, log 10.
    assert columns["price"] == pytest.approx([log(20), log(5), log(10), log(10), 0, 0])
    against = [log(2), -log(2), 0, 0, 0, 0]
    assert columns["price against history"] == pytest.approx(against, abs=1e-6)
    assert columns["price distance"] == pytest.approx(list(map(abs, against)), abs=1e-6)


def test_the_price_of_a_history_is_a_weighted_mean(knowledge: Knowledge) -> None:
    against = columns_of(knowledge, [1, 0], offered([[0]]))["price against history"]
    mean = (log(10) + 0.85 * log(20)) / 1.85
    assert against == pytest.approx([log(10) - mean])


def test_an_empty_history_has_nothing_to_compare(knowledge: Knowledge) -> None:
    columns = columns_of(knowledge, [], offered([[1, 3]]))
    for name in ("covisit score", "colour affinity", "price against history", "history length"):
        assert columns[name] == [0, 0], name
    assert columns["popular score"] == [3, 1]


def test_scores_below_0_rank_above_the_end_of_the_list() -> None:
    """A PAD scores 0: it must not take a rank away from an item that scores less."""
    names = LOG.items
    vectors = np.array([[1, 0], [-1, 0.1], [-1, 1], [0, 1], [0, 0]], np.float32)
    catalog = Catalog.empty(names).with_vectors("text", vectors)
    knowledge = knowledge_of(LOG, catalog, Content(device="cpu"))
    short, long = (
        columns_of(knowledge, [0], offered([[1, 2, *pads]])) for pads in ([], [PAD, PAD, PAD])
    )
    for name in ("content score", "content rank", "content from last"):
        assert long[name][:2] == short[name], name
    assert short["content rank"] == pytest.approx([1 / sqrt(2), 1])
    assert short["content share of best"] == [0, 0]


@pytest.fixture(scope="module")
def world() -> World:
    return planted()


def all_sources() -> tuple[Retriever, ...]:
    return Als(factors=8, device="cpu"), CoVisit(), Content(device="cpu"), Popular()


def mixed(world: World) -> Histories:
    """The histories as of the end, of each one's last event, and of before all, in turn."""
    turn = np.arange(len(world.log.users)) % 3
    past = world.log.where(turn[world.log.user_rows] < 2)
    last = world.log.times[world.log.offsets[1:] - 1]
    end, start = world.log.times.max(), world.log.times.min() - DAY
    now = np.choose(turn, [np.full(len(turn), end), last, np.full(len(turn), start)])
    return Histories.of(past, np.arange(len(turn), dtype=np.int32), now)


@pytest.fixture(scope="module")
def known(world: World) -> Knowledge:
    return knowledge_of(world.log, world.catalog, *all_sources())


@pytest.fixture(scope="module")
def candidates(world: World, known: Knowledge) -> Candidates:
    return candidates_of(known, world)


def candidates_of(known: Knowledge, world: World) -> Candidates:
    depths = (9, 7, 5, 3)
    return union(
        [
            source.retrieve(world.histories, depth, Allowed.everything(len(world.histories), ITEMS))
            for source, depth in zip(known.sources, depths, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def computed(
    world: World, known: Knowledge, candidates: Candidates
) -> tuple[Floats, tuple[str, ...]]:
    return pair_features(world.histories, candidates, known)


def test_features_are_finite_and_0_behind_the_end(
    computed: tuple[Floats, tuple[str, ...]], candidates: Candidates
) -> None:
    features, names = computed
    assert features.dtype == np.float32
    assert features.shape == (*candidates.items.shape, len(names))
    assert np.isfinite(features).all()
    assert not candidates.filled.all()
    assert (features[~candidates.filled] == 0).all()
    filled = features[candidates.filled]
    varies = (filled != filled[0]).any(axis=0)
    constant = {name for name, each in zip(names, varies, strict=True) if not each}
    alike = {"history length", "events of session", "minutes of session"}  # an event a day
    assert constant <= alike, "a feature says nothing"


@pytest.mark.parametrize("as_of", ["end", "mixed"])
def test_nothing_depends_on_the_rest_of_the_batch(
    world: World, known: Knowledge, as_of: str
) -> None:
    histories = world.histories if as_of == "end" else mixed(world)
    candidates = candidates_of(known, replace(world, histories=histories))
    together, names = pair_features(histories, candidates, known)
    assert np.isfinite(together).all()
    for query in range(0, len(histories), 7):
        one = np.array([query])
        width = int(candidates.filled[query].sum())
        alone, same = pair_features(histories.take(one), candidates.take(one).top(width), known)
        assert same == names
        np.testing.assert_array_equal(alone[0], together[query, :width])


def test_the_order_of_candidates_moves_their_place_in_the_list_alone(
    world: World,
    known: Knowledge,
    candidates: Candidates,
    computed: tuple[Floats, tuple[str, ...]],
) -> None:
    features, names = computed
    lottery = np.random.default_rng(0).random(candidates.items.shape) + 2 * ~candidates.filled
    order = np.argsort(lottery, axis=1)
    moved, _ = pair_features(world.histories, candidates.at(order), known)
    rest = np.array([name != "fused rank" for name in names])
    expected = np.take_along_axis(features, order[:, :, None], axis=1)
    np.testing.assert_array_equal(moved[:, :, rest], expected[:, :, rest])


def shuffled_after(log_: Interactions, cutoff: int) -> Interactions:
    """The same up to `cutoff`; after it the items, events and weights are others."""
    rng = np.random.default_rng(5)
    later = log_.times >= cutoff
    items = log_.item_rows.copy()
    items[later] = rng.permutation(items[later])
    weights = log_.weights.copy()
    weights[later] = rng.uniform(1, 9, later.sum())
    return replace(log_, item_rows=items, weights=weights)


def test_nothing_looks_ahead(world: World) -> None:
    cutoff = int(np.median(world.log.times))
    features = []
    for log_ in (world.log, shuffled_after(world.log, cutoff)):
        past, future = log_.split_at(cutoff)
        assert len(future) > 100
        known = knowledge_of(past, world.catalog, *all_sources())
        histories = Histories.of(past, past.active_users(), now=cutoff)
        allowed = world.seen.take(past.active_users())
        found = union([each.retrieve(histories, 9, allowed) for each in known.sources])
        features.append((found.items, *pair_features(histories, found, known)))
    for one, other in zip(*features, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_of_the_callers_is_edited(
    world: World, known: Knowledge, candidates: Candidates
) -> None:
    before: list[Array] = [candidates.items, candidates.scores, candidates.ranks]
    before += [world.histories.items, world.histories.offsets]
    copies = [each.copy() for each in before]
    pair_features(world.histories, candidates, known)
    for each, copy in zip(before, copies, strict=True):
        np.testing.assert_array_equal(each, copy)


def test_every_feature_is_of_one_family(
    world: World, known: Knowledge, candidates: Candidates, computed: tuple[Floats, tuple[str, ...]]
) -> None:
    found = families(world.histories, candidates, known)
    assert tuple(found) == computed[1] == feature_names(known)
    sources = {f"source {source.name}" for source in known.sources}
    about = {"all sources together", "popularity and age", "the history"}
    about |= {"time of day", "how often it was had"}
    assert set(found.values()) == sources | about | {"circle", "place", "size", "price"}
