"""Bad input: each is a clear error that names the thing, the rule and the value, or is reported."""

import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.evaluation.evaluate import evaluate
from recsys.features.errors import (
    ArtifactError,
    DataError,
    MissingDependency,
    RecsysError,
    SettingsError,
    TrainingError,
)
from recsys.settings import EngineSettings, EvaluationSettings, TrainingSettings
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

ROOT = Path(__file__).parents[2]
CHOICES = {"ann": "abc", "bob": "bcd", "cat": "cda"}


def fit(log: Any, items: Any = None, **changes: Any) -> Engine:
    return Engine(ordered_settings(**changes)).fit(log, items)


def test_every_error_is_one_of_ours_and_a_usual_one() -> None:
    usual = {
        DataError: ValueError,
        SettingsError: ValueError,
        TrainingError: RuntimeError,
        ArtifactError: RuntimeError,
        MissingDependency: ImportError,
    }
    for ours, theirs in usual.items():
        assert issubclass(ours, RecsysError)
        assert issubclass(ours, theirs)


def test_an_empty_log() -> None:
    with pytest.raises(DataError, match="no row of the log is left: 0 read, rejected: none"):
        fit(orders({}).cast({"position": pl.Int64}))


def test_a_log_that_conditions_leave_empty() -> None:
    columns = {"order": "position", "where": "position > 99"}
    with pytest.raises(DataError, match="no row of the log is left: 9 read, rejected: 9 left out"):
        fit(orders(CHOICES), interactions=columns)


def test_no_log_at_all() -> None:
    with pytest.raises(DataError, match="the log needs a table or a path; got none"):
        Engine().fit()


def test_one_user() -> None:
    engine = fit(orders({"ann": "abca"}))
    assert any(note.startswith("no ranker: ") for note in engine.notes)
    (note,) = engine.recommend(["ann"])["note"]
    assert note == "0 of 10 items: stock, policy and conditions leave 0 to offer"
    assert set(listed(engine.recommend(["nobody"]))["nobody"]) == {"a", "b", "c"}


def test_one_item() -> None:
    engine = fit(orders({"ann": "a", "bob": "a", "cat": "aa"}))
    assert listed(engine.recommend(["ann", "nobody"])) == {"ann": [], "nobody": ["a"]}
    assert len(engine.similar_items(["a"])) == 0


def test_one_event() -> None:
    engine = fit(orders({"ann": "a"}))
    assert listed(engine.recommend(["ann", "nobody"])) == {"ann": [], "nobody": ["a"]}


def test_one_event_with_a_clock() -> None:
    log = pl.DataFrame({"user_id": [1], "item_id": [2], "at": [datetime(2025, 1, 1)]})
    engine = Engine(EngineSettings.parse({"interactions": {"time": "at"}})).fit(log)
    assert listed(engine.recommend([1, 7])) == {1: [], 7: [2]}


@pytest.mark.parametrize("column", ["user_id", "item_id", "position"])
def test_a_missing_column(column: str) -> None:
    with pytest.raises(DataError, match=rf"the log lacks the columns \['{column}'\]; it has"):
        fit(orders(CHOICES).drop(column))


def test_a_missing_column_of_the_catalogue() -> None:
    items = pl.DataFrame({"item_id": ["a"], "name": ["A"]})
    with pytest.raises(DataError, match=r"the catalogue lacks the columns \['title'\]; it has"):
        fit(orders(CHOICES), items, catalog={"text": "title"})


def test_an_empty_catalogue() -> None:
    items = pl.DataFrame({"item_id": []}, schema={"item_id": pl.String})
    with pytest.raises(DataError, match="no row of the catalogue is left: 0 read"):
        fit(orders(CHOICES), items)


def test_mixed_id_types_in_one_column() -> None:
    mixed = pd.DataFrame({"user_id": ["ann", 7], "item_id": ["a", "b"], "position": [1, 2]})
    with pytest.raises(DataError, match="mixed types"):
        fit(mixed)


def test_mixed_id_types_between_log_and_catalogue() -> None:
    engine = fit(orders(CHOICES), pl.DataFrame({"item_id": [1, 2]}))
    assert engine.items.dtype == pl.String
    assert any("integers in the catalogue and text in the log" in note for note in engine.notes)


def test_fractions_as_ids() -> None:
    log = orders({1.5: [1, 2], 2.0: [2]})
    with pytest.raises(DataError, match=r"'user_id' of the log must hold text or whole numbers"):
        fit(log)


@pytest.mark.parametrize("asked", [[7], [None, 7], [1.5], np.array([3])])
def test_ids_of_another_type_than_the_log_has(asked: Any) -> None:
    with pytest.raises(DataError, match="user ids"):
        ordered_engine(CHOICES).recommend(asked)


def test_weights_that_are_not_finite_are_rejected_and_counted() -> None:
    log = orders(CHOICES).with_columns(
        stars=pl.Series([float("nan"), float("inf"), -1.0, 0.0, *[2.0] * 5])
    )
    engine = fit(log, interactions={"order": "position", "weight": "stars"})
    said = "\n".join(engine.notes)
    assert "log: 9 rows read, 5 kept, 4 rejected" in said
    assert "2 weight not finite" in said
    assert "1 negative weight" in said
    assert "1 weight is zero" in said
    assert len(engine.learnt.log) == 5


def in_time(*moments: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [f"user {n % 3}" for n in range(len(moments))],
            "item_id": [f"item {n % 4}" for n in range(len(moments))],
            "at": moments,
        }
    )


def test_times_in_the_future_are_rejected_and_counted() -> None:
    now = datetime.now()
    log = in_time(*[now - timedelta(days=day) for day in range(1, 7)], now + timedelta(days=400))
    settings = EngineSettings.parse({"interactions": {"time": "at"}})
    engine = Engine(settings).fit(log)
    assert "log: 7 rows read, 6 kept, 1 rejected" in engine.notes
    assert "log:   1 time in the future" in engine.notes
    with pytest.raises(DataError, match="strict: 1 of 7 rows are rejected: 1 time in the future"):
        Engine(settings).fit(log, strict=True)


def test_rejected_rows_are_written_down(tmp_path: Path) -> None:
    log = pl.concat([orders(CHOICES), orders({"dan": [None, "a"]})])
    engine = Engine(ordered_settings()).fit(log, quarantine=tmp_path / "rejected.parquet")
    assert "log:   1 null item id" in engine.notes
    rejected = pl.read_parquet(tmp_path / "rejected.parquet")
    assert rejected.select("user_id", "row", "reason").rows() == [("dan", 9, "null item id")]


def test_unknown_events_are_rejected_and_named() -> None:
    log = orders(CHOICES).with_columns(event=pl.Series(["view"] * 7 + ["veiw"] * 2))
    engine = fit(log, interactions={"order": "position", "event": "event"})
    assert "log:   2 unknown event" in engine.notes
    assert any("unknown events: 'veiw' (2); known are view, cart" in note for note in engine.notes)


def test_all_items_filtered() -> None:
    items = pl.DataFrame({"item_id": list("abcd"), "stock": [0, 0, 0, 0]})
    with pytest.raises(DataError, match="no item may be offered: all 4 are unavailable"):
        fit(orders(CHOICES), items, catalog={"available": "stock"})


def test_all_but_one_filtered() -> None:
    items = pl.DataFrame({"item_id": list("abcd"), "stock": [0, 0, 0, 1]})
    engine = fit(orders(CHOICES), items, catalog={"available": "stock"})
    lists = engine.recommend(["ann", "bob"], k=2)
    assert listed(lists) == {"ann": ["d"], "bob": []}
    assert lists["note"].to_list() == [
        "1 of 2 items: stock, policy and conditions leave 1 to offer",
        "0 of 2 items: stock, policy and conditions leave 0 to offer",
    ]


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(k: int) -> None:
    engine = fitted_engine()
    with pytest.raises(DataError, match=f"k must be at least 1; got {k}"):
        engine.recommend(engine.users[:1], k=k)
    with pytest.raises(DataError, match=f"k must be at least 1; got {k}"):
        engine.similar_items(engine.items[:1], k=k)
    with pytest.raises(DataError, match=f"k must be at least 1; got {k}"):
        list(engine.recommend_all(k=k))


@pytest.mark.parametrize("k", [2.5, "3", None])
def test_k_that_is_no_whole_number(k: Any) -> None:
    engine = fitted_engine()
    with pytest.raises(DataError, match="k must be a whole number"):
        engine.recommend(engine.users[:1], k=k)


def test_k_as_numpy_counts_it() -> None:
    engine = fitted_engine()
    assert len(engine.recommend(engine.users[:1], k=np.int64(3))) == 3  # type: ignore[arg-type]


def test_k_above_the_catalogue() -> None:
    engine = fitted_engine()
    users = [*engine.users[:3], "nobody"]
    table = engine.recommend(users, k=10_000)
    offered = engine.learnt.policy.mask.sum()
    for user, own in listed(table).items():
        assert len(own) == len(set(own)) <= offered
        note = table.filter(user_id=user)["note"][0]
        assert f"{len(own)} of 10000 items: stock, policy and conditions leave" in note


def test_a_misspelt_key_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("[training]\nnegatifs = 5\n")
    with pytest.raises(
        SettingsError,
        match=r"shop\.toml: unknown setting 'training.negatifs'; did you mean 'negatives'\?",
    ):
        EngineSettings.from_toml(path)


def test_a_catalogue_without_text() -> None:
    items = pl.DataFrame({"item_id": list("abcd"), "kind": list("xxyy")})
    engine = fit(orders(CHOICES), items, catalog={"category": "kind"})
    assert any("content (the catalogue has no text)" in note for note in engine.notes)
    assert listed(engine.recommend(["ann", "bob"])) == {"ann": ["d"], "bob": ["a"]}


def test_a_catalogue_whose_texts_are_empty() -> None:
    items = pl.DataFrame({"item_id": list("abcd"), "title": ["", None, "", ""]})
    engine = fit(orders(CHOICES), items, catalog={"text": "title"})
    assert any("content (the catalogue has no text)" in note for note in engine.notes)
    assert listed(engine.recommend(["ann"])) == {"ann": ["d"]}


def test_a_catalogue_of_other_goods() -> None:
    """None of the log's items is in the catalogue: legal, and said."""
    goods = pl.DataFrame({"item_id": ["x", "y"]})
    engine = fit(orders(CHOICES), goods, catalog={"offer_unlisted": True})
    unlisted = [note for note in engine.notes if note.startswith("4 items of the log are not in")]
    assert len(unlisted) == 1
    assert "2 items of the catalogue are not in the log" in engine.notes
    assert "d" in listed(engine.recommend(["ann"]))["ann"]


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "faiss":
            raise ModuleNotFoundError("No module named 'faiss'", name="faiss")
sys.meta_path.insert(0, Blocked())
import polars as pl
from recsys.engine import Engine
from recsys.features.errors import MissingDependency
log = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 2, 3]})
try:
    Engine().fit(log)
except MissingDependency as error:
    print(error)
"""


def test_a_missing_faiss() -> None:
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "faiss is not installed: pip install 'recsys[cpu]'" in run.stdout


def test_asking_before_fit() -> None:
    engine = Engine()
    for ask in (
        lambda: engine.recommend(["ann"]),
        lambda: list(engine.recommend_all()),
        lambda: engine.similar_items(["a"]),
        lambda: engine.save("nowhere"),
        lambda: engine.titles(["a"]),
        lambda: engine.users,
        lambda: engine.items,
        lambda: engine.learnt,
    ):
        with pytest.raises(DataError, match=r"learnt nothing yet; call fit\(\) or load\(\) first"):
            ask()
    assert not Path("nowhere").exists()


def test_users_and_sessions_both_or_neither() -> None:
    engine = fitted_engine()
    for given in ({}, {"users": ["u"], "sessions": {"s": ["sku-00001"]}}):
        with pytest.raises(DataError, match="give either users or sessions"):
            engine.recommend(**given)  # type: ignore[arg-type]


def test_a_session_that_is_no_list_of_items() -> None:
    engine = fitted_engine()
    with pytest.raises(
        DataError, match=r"session 's' must be a list of item ids.*; got 'sku-00001'"
    ):
        engine.recommend(sessions={"s": "sku-00001"})
    with pytest.raises(DataError, match=r"map names to lists of item ids.*got \['sku-"):
        engine.recommend(sessions=["sku-00001"])  # type: ignore[arg-type]


def test_the_time_protocol_without_a_clock() -> None:
    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders(CHOICES))
    with pytest.raises(DataError, match="the protocol 'time' needs a time column; this log has"):
        evaluate(engine, log, catalog, EvaluationSettings(protocol="time"))


def test_unknown_target_events() -> None:
    engine = Engine(quick_settings())
    log, catalog = engine.read(small_shop().events, small_shop().items)
    targets = EvaluationSettings(targets=("buy",))
    with pytest.raises(DataError, match=r"unknown target events \['buy'\]; the log has \['view'"):
        evaluate(engine, log, catalog, targets)


@pytest.mark.parametrize("date", ["soon", "2024-13-01", ""])
def test_a_cutoff_that_is_no_date(date: str) -> None:
    engine = Engine(quick_settings())
    log, catalog = engine.read(small_shop().events, small_shop().items)
    settings = EvaluationSettings(protocol="time", date=date)
    with pytest.raises(DataError, match=f"evaluation.date '{date}' is not a date"):
        evaluate(engine, log, catalog, settings)


@pytest.mark.parametrize("date", ["1999-01-01", "2040-01-01"])
def test_a_cutoff_outside_the_log(date: str) -> None:
    engine = Engine(quick_settings())
    log, catalog = engine.read(small_shop().events, small_shop().items)
    settings = EvaluationSettings(protocol="time", date=date)
    with pytest.raises(DataError, match=f"the cutoff {date}.* leaves one side without events"):
        evaluate(engine, log, catalog, settings)


def test_nothing_to_score() -> None:
    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders({"ann": "aa", "bob": "bb", "cat": "cc"}))
    with pytest.raises(DataError, match="nobody chose an item that might have been offered"):
        evaluate(engine, log, catalog, EvaluationSettings())


@pytest.mark.parametrize("name", ["../../evil", "two-stage", "fused", "a b", ""])
def test_a_source_is_named_as_a_file_may_be(name: str) -> None:
    with pytest.raises(SettingsError, match="a source's name"):
        EngineSettings(sources={name: {"kind": "popular"}})


def test_a_source_has_no_other_name_than_its_table() -> None:
    with pytest.raises(SettingsError, match="a source's name is its table's"):
        EngineSettings(sources={"als": {"name": "../../evil"}})


def test_cutoffs_leave_some_past() -> None:
    with pytest.raises(SettingsError, match="moments x stretch must be below 1"):
        EngineSettings(training=TrainingSettings(moments=13))


def test_more_pairs_than_the_linear_source_can_count(tmp_path: Path) -> None:
    shop = small_shop()
    settings = quick_settings(interactions={"event": "event"}, sources={"near": {"most_pairs": 99}})
    engine = Engine(settings).fit(shop.events.drop("time"), shop.items)
    why = r"source 'near' is left out: .* pairs of items, more than most_pairs = 99; the kind 'knn'"
    assert [note for note in engine.notes if re.match(why, note)]
    assert "near" not in [each.name for each in engine.learnt.fitted.sources.members]
    assert engine.learnt.fitted.ranker is not None
    lists = engine.recommend(engine.users[:5], k=5)
    assert (len(lists), lists["note"].null_count()) == (25, 25)
    engine.save(tmp_path / "engine")
    assert_same_lists(Engine.load(tmp_path / "engine").recommend(engine.users[:5], k=5), lists)
