"""The promises of the README, one test each."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.artifact import check_folder
from recsys.cli import main
from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate
from recsys.exits import Exit
from recsys.features.arrays import PAD
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.learning import moments_in_time, moments_of_last_items
from recsys.ranking import pair_features as features_module
from recsys.retrieval.candidates import Candidates
from recsys.settings import EngineSettings, EvaluationSettings
from recsys.shop import make_shop
from tests.shops import (
    SOURCES,
    assert_same_lists,
    fitted_engine,
    listed,
    ordered_engine,
    ordered_settings,
    orders,
    quick_settings,
    small_shop,
)

ROOT = Path(__file__).parents[2]


# The examples of the README run as they stand there.


def test_the_first_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a smaller shop than `make_shop()` makes; nothing else is changed."""
    text = (ROOT / "README.md").read_text(encoding="utf8")
    example = text.split("```python\n", 1)[1].split("```", 1)[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recsys.shop.make_shop", partial(make_shop, users=200, items=200, days=60))
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "engine" / "manifest.json").exists()


def test_the_first_settings_file_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf8").split("## On the command line", 1)[1]
    monkeypatch.chdir(tmp_path)
    Path("shop.toml").write_text(text.split("```toml\n", 1)[1].split("```", 1)[0])
    make_shop(users=200, items=200, days=60).write(tmp_path / "shop")
    with pytest.raises(SystemExit) as fitted:
        main(["fit", "shop.toml", "--out", "engine", "--no-run"])
    assert fitted.value.code == Exit.OK
    engine = Engine.load("engine")
    assert engine.settings.evaluation.protocol == "time"
    offering = [member.name for member in engine.learnt.fitted.sources.offering]
    assert offering == ["next", "wide", "als", "content", "tagged", "popular"]
    assert len(engine.recommend(["u00042"], k=10)) == 10


def test_every_settings_file_is_read(tmp_path: Path) -> None:
    blocks = (ROOT / "README.md").read_text(encoding="utf8").split("```toml\n")[1:]
    for block in blocks:
        (tmp_path / "shop.toml").write_text(block.split("```", 1)[0])
        EngineSettings.from_toml(tmp_path / "shop.toml")
    assert len(blocks) > 2


def test_the_example_of_an_explanation_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf8")
    example = text.split("## Why an item is on a list", 1)[1].split("```python\n", 1)[1]
    named = {"engine": fitted_engine()}
    exec(compile(example.split("```", 1)[0], "README.md", "exec"), named)
    found: Any = named["found"]
    lists = fitted_engine().recommend(["u00042"], k=3)
    assert found.items["item_id"].to_list() == listed(lists)["u00042"]
    assert found.items["words"].null_count() == 0


def test_explanations_sum_to_what_they_explain() -> None:
    engine = fitted_engine()
    for user in engine.users[20:30]:
        found = engine.explain(user, k=10)
        features = found.features.group_by("item_id").agg(pl.col("contribution").sum())
        scores = found.items.join(features, on="item_id")
        parts = float(found.baseline or 0) + scores["contribution"]
        np.testing.assert_allclose(parts, scores["score"], atol=1e-4)
        events = found.events.group_by("item_id", "source").agg(pl.col("contribution").sum())
        both = events.join(found.sources, on=["item_id", "source"])
        np.testing.assert_allclose(both["contribution"], both["score"], atol=1e-4)


# The rules of the README hold.


def test_the_example_of_final_rules_does_what_it_says() -> None:
    text, shop = (ROOT / "README.md").read_text(encoding="utf8"), small_shop()
    (example,) = (each for each in text.split("```toml\n") if each.startswith("[[final.rules]]"))
    tables = tomllib.loads(example.split("```", 1)[0])
    engine = Engine(quick_settings(**tables)).fit(shop.events, shop.items)
    lists = engine.recommend([*engine.users, "nobody"], k=10)
    own = lists.join(shop.items, on="item_id", how="left", maintain_order="left")
    assert "ink" not in set(own["category"])
    assert own["price"].max() <= 500  # type: ignore[operator]
    assert own.group_by("user_id", "brand").len()["len"].max() == 2
    pinned = lists.filter(pl.col("rules").list.contains("pin"))
    assert set(pinned.select("item_id", "rank").rows()) == {("sku-00042", 1)}
    assert len(pinned) > 150
    by_lot = lists.filter(pl.col("propensity") < 1)
    assert by_lot["rules"].to_list() == [["explored"]] * len(by_lot)
    assert set(by_lot["rank"]) <= {9, 10}
    named = {name for each in lists["rules"] for name in each}
    assert named == {"house brand", "cap brand", "new", "pin", "diversity", "explored"}


# Nothing looks ahead.


def bytes_learnt(engine: Engine, folder: Path) -> dict[str, str]:
    """The hash of every file of a saved engine: log, catalogue, sources, statistics, ranker."""
    engine.save(folder)
    files: dict[str, str] = check_folder(folder, "engine")["files"]
    return files


def another_future(events: pl.DataFrame, cutoff: Any, seed: int) -> pl.DataFrame:
    """The same log, but after the cutoff all items are dealt anew and 500 events are added."""
    rng = np.random.default_rng(seed)
    past, future = events.filter(pl.col("time") < cutoff), events.filter(pl.col("time") >= cutoff)
    dealt = future.with_columns(item_id=future["item_id"].shuffle(seed=seed))
    added = events[rng.integers(0, len(events), 500)].with_columns(
        time=cutoff + pl.duration(seconds=pl.Series(rng.integers(0, 10**6, 500)))
    )
    return pl.concat([past, dealt, added]).sort("time", maintain_order=True)


def test_events_after_the_cutoff_change_nothing(tmp_path: Path) -> None:
    shop = small_shop()
    cutoff = shop.events["time"].max() - timedelta(days=12)  # type: ignore[operator]
    protocol = EvaluationSettings(protocol="time", date=cutoff.isoformat())
    settings = quick_settings(training={"holdout": "time", "least_positives": 10})
    engines, scored = [], []
    for events in (shop.events, another_future(shop.events, cutoff, 0)):
        engine = Engine(settings)
        log, catalog = engine.read(events, shop.items)
        engine.notes = []  # they count the rows of the whole log
        scored.append(evaluate(engine, log, catalog, protocol))
        engines.append(engine)
    assert scored[0].systems["fused"]["ndcg@10"] != scored[1].systems["fused"]["ndcg@10"]
    assert_equally_learnt(engines[0], engines[1], tmp_path)


def test_the_last_items_change_nothing(tmp_path: Path) -> None:
    settings = quick_settings(training={"holdout": "last", "least_positives": 10})
    log, catalog = Engine(settings).read(small_shop().events, small_shop().items)
    engines, scored = [], []
    for each in (log, with_other_last_items(log)):
        engine = Engine(settings)
        scored.append(evaluate(engine, each, catalog, EvaluationSettings(protocol="last-item")))
        engines.append(engine)
    assert scored[0].systems["fused"]["ndcg@10"] != scored[1].systems["fused"]["ndcg@10"]
    assert_equally_learnt(engines[0], engines[1], tmp_path)


def with_other_last_items(log: Interactions) -> Interactions:
    last = np.append(log.user_rows[1:] != log.user_rows[:-1], True) & (
        log.counts[log.user_rows] > 1
    )
    # Of events at one time the last is drawn: only those that nothing ties with are known before.
    last[1:] &= (log.times[1:] != log.times[:-1]) | (log.user_rows[1:] != log.user_rows[:-1])
    items = log.item_rows.copy()
    items[last] = np.random.default_rng(0).integers(0, len(log.items), last.sum())
    return replace(log, item_rows=items)


def assert_equally_learnt(one: Engine, other: Engine, folder: Path) -> None:
    assert one.learnt.fitted.ranker is not None
    assert bytes_learnt(one, folder / "one") == bytes_learnt(other, folder / "other")
    users = one.users
    assert_frame_equal(one.recommend(users), other.recommend(users))
    histories = Histories.of(one.learnt.log, np.arange(len(users), dtype=np.int32))
    features = []
    for engine in (one, other):
        candidates, _ = engine.learnt.fitted.candidates(
            histories, engine.learnt.policy.allowed(histories), 10
        )
        features.append(engine.learnt.fitted.features(histories, candidates)[0])
    np.testing.assert_array_equal(*features)


def test_what_changes_before_the_cutoff_is_noticed(tmp_path: Path) -> None:
    """The two tests above can fail: the same change to the past is seen in every stage."""
    shop = small_shop()
    start = shop.events["time"].min()
    engines = [fitted_engine()]
    engines.append(Engine(quick_settings()).fit(another_future(shop.events, start, 0), shop.items))
    first, second = (bytes_learnt(engine, tmp_path / str(n)) for n, engine in enumerate(engines))
    changed = {name for name in first if first[name] != second.get(name)}
    assert {
        "sources/als/als.npz",
        "sources/next/links.npz",
        "sources/popular/popular.npz",
        "ranker/network.safetensors",
    } <= changed


# Training and serving compute equal features.

Recorded = dict[tuple[int, int], np.ndarray]
"""The features of each (user row, item row)."""


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Recorded]:
    """Hands over all features that were computed since it was last called."""
    seen: Recorded = {}
    real = features_module.pair_features

    def watching(histories: Histories, candidates: Candidates, knowledge: Any) -> Any:
        features, names = real(histories, candidates, knowledge)
        for user, items, rows in zip(histories.users, candidates.items, features, strict=True):
            seen.update({(int(user), int(i)): row for i, row in zip(items, rows, strict=True)})
        return features, names

    def taken() -> Recorded:
        own = {pair: row for pair, row in seen.items() if pair[1] != PAD}
        seen.clear()
        return own

    monkeypatch.setattr("recsys.fitted.pair_features", watching)
    return taken


def test_training_and_serving_read_equal_features(recorded: Callable[[], Recorded]) -> None:
    events = small_shop().events.with_row_index("position").drop("time")
    settings = quick_settings(
        interactions={"order": "position", "event": "event", "quantity": "quantity"},
        training={"moments": 1, "least_positives": 20},
    )
    engine = Engine(settings)
    log, catalog = engine.read(events, small_shop().items)
    engine.fit(log, catalog)
    trained = recorded()
    (moment,) = moments_of_last_items(log, 1, engine.learnt.policy.hides)
    served = Engine(settings).fit(moment.past, catalog)
    recorded()
    served.learnt.fitted.rank(moment.histories, served.learnt.policy.allowed(moment.histories), 10)
    assert_equal_where_shared(trained, recorded())


def test_training_and_serving_read_equal_features_in_time(
    recorded: Callable[[], Recorded],
) -> None:
    settings = quick_settings(training={"moments": 1, "least_positives": 20, "holdout": "time"})
    engine = Engine(settings)
    log, catalog = engine.read(small_shop().events, small_shop().items)
    engine.fit(log, catalog)
    trained = recorded()
    (moment,) = moments_in_time(log, 1, settings.training.stretch)
    served = Engine(settings).fit(moment.past, catalog)
    recorded()
    served.learnt.fitted.rank(moment.histories, served.learnt.policy.allowed(moment.histories), 10)
    assert_equal_where_shared(trained, recorded())


def assert_equal_where_shared(trained: Recorded, served: Recorded) -> None:
    assert len(trained) > 1000
    assert trained.keys() <= served.keys()
    for pair, features in trained.items():
        np.testing.assert_allclose(features, served[pair], rtol=1e-4, atol=1e-5)


# An engine that was saved answers as it did.


def test_a_new_process_says_the_same(tmp_path: Path) -> None:
    engine = fitted_engine()
    engine.save(tmp_path / "engine")
    code = (
        "import sys; from recsys.engine import Engine; engine = Engine.load(sys.argv[1]); "
        "engine.recommend([*engine.users, 'nobody']).write_parquet(sys.argv[2])"
    )
    target = tmp_path / "lists.parquet"
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "engine"), str(target)]
    subprocess.run(command, cwd=ROOT, check=True)
    lists = engine.recommend([*engine.users, "nobody"])
    assert_same_lists(pl.read_parquet(target), lists)


# What is offered, and what is said of it.

GOODS = {
    "tent": "two person tent for camping",
    "big tent": "family tent for camping, waterproof",
    "tarp": "camping tarp and tent footprint",
    "beans": "espresso coffee beans, dark roast",
    "filter": "paper filters for filter coffee",
    "grinder": "burr coffee grinder for beans",
    "new tent": "ultralight tent for camping and trekking",
    "new beans": "coffee beans, light roast, for filter coffee",
}
CAMPERS = {f"camper {n}": ("tent", "big tent", "tarp")[:: 1 if n % 2 else -1] for n in range(6)}
DRINKERS = {f"drinker {n}": ("beans", "filter", "grinder")[:: 1 if n % 2 else -1] for n in range(6)}


def test_an_item_known_only_by_its_text_reaches_those_who_buy_its_like(tmp_path: Path) -> None:
    choices = {**CAMPERS, **DRINKERS, "camp": ["tent"], "drink": ["beans"]}
    goods = pl.DataFrame({"item_id": list(GOODS), "about": list(GOODS.values())})
    # Among eight goods every list of ALS and of popular items would hold all of them.
    sources = {"als": {"use": False}, "popular": {"use": False}}
    settings = ordered_settings(
        catalog={"text": "about"}, text={"cache": tmp_path}, sources=sources
    )
    engine = Engine(settings).fit(orders(choices), goods)
    assert "2 items of the catalogue are not in the log" in engine.notes
    lists = engine.recommend(["camp", "drink"], k=3)
    assert set(listed(lists)["camp"]) == {"big tent", "tarp", "new tent"}
    assert set(listed(lists)["drink"]) == {"filter", "grinder", "new beans"}
    new = lists.filter(pl.col("item_id") == "new tent")
    assert new["sources"].to_list() == [["content"]]
    assert new["reason"].to_list() == ["similar to two person tent for camping"]
    click = engine.recommend(sessions={"one click": ["new tent"]}, k=2)
    assert set(click["item_id"]) <= {"tent", "big tent", "tarp"}


def test_an_item_without_events_is_found_by_a_trained_engine() -> None:
    shop = small_shop()
    titles = shop.items.filter(pl.col("available")).select("item_id", "category")
    sold = shop.events.join(titles, on="item_id").group_by("item_id", "category").len()
    item, category, _ = sold.sort("len", "item_id").row(-1)
    events = shop.events.filter(pl.col("item_id") != item)
    # Of a model a list shows the variant that ranks best; here all, as another may rank before it.
    engine = Engine(quick_settings(fusion={"variants": "all"})).fit(events, shop.items)
    assert engine.learnt.fitted.ranker is not None
    like = shop.items.filter((pl.col("category") == category) & (pl.col("item_id") != item))
    similar = engine.similar_items(like["item_id"], k=20, source="content")
    assert similar.filter(similar_id=item)["item_id"].to_list() == like["item_id"].to_list()
    clicks = {other: [other] for other in like["item_id"]}
    found = engine.recommend(sessions=clicks, k=30).filter(item_id=item)
    assert len(found)
    assert set(found["sources"].explode()) == {"content", "tagged"}


def test_one_click_is_enough_for_a_personal_list() -> None:
    engine, shop = fitted_engine(), small_shop()
    clicks = shop.events["item_id"].unique(maintain_order=True)[:40]
    lists = engine.recommend(sessions={item: [item] for item in clicks}, k=10)
    assert lists["note"].null_count() == len(lists)
    assert len({tuple(own) for own in listed(lists).values()}) > 30
    nobody = set(listed(engine.recommend(["nobody"], k=10))["nobody"])
    category = dict(shop.items.select("item_id", "category").iter_rows())
    personal, popular = [], []
    for click, own in listed(lists).items():
        assert any(
            set(engine.similar_items([click], k=10, source=source)["similar_id"]) & set(own)
            for source in ("next", "wide", "content", "tagged")
        )
        personal.append(sum(category[item] == category[click] for item in own))
        popular.append(sum(category[item] == category[click] for item in nobody))
    assert np.mean(personal) > 2 * np.mean(popular)


def test_an_unknown_user_gets_popular_items_and_is_told_so() -> None:
    engine, shop = fitted_engine(), small_shop()
    known = engine.users[:2]
    table = engine.recommend([known[0], "nobody", known[1], "no one"], k=5)
    unknown = table.filter(pl.col("user_id").is_in(["nobody", "no one"]))
    assert unknown["note"].to_list() == ["unknown user: popular items"] * 10
    assert unknown["reason"].unique().to_list() == ["popular now"]
    assert unknown["sources"].to_list() == [["popular"]] * 10
    assert listed(unknown)["nobody"] == listed(unknown)["no one"]
    assert table.filter(pl.col("user_id").is_in(known.implode()))["note"].null_count() == 10
    counts = shop.events["item_id"].value_counts(sort=True)["item_id"]
    assert set(listed(unknown)["nobody"]) <= set(counts[:30])


def test_an_item_out_of_stock_never_appears() -> None:
    engine, shop = fitted_engine(), small_shop()
    gone = set(shop.items.filter(~pl.col("available"))["item_id"])
    assert gone & set(shop.events["item_id"])  # people would want them
    k = len(shop.items)
    for table in (
        engine.recommend([*engine.users, "nobody"], k=k),
        engine.recommend(sessions={item: [item] for item in gone}, k=k),
        engine.similar_items(engine.items, k=k).rename({"item_id": "of", "similar_id": "item_id"}),
        engine.similar_items(engine.items, k=k, source="content")
        .rename({"item_id": "of", "similar_id": "item_id"}),
    ):  # fmt: skip
        assert not gone & set(table["item_id"])


def test_a_list_shorter_than_k_says_why() -> None:
    engine = ordered_engine({"ann": "abc", "bob": "bcd", "cat": "ab"})
    table = engine.recommend(["ann", "cat", "nobody"], k=3)
    notes = dict(table.select("user_id", "note").iter_rows())
    assert notes["ann"] == "1 of 3 items: stock, policy and conditions leave 1 to offer"
    assert notes["cat"] == "2 of 3 items: stock, policy and conditions leave 2 to offer"
    assert notes["nobody"] == "unknown user: popular items"
    fewer = engine.recommend(["nobody"], k=9)
    assert fewer["note"].unique().to_list() == [
        "unknown user: popular items; 4 of 9 items: stock, policy and conditions leave 4 to offer"
    ]


def test_who_is_offered_nothing_has_one_row_without_an_item() -> None:
    engine = ordered_engine({"ann": "abcd", "bob": "bcd"})
    table = engine.recommend(["bob", "ann", "bob"], k=2)
    assert table["user_id"].to_list() == ["bob", "ann", "bob"]
    row = table.row(1, named=True)
    assert row == {
        "user_id": "ann",
        "item_id": None,
        "rank": None,
        "score": None,
        "sources": [],
        "reason": None,
        "note": "0 of 2 items: stock, policy and conditions leave 0 to offer",
    }
    all_barred = engine.recommend(["bob", "nobody"], exclude=list("abcd"))
    assert all_barred["item_id"].to_list() == [None, None]


@pytest.mark.parametrize("k", [1, 119, 120, 121, 1000])
def test_padding_of_the_libraries_never_leaks_as_item_0(k: int) -> None:
    """implicit pads with item 0, faiss with -1: neither may stand on a list twice or at all."""
    engine = padded_engine()
    first = engine.items[0]
    table = engine.recommend([*engine.users[:20], "nobody"], k=k)
    assert first not in set(table["item_id"])
    assert table.select(pl.struct("user_id", "item_id").is_duplicated().any()).item() is False
    items = engine.items[:10]
    for source in ("next", "content"):
        similar = engine.similar_items(items, k=k, source=source)
        assert first not in set(similar["similar_id"])
        assert not similar.select(pl.struct("item_id", "similar_id").is_duplicated().any()).item()


@cache
def padded_engine() -> Engine:
    """Item 0 of its vocabulary is in the catalogue, out of stock and without events."""
    shop, first = small_shop(), fitted_engine().items[0]
    stock = shop.items.with_columns(available=pl.col("item_id") != first)
    deep = {name: {**table, "depth": 500} for name, table in SOURCES.items()}
    settings = quick_settings(sources=deep)
    return Engine(settings).fit(shop.events.filter(pl.col("item_id") != first), stock)


def test_item_0_is_offered_where_it_belongs() -> None:
    """The other half: the guard against padding does not lose the first item itself."""
    engine = ordered_engine({"ann": "abc", "bob": "bca", "cat": "bc", "dan": "cb"})
    assert engine.items[0] == "a"
    assert listed(engine.recommend(["cat", "dan"])) == {"cat": ["a"], "dan": ["a"]}


def test_settings_survive_the_artifact(tmp_path: Path) -> None:
    settings = quick_settings(seed=3, name="corner shop", events={"view": {"offer_again": True}})
    events = small_shop().events.filter(pl.col("event") == "view")
    Engine(settings).fit(events, small_shop().items).save(tmp_path / "engine")
    loaded = Engine.load(tmp_path / "engine").settings
    assert loaded.model_dump(mode="json") == settings.model_dump(mode="json")
    assert isinstance(loaded, EngineSettings)
