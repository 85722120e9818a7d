"""What an engine answers: the table, its order, and that it does not hang on how one asks."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.catalog import read_catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.reading import read_interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.popular import Popular
from recsys.retrieval.sources import Source, Sources
from tests.shops import (
    assert_same_lists,
    fitted_engine,
    listed,
    ordered_engine,
    ordered_settings,
    orders,
    quick_settings,
    small_shop,
)


@pytest.fixture
def shop_engine() -> Engine:
    return fitted_engine()


def test_lists_are_a_plain_table(shop_engine: Engine) -> None:
    users = shop_engine.users[:30].reverse()
    table = shop_engine.recommend(users, k=7)
    assert table.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "rank": pl.Int32,
        "score": pl.Float32,
        "sources": pl.List(pl.String),
        "reason": pl.String,
        "note": pl.String,
    }
    assert table["user_id"].to_list() == [user for user in users for _ in range(7)]
    assert table["rank"].to_list() == list(range(1, 8)) * 30
    assert table["item_id"].is_in(shop_engine.items.implode()).all()
    assert table["note"].null_count() == len(table)
    for _, own in table.group_by("user_id"):
        assert own["item_id"].n_unique() == 7
        assert own["score"].is_sorted(descending=True)


def test_each_item_names_its_sources_and_a_reason(shop_engine: Engine) -> None:
    table = shop_engine.recommend(shop_engine.users)
    offering = {member.name for member in shop_engine.learnt.fitted.sources.offering}
    assert set(table["sources"].explode()) <= offering
    assert table["sources"].list.len().min() >= 1  # type: ignore[operator]
    assert table["reason"].null_count() == 0
    assert not table["reason"].str.contains("{", literal=True).any()


def test_a_reason_names_only_what_the_user_has_had(shop_engine: Engine) -> None:
    titles = dict(zip(shop_engine.titles(shop_engine.items), shop_engine.items, strict=True))
    had = small_shop().events.group_by("user_id").agg("item_id")
    had_by = dict(had.iter_rows())
    table = shop_engine.recommend(shop_engine.users[:100])
    named = 0
    for user, reason in table.select("user_id", "reason").iter_rows():
        for start in ("often chosen with ", "similar to "):
            title = reason.removeprefix(start)
            if title != reason and title in titles:
                named += 1
                same_title = [i for t, i in titles.items() if t == title]
                assert set(same_title) & set(had_by[user])
    assert named > 100


def test_asked_one_by_one_or_together_lists_are_equal(shop_engine: Engine) -> None:
    users = shop_engine.users[:40]
    alone = pl.concat(shop_engine.recommend([user]) for user in users)
    assert_same_lists(alone, shop_engine.recommend(users))


def test_who_is_asked_for_twice_is_answered_twice(shop_engine: Engine) -> None:
    one, other = shop_engine.users[:2]
    table = shop_engine.recommend([one, other, one], k=3)
    assert table["user_id"].to_list() == [one] * 3 + [other] * 3 + [one] * 3
    assert table["item_id"][:3].equals(table["item_id"][6:])
    assert table["note"].null_count() == 9


def test_nobody_asked_nobody_answered(shop_engine: Engine) -> None:
    assert len(shop_engine.recommend([])) == 0
    assert shop_engine.recommend(pl.Series([], dtype=pl.String)).schema["user_id"] == pl.String


@pytest.mark.parametrize("users", ["u001", b"u001"])
def test_one_id_is_no_list_of_ids(shop_engine: Engine, users: str) -> None:
    with pytest.raises(DataError, match=r"user ids must be a list of ids; got the one id .*u001"):
        shop_engine.recommend(users)


def test_all_in_blocks_is_all_at_once(shop_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.engine._USERS_AT_ONCE", 64)
    blocks = list(shop_engine.recommend_all(k=5))
    assert [block["user_id"].n_unique() for block in blocks] == [64, 64, 64, 8]
    together = shop_engine.recommend(shop_engine.users, k=5)
    assert_same_lists(pl.concat(blocks), together)
    some = pl.concat(shop_engine.recommend_all(k=5, users=shop_engine.users[10:90]))
    assert_same_lists(some, together[50:450])


def test_two_threads_at_once_get_the_lists_of_one(shop_engine: Engine) -> None:
    users = shop_engine.users
    halves = [users[:100], users[100:]] * 4
    expected = [shop_engine.recommend(half) for half in halves[:2]] * 4
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(shop_engine.recommend, halves))
    for answer, wanted in zip(answers, expected, strict=True):
        assert_same_lists(answer, wanted)


def test_one_seed_gives_one_engine_and_another_seed_another() -> None:
    shop = small_shop()
    again = Engine(quick_settings()).fit(shop.events, shop.items)
    users = again.users
    lists = fitted_engine().recommend(users)
    assert_same_lists(again.recommend(users), lists)
    assert listed(fitted_engine(seed=1).recommend(users)) != listed(lists)


def test_the_callers_tables_are_left_as_they_were() -> None:
    log = orders({"ann": "abc", "bob": "bcd"}).to_pandas()
    copy = log.copy()
    Engine(ordered_settings()).fit(log)
    assert log.equals(copy)


def test_fitted_from_files_as_from_tables(tmp_path: Path) -> None:
    shop = small_shop()
    shop.write(tmp_path)
    plain = quick_settings()
    settings = quick_settings(
        interactions={
            **plain.interactions.model_dump(exclude_unset=True),
            "path": "events.parquet",
        },
        catalog={**plain.catalog.model_dump(exclude_unset=True), "path": "items.parquet"},  # type: ignore[union-attr]
    )
    engine = Engine(settings).fit(data_dir=tmp_path)
    lists = fitted_engine().recommend(engine.users)
    assert_same_lists(engine.recommend(engine.users), lists)
    assert engine.notes == fitted_engine().notes


def test_progress_is_told_each_step(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    shop = small_shop()
    Engine(quick_settings()).fit(
        shop.events, shop.items, progress=lambda step, share: told.append((step, share))
    )
    steps = list(dict.fromkeys(step for step, _ in told))
    assert "training the ranker" in steps
    assert steps[-1] == "fitting sources on everything"
    assert all(0 <= share <= 1 for _, share in told)


def test_notes_account_for_the_data_and_the_fit(shop_engine: Engine) -> None:
    said = "\n".join(shop_engine.notes)
    events = len(small_shop().events)
    assert f"log: {events:,} rows read, {events:,} kept, 0 rejected" in said
    assert "catalogue: 120 rows read, 120 kept, 0 rejected" in said
    assert "items of the catalogue are not in the log" in said
    assert "the ranker learns from the newest 2 stretches of time" in said
    assert "of which no source had found" in said


def test_a_condition_holds_of_all_that_is_offered(shop_engine: Engine) -> None:
    catalog, users = shop_engine.learnt.catalog, shop_engine.users[:20]
    prices = dict(zip(catalog.items.ids, catalog.price(), strict=True))  # type: ignore[arg-type]
    middle = float(np.nanmedian(list(prices.values())))
    cheap = shop_engine.recommend(users, k=5, where=f"price < {middle}")["item_id"]
    assert len(cheap) == 100
    assert cheap.null_count() == 0
    assert all(prices[item] < middle for item in cheap)
    again = shop_engine.recommend(users, k=5, where=pl.col("price") < middle)["item_id"]
    assert again.to_list() == cheap.to_list()
    one = catalog.items.ids[int(np.flatnonzero(catalog.available())[0])]
    rows = shop_engine.recommend(sessions={"visit": []}, k=3, where=f"item_id = '{one}'")
    assert rows["item_id"].to_list() == [one]
    assert "to offer" in rows["note"][0]
    with pytest.raises(DataError, match=r"names the column 'prise'.* it can read: .*price"):
        shop_engine.recommend(users, where="prise < 3")


def test_what_is_excluded_is_offered_to_nobody(shop_engine: Engine) -> None:
    users = shop_engine.users[:50]
    before = shop_engine.recommend(users, k=5)
    barred = before["item_id"].unique()[:10]
    after = shop_engine.recommend(users, k=5, exclude=[*barred, "no such item"])
    assert not after["item_id"].is_in(barred.implode()).any()
    assert after.group_by("user_id").len()["len"].unique().to_list() == [5]


def test_titles_of_items(shop_engine: Engine) -> None:
    item, title = small_shop().items.row(5)[:2]
    assert shop_engine.titles([item, "no such item"]).to_list() == [title, None]


def test_similar_items_are_linked_and_in_stock(shop_engine: Engine) -> None:
    shop = small_shop()
    asked = shop.items["item_id"][:20]
    table = shop_engine.similar_items(asked, k=5, source="content")
    assert table.columns == ["item_id", "similar_id", "rank", "score"]
    assert (table["item_id"] != table["similar_id"]).all()
    assert table["item_id"].to_list() == [item for item in asked for _ in range(5)]
    category = dict(shop.items.select("item_id", "category").iter_rows())
    nearest = table.filter(rank=1).select("item_id", "similar_id").iter_rows()
    assert np.mean([category[item] == category[near] for item, near in nearest]) > 0.6
    stock = dict(shop.items.select("item_id", "available").iter_rows())
    assert all(stock[item] for item in table["similar_id"])


def test_similar_items_say_what_is_wrong(shop_engine: Engine) -> None:
    with pytest.raises(DataError, match="unknown item 'sku-x'"):
        shop_engine.similar_items(["sku-00001", "sku-x"])
    with pytest.raises(DataError, match="there is no source 'als'"):
        shop_engine.similar_items(["sku-00001"], source="als")
    with pytest.raises(DataError, match="k must be at least 1; got 0"):
        shop_engine.similar_items(["sku-00001"], k=0)
    only = ordered_engine(
        {"ann": "ab", "bob": "bc"},
        sources={name: {"use": False} for name in ("next", "wide", "follow", "before", "content")},
    )
    with pytest.raises(DataError, match="no source that links items"):
        only.similar_items(["a"])


def test_similar_items_above_the_catalogue_give_what_there_is() -> None:
    engine = ordered_engine({"ann": "abc", "bob": "abc", "cat": "abc"})
    table = engine.similar_items(["a"], k=50)
    assert set(table["similar_id"]) == {"b", "c"}


CHOICES = {0: (0, 1, 2), 1: (1, 2, 3), 2: (0, 2, 3), 3: (3, 0)}


@pytest.mark.parametrize(
    "kind",
    [
        pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
    ],
)  # fmt: skip
def test_integer_ids_of_any_width_come_back_in_64_bits(kind: type[pl.DataType]) -> None:
    log = orders(CHOICES).with_columns(
        (pl.col("user_id") + 100).cast(kind), (pl.col("item_id") + 120).cast(kind)
    )
    engine = Engine(ordered_settings()).fit(log)
    table = engine.recommend(engine.users, k=2)
    assert table.schema["user_id"] == table.schema["item_id"] == pl.Int64
    assert set(table["user_id"]) == {100, 101, 102, 103}
    assert set(table["item_id"].drop_nulls()) <= {120, 121, 122, 123}
    as_python = engine.recommend([100, 101, 102, 103], k=2)
    assert listed(as_python) == listed(table)


@pytest.mark.parametrize("first", [-(2**63), 2**63, 2**64 - 4])
def test_the_widest_ids_come_back_to_the_last_digit(first: int) -> None:
    kind = pl.Int64 if first < 0 else pl.UInt64
    items = pl.Series([first + place for place in range(4)], dtype=kind)
    log = orders(CHOICES)
    log = log.with_columns(item_id=items.gather(log["item_id"]))
    engine = Engine(ordered_settings()).fit(log)
    offered = engine.recommend([0, 3], k=4)["item_id"]
    assert offered.dtype == kind
    assert set(offered) == {first + 3, first + 1, first + 2}
    left = engine.recommend([0, 3], k=4, exclude=[first + 3])["item_id"].drop_nulls()
    assert set(left) == {first + 1, first + 2}


def test_text_ids_keep_their_leading_zeros(tmp_path: Path) -> None:
    names = {0: "007", 1: "07", 2: "7", 3: "0070"}
    log = orders(CHOICES).with_columns(
        pl.col("user_id", "item_id").replace_strict(names, return_dtype=pl.String)
    )
    log.write_csv(tmp_path / "log.csv")
    engine = Engine(ordered_settings()).fit(tmp_path / "log.csv")
    assert set(engine.users) == set(engine.items) == set(names.values())
    lists = listed(engine.recommend(["007", "0070"], k=4))
    assert lists["007"] == ["0070"]
    assert set(lists["0070"]) == {"07", "7"}


def test_purchased_is_hidden_and_viewed_is_not() -> None:
    log = orders({"ann": "ab", "bob": "abc", "cat": "bca"}).with_columns(
        event=pl.when((pl.col("user_id") == "ann") & (pl.col("item_id") == "b"))
        .then(pl.lit("purchase"))
        .otherwise(pl.lit("view"))
    )
    columns = {"order": "position", "event": "event"}
    engine = Engine(ordered_settings(interactions=columns)).fit(log)
    lists = listed(engine.recommend(["ann", "bob"]))
    assert set(lists["ann"]) == {"a", "c"}
    assert set(lists["bob"]) == {"a", "b", "c"}
    other = {"view": {"offer_again": False}, "purchase": {"offer_again": True}}
    strict = Engine(ordered_settings(interactions=columns, events=other)).fit(log)
    lists = listed(strict.recommend(["ann", "bob"]))
    assert set(lists["ann"]) == {"b", "c"}
    assert lists["bob"] == []


def test_too_few_to_learn_from_is_said_and_fused_order_served() -> None:
    engine = ordered_engine({"ann": "abcd", "bob": "bcda", "cat": "cdae", "dan": "ef"})
    assert any(
        note.startswith("no ranker: ") and note.endswith("lists are fused by rank")
        for note in engine.notes
    )
    assert engine.learnt.fitted.ranker is None
    users = engine.users
    log_rows = np.arange(len(users), dtype=np.int32)
    histories = Histories.of(engine.learnt.log, log_rows)
    allowed = engine.learnt.policy.allowed(histories)
    fused, _ = engine.learnt.fitted.candidates(histories, allowed, 3)
    expected = [[engine.items[int(row)] for row in rows[:3] if row != PAD] for rows in fused.items]
    table = engine.recommend(users, k=3)
    assert list(listed(table).values()) == expected
    assert table["score"][0] == 1


class Broken(Popular):
    """A source whose memory gives out when it is asked."""

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        raise MemoryError("no room")


def with_broken(engine: Engine, name: str) -> Engine:
    """The same engine with the source `name` broken."""
    members = tuple(
        Source(Broken(name), member.depth) if member.name == name else member
        for member in engine.learnt.fitted.sources.members
    )
    broken = Engine(engine.settings)
    fitted = replace(engine.learnt.fitted, sources=Sources(members))
    broken._learnt = replace(engine.learnt, fitted=fitted)
    return broken


@pytest.mark.parametrize("name", ["als", "popular", "next"])
def test_a_failing_source_is_named_and_lists_still_come(
    shop_engine: Engine, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    users = [*shop_engine.users[:5], "nobody"]
    with caplog.at_level(logging.ERROR):
        table = with_broken(shop_engine, name).recommend(users, k=5)
    assert f"source {name!r} failed and is passed over: no room" in caplog.text
    assert table["note"].str.contains(f"failed sources: {name}").all()
    assert table.filter(pl.col("user_id") != "nobody").drop_nulls("item_id").height == 25
    assert not table["sources"].list.contains(name).any()


def test_a_source_that_fails_while_scoring_leaves_the_fused_order(
    shop_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = shop_engine.users[:4]

    def fail(self: Popular, histories: Histories, items: Rows) -> Floats:
        raise RuntimeError("no scores")

    monkeypatch.setattr(Popular, "score", fail)
    table = shop_engine.recommend(users, k=5)
    assert table["note"].str.contains("failed sources: one, while it gave scores").all()
    assert table.drop_nulls("item_id").height == 20


def test_when_every_source_fails_there_is_a_row_that_says_so(shop_engine: Engine) -> None:
    engine = shop_engine
    for member in shop_engine.learnt.fitted.sources.offering:
        engine = with_broken(engine, member.name)
    table = engine.recommend(engine.users[:1], k=5)
    assert table["item_id"].to_list() == [None]
    assert "failed sources: next, wide, als, content, tagged, popular" in table["note"][0]


def test_a_saved_engine_says_the_same(shop_engine: Engine, tmp_path: Path) -> None:
    shop_engine.save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine")
    users = [*shop_engine.users, "nobody"]
    assert_same_lists(loaded.recommend(users), shop_engine.recommend(users))
    items = shop_engine.items[:10]
    for source in ("next", "content"):
        assert_same_lists(
            loaded.similar_items(items, source=source),
            shop_engine.similar_items(items, source=source),
        )
    assert loaded.notes == shop_engine.notes
    assert loaded.settings.model_dump(mode="json") == shop_engine.settings.model_dump(mode="json")


def test_a_loaded_engine_saves_the_same_bytes(shop_engine: Engine, tmp_path: Path) -> None:
    shop_engine.save(tmp_path / "one")
    Engine.load(tmp_path / "one").save(tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.*"):
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert twin.read_bytes() == path.read_bytes(), path.name


def test_fitting_anew_forgets_the_old_shop() -> None:
    engine = Engine(ordered_settings())
    engine.fit(orders({"ann": "abc", "bob": "bcd"}))
    before = list(engine.notes)
    engine.fit(orders({"eve": "xyz", "joe": "yzw"}))
    assert set(engine.items) == set("wxyz")
    assert len(engine.notes) == len(before)


def test_a_catalogue_in_another_order_is_brought_to_that_of_the_log() -> None:
    """Rows of log and catalogue must mean the same items, however the two were made."""
    log, _ = read_interactions(pl.DataFrame({"user_id": ["x", "y"], "item_id": ["b", "a"]}))
    table = pl.DataFrame({"item_id": ["b"], "title": ["the second"]})
    catalog, _ = read_catalog(table, CatalogColumns(title="title"))
    log, catalog = Engine().read(log, catalog)
    assert catalog.titles().to_list() == ["a", "the second"]
