"""The public data sets are read in full, and two stages find more there than any one source.

The counts are those of the sets' own descriptions. To be quick the engines learn without text, from
few lists and in few epochs; benchmarks/ has the figures of the default settings.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.engine import Engine
from recsys.evaluation.evaluate import FUSED, TWO_STAGE, evaluate
from recsys.settings import EngineSettings

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"

pytestmark = pytest.mark.public_data


def settings_of(name: str, **changes: Any) -> EngineSettings:
    return EngineSettings.parse(
        {
            **EngineSettings.from_toml(CONFIGS / f"{name}.toml").model_dump(exclude_unset=True),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("name", "users", "items", "events", "clock"),
    [
        ("amazon-beauty", 22_363, 12_101, 198_502, "order"),
        ("ml-1m", 6_040, 3_416, 999_611, "order"),
        ("ml-100k", 943, 1_682, 100_000, "time"),
    ],
)
def test_a_set_is_read_in_full(
    data_dir: Path, name: str, users: int, items: int, events: int, clock: str
) -> None:
    engine = Engine(settings_of(name))
    log, catalog = engine.read(data_dir=data_dir)
    assert (len(log), len(log.active_users()), (log.item_counts > 0).sum()) == (
        events,
        users,
        items,
    )
    assert log.clock == clock
    assert catalog.known[log.item_counts > 0].all()
    assert (catalog.texts().filter(pl.Series(catalog.known)) != "").mean() > 0.99  # type: ignore[operator]
    assert f"log: {events:,} rows read, {events:,} kept, 0 rejected" in engine.notes


def test_every_row_of_online_retail_is_kept_or_accounted_for(data_dir: Path) -> None:
    """Cancellations, postage, fees and rows without a customer are no purchases."""
    engine = Engine(settings_of("online-retail"))
    log, catalog = engine.read(data_dir=data_dir)
    rows = pl.read_parquet(data_dir / "online-retail" / "transactions.parquet")
    assert len(rows) == 525_461
    goods = rows.filter(
        pl.col("item_id").str.contains(r"^([0-9]{5}|DCGS)")
        & (pl.col("quantity") > 0)
        & (pl.col("price") > 0)
    )
    known = goods.drop_nulls("user_id")
    distinct = known.unique(["user_id", "item_id", "timestamp", "quantity"])
    assert len(log) == len(distinct)
    assert len(log.active_users()) == known["user_id"].n_unique()
    assert log.clock == "time"
    said = "\n".join(engine.notes)
    assert f"log: 525,461 rows read, {len(log):,} kept, {525_461 - len(log):,} rejected" in said
    assert f"{len(rows) - len(goods):,} left out by where" in said
    assert f"{len(goods) - len(known):,} null user id" in said
    assert f"{len(known) - len(distinct):,} duplicate" in said
    before = goods.filter(pl.col("timestamp") < pl.datetime(2010, 11, 17))
    assert catalog.known.sum() == before["item_id"].n_unique()
    assert len(catalog) == pl.concat([before["item_id"], known["item_id"]]).n_unique()
    assert (catalog.price()[catalog.known] > 0).all()  # type: ignore[index]


@pytest.mark.parametrize("name", ["amazon-beauty", "ml-100k"])
def test_two_stages_find_more_than_any_one_source(data_dir: Path, name: str) -> None:
    catalog = settings_of(name).model_dump(exclude_unset=True)["catalog"]
    settings = settings_of(
        name,
        catalog={key: value for key, value in catalog.items() if key != "text"},
        sources={"sequence": {"epochs": 4, "members": 1}},
        training={"most_lists": 6_000},
        ranker={"epochs": 4},
    )
    engine = Engine(settings)
    log, items = engine.read(data_dir=data_dir)
    evaluation = evaluate(engine, log, items, settings.evaluation)
    found = {system: scores["ndcg@10"] for system, scores in evaluation.systems.items()}
    best = max(score for system, score in found.items() if system not in (TWO_STAGE, FUSED))
    assert found[TWO_STAGE] > 1.05 * best
