"""Slices of a log of two weeks that can be read at a glance, and against a loop."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation import metrics
from recsys.evaluation.slices import Slice, Slicing, most_chosen, pooled, sliced, slicings, table
from recsys.features import ragged
from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog, read_catalog
from recsys.features.columns import CatalogColumns, LogColumns
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.learning import Moment, moment
from recsys.ranking.lists import Chosen

START = datetime(2024, 1, 1, tzinfo=UTC)


def log_of(events: list[tuple[str, str, float, str]]) -> Interactions:
    """A log of (user, item, day, event)."""
    rows = [(user, item, START + timedelta(days=day), kind) for user, item, day, kind in events]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "at", "event"], orient="row")
    return read_interactions(frame, LogColumns(time="at", event="event"))[0]


PAST = [
    *[("ann", "old", hour / 24, "view") for hour in range(6)],
    ("bob", "old", 1, "view"),
    ("bob", "late", 95, "view"),
    *[("eve", "old", hour / 24, "view") for hour in range(20)],
]
FUTURE = [
    ("ann", "late", 100, "view"),
    ("ann", "fresh", 100, "purchase"),
    ("bob", "fresh", 100, "purchase"),
    ("bob", "bare", 101, "view"),
    ("eve", "late", 100, "view"),
]
CATEGORIES = {"old": "shoes", "late": "shoes", "fresh": "hats", "bare": None}


def shop() -> tuple[Moment, Catalog, Interactions]:
    """What was chosen from day 100 on, by ann (6 events), bob (2) and eve (20)."""
    log = log_of(PAST + FUTURE)
    past, future = log.split_at(int((START + timedelta(days=100)).timestamp() * 1e6))
    frame = pl.DataFrame({"item_id": list(CATEGORIES), "kind": list(CATEGORIES.values())})
    catalog = read_catalog(frame, CatalogColumns.parse({"category": "kind"}))[0].over(log.items)
    return moment(past, future, int((START + timedelta(days=100)).timestamp() * 1e6)), catalog, log


def ways() -> dict[str, dict[tuple[str, str], str]]:
    """Per slicing, in which slice each choice (user, item) is."""
    cut, catalog, log = shop()
    users = log.users.ids_at(cut.histories.users[ragged.owners(cut.chosen.offsets)])
    items = log.items.ids_at(cut.chosen.items)
    return {
        way.by: {
            choice: way.names[code]
            for choice, code in zip(zip(users, items, strict=True), way.codes, strict=True)
        }
        for way in slicings(cut.past, catalog, cut.histories, cut.chosen)
    }


def test_every_way_to_slice() -> None:
    assert list(ways()) == [
        "history length", "item popularity", "repeat", "item age", "category", "event",
    ]  # fmt: skip


def test_by_the_length_of_the_history() -> None:
    assert ways()["history length"] == {
        ("ann", "late"): "warm: 5-19 events",
        ("ann", "fresh"): "warm: 5-19 events",
        ("bob", "fresh"): "cold: 1-4 events",
        ("bob", "bare"): "cold: 1-4 events",
        ("eve", "late"): "hot: 20-99 events",
    }


@pytest.mark.parametrize(
    ("way", "late", "fresh"),
    [
        ("item popularity", "1-9 events", "no events"),
        ("item age", "under 7 days", "new: no event by the user's moment"),
        ("category", "shoes", "hats"),
        ("event", "view", "purchase"),
    ],
)
def test_by_what_the_item_is(way: str, late: str, fresh: str) -> None:
    found = ways()[way]
    assert found["ann", "late"] == found["eve", "late"] == late
    assert found["ann", "fresh"] == found["bob", "fresh"] == fresh


def test_by_what_the_user_had_before() -> None:
    past = log_of([("ann", "x", 10, "view"), ("bob", "y", 0, "view")])
    histories = Histories.of(past, past.users.rows(["ann", "bob"]))
    chosen = one_each(past.items.rows(["x", "x"]))
    way = slicings(past, Catalog.empty(past.items), histories, chosen)[2]
    assert (way.by, [way.names[code] for code in way.codes]) == (
        "repeat", ["had before", "new to the user"],
    )  # fmt: skip


def test_an_item_without_a_category() -> None:
    assert ways()["category"]["bob", "bare"] == "no category"


@pytest.mark.parametrize(
    ("days", "name"),
    [
        (0, "under 7 days"),
        (6.9, "under 7 days"),
        (7, "7-30 days"),
        (30.9, "7-30 days"),
        (31, "31-180 days"),
        (180.9, "31-180 days"),
        (181, "more than 180 days"),
        (-1, "new: no event by the user's moment"),
    ],
)
def test_the_age_of_an_item_is_counted_at_the_users_moment(days: float, name: str) -> None:
    """A moment before the item's first event by somebody else: it was new then."""
    past = log_of([("ann", "x", 10, "view"), ("bob", "y", 0, "view")])
    now = int((START + timedelta(days=10 + days)).timestamp() * 1e6)
    bob = past.users.rows(["bob"])
    chosen = one_each(past.items.rows(["x"]))
    histories = Histories.of(past, bob, now)
    ages = slicings(past, Catalog.empty(past.items), histories, chosen)[3]
    assert ages.names[ages.codes[0]] == name


@pytest.mark.parametrize(
    ("events", "length"),
    [
        (1, "cold: 1-4 events"), (4, "cold: 1-4 events"), (5, "warm: 5-19 events"),
        (19, "warm: 5-19 events"), (20, "hot: 20-99 events"), (99, "hot: 20-99 events"),
        (100, "hot: 100 events and more"), (5000, "hot: 100 events and more"),
    ],
)  # fmt: skip
def test_the_ends_of_bands(events: int, length: str) -> None:
    past = log_of([("ann", "x", minute / 1440, "view") for minute in range(events)])
    found = slicings(
        past,
        Catalog.empty(past.items),
        Histories.of(past, past.users.rows(["ann"])),
        one_each(past.items.rows(["x"])),
    )
    assert [way.by for way in found] == [
        "history length", "item popularity", "repeat", "item age",
    ]  # fmt: skip
    assert found[0].names[found[0].codes[0]] == length


def test_events_of_a_split_that_names_them_otherwise() -> None:
    cut, catalog, _ = shop()
    ways = slicings(cut.past, catalog, cut.histories, cut.chosen, events=("look", "buy"))
    assert ways[-1].names == ("look", "buy")


def test_the_most_chosen_categories_are_slices_and_the_others_one() -> None:
    names = [chr(ord("a") + n) for n in range(12)]
    items = pl.DataFrame({"item_id": names, "kind": names})
    catalog = read_catalog(items, CatalogColumns.parse({"category": "kind"}))[0]
    past = log_of([("ann", name, 0, "view") for name in names])
    chosen = one_each(np.array([11, 11, 11, 0, 0, *range(1, 11)], np.int32))
    histories = Histories.of(past, np.zeros(15, np.int32))
    assert most_chosen(catalog, chosen.items).tolist() == [11, 0, *range(1, 9)]
    way = slicings(past, catalog, histories, chosen)[-1]
    assert way.names == ("l", "a", *"bcdefghi", "all others", "no category")
    assert np.bincount(way.codes).tolist() == [3, 2, *[1] * 8, 2]
    few = slicings(past, catalog, histories, chosen, categories=np.array([3], np.int32))[-1]
    assert few.names == ("d", "all others", "no category")
    assert np.bincount(few.codes).tolist() == [1, 14]


def one_each(items) -> Chosen:
    """Every user chose one item."""
    n = len(items)
    return Chosen(np.arange(n + 1), items, np.ones(n, np.float32), np.zeros(n, np.uint8))


def chosen_of(*lists: list[int]) -> Chosen:
    flat = np.array([item for items in lists for item in items], np.int32)
    offsets = ragged.offsets_of(np.array([len(items) for items in lists]))
    return Chosen(offsets, flat, np.ones(len(flat), np.float32), np.zeros(len(flat), np.uint8))


def test_a_slice_by_hand() -> None:
    """Of ann's 3 positives two are in slice x, at places 0 and 2 of her list; bob has one in y."""
    chosen = chosen_of([0, 1, 2], [3])
    way = Slicing("letter", ("empty", "x", "y"), np.array([1, PAD, 1, 2]))
    x, y = sliced(way, chosen, {"ours": np.array([0, 1, 2, PAD], np.int32)}, 3)
    assert (x.name, x.positives, len(x.users)) == ("x", 2, 1)
    assert x.recall["ours"].tolist() == [1]
    assert x.ndcg["ours"] == pytest.approx([1.5 / (1 + 1 / math.log2(3))])
    assert (y.name, y.positives, y.ndcg["ours"].tolist()) == ("y", 1, [0])
    cut_at_2 = sliced(way, chosen, {"ours": np.array([0, 1, 2, PAD], np.int32)}, 2)[0]
    assert cut_at_2.recall["ours"].tolist() == [0.5]
    assert cut_at_2.ndcg["ours"] == pytest.approx([1 / (1 + 1 / math.log2(3))])
    first = sliced(way, chosen, {"ours": np.array([0, 1, 2, PAD], np.int32)}, 1)[0]
    assert first.ndcg["ours"].tolist() == [1]
    assert first.recall["ours"].tolist() == [0.5]


def test_nothing_chosen_is_no_slice() -> None:
    nothing = np.zeros(0, np.int64)
    for chosen in (chosen_of(), chosen_of([], [])):
        way = Slicing("letter", ("x",), nothing)
        assert sliced(way, chosen, {"ours": nothing.astype(np.int32)}, 10) == []
    outside = Slicing("letter", ("x",), np.array([PAD]))
    assert sliced(outside, chosen_of([0]), {"ours": np.array([0], np.int32)}, 10) == []


worlds = st.lists(
    st.tuples(st.permutations(range(6)), st.sets(st.integers(0, 5))), min_size=1, max_size=6
)


@given(worlds, st.integers(1, 8), st.integers(0, 2**31))
def test_a_slice_is_scored_as_if_nothing_else_were_chosen(world, k: int, seed: int) -> None:
    """Against `metrics` over lists, in each slice with the positives of the others taken away."""
    lists = np.array([ranking for ranking, _ in world], np.int32)
    chosen = chosen_of(*[sorted(positives) for _, positives in world])
    codes = np.random.default_rng(seed).integers(-1, 2, len(chosen.items))
    ranks = {"ours": chosen.ranks(lists)}
    found = {each.place: each for each in sliced(Slicing("s", ("a", "b"), codes), chosen, ranks, k)}
    owners = ragged.owners(chosen.offsets)
    for place in range(2):
        own = [chosen.items[(owners == u) & (codes == place)].tolist() for u in range(len(world))]
        users = [u for u, items in enumerate(own) if items]
        assert (place in found) == bool(users)
        if not users:
            continue
        alone = chosen_of(*[own[u] for u in users])
        hits, positives = alone.hits(lists[users][:, :k]), np.diff(alone.offsets)
        hits = np.pad(hits, [(0, 0), (0, k - hits.shape[1])])
        assert found[place].positives == positives.sum()
        assert found[place].recall["ours"] == pytest.approx(metrics.recall(hits, positives))
        assert found[place].ndcg["ours"] == pytest.approx(metrics.ndcg(hits, positives))


def a_slice(name: str, users: list[int], values: list[float], place: int = 0, **more) -> Slice:
    scores = {"ours": np.array(values), **more}
    return Slice(
        "letter", name, place, 10, np.array(users, np.int32), len(values), scores, dict(scores)
    )


def test_slices_of_windows_are_pooled_by_name_in_their_order() -> None:
    extra = {"extra": np.zeros(1)}
    windows = [
        [a_slice("a", [0], [1.0], 0, **extra), a_slice("c", [0], [0.5], 2)],
        [a_slice("a", [0], [0.0], 0), a_slice("b", [2], [0.5], 1)],
    ]
    joined = pooled(windows)
    assert [each.name for each in joined] == ["a", "b", "c"]
    assert joined[0].positives == 2
    assert joined[0].users.tolist() == [0, 0]
    assert {name: values.tolist() for name, values in joined[0].ndcg.items()} == {"ours": [1, 0]}
    assert pooled([]) == []


def test_rows_for_json() -> None:
    rng = np.random.default_rng(0)
    many = a_slice("many", list(range(500)), rng.random(500).tolist())
    one = a_slice("one", [3], [0.5])
    first, last = json.loads(json.dumps(table([many, one]), allow_nan=False))
    low, high = first["systems"]["ours"].pop("interval")
    mean = many.ndcg["ours"].mean()
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / 500), rel=0.15)
    assert first == {
        "by": "letter",
        "slice": "many",
        "users": 500,
        "positives": 500,
        "systems": {"ours": {"ndcg@10": pytest.approx(mean), "recall@10": pytest.approx(mean)}},
    }
    assert last["systems"] == {"ours": {"ndcg@10": 0.5, "recall@10": 0.5}}


def test_a_user_of_several_windows_is_one_user() -> None:
    """Four windows of the same people are not four times the evidence."""
    values = np.random.default_rng(0).random(200).tolist()
    once = a_slice("a", list(range(200)), values)
    (again,) = pooled([[once]] * 4)
    strangers = a_slice("a", [PAD] * 800, values * 4)
    width = {}
    for name, each in {"once": once, "again": again, "strangers": strangers}.items():
        low, high = table([each])[0]["systems"]["ours"]["interval"]
        width[name] = high - low
    assert width["again"] == pytest.approx(width["once"])
    assert width["strangers"] == pytest.approx(width["once"] / 2, rel=0.1)


def test_from_a_log_to_rows() -> None:
    """The list of everybody is fresh, then late: ann and bob are given what they bought first."""
    cut, catalog, log = shop()
    lists = np.tile(log.items.rows(["fresh", "late"]), (3, 1))
    ranks = {"same": cut.chosen.ranks(lists)}
    rows = [
        (row["by"], row["slice"], row["users"], row["systems"]["same"]["recall@2"])
        for way in slicings(cut.past, catalog, cut.histories, cut.chosen)
        for row in table(sliced(way, cut.chosen, ranks, 2, cut.histories.users))
    ]
    assert ("history length", "cold: 1-4 events", 1, 0.5) in rows
    assert ("history length", "warm: 5-19 events", 1, 1) in rows
    assert ("category", "no category", 1, 0) in rows
    assert [row for row in rows if row[0] == "event"] == [
        ("event", "view", 3, pytest.approx(2 / 3)),
        ("event", "purchase", 2, 1),
    ]
