"""What a log holds by accident teaches nothing: the order of its rows, one customer's reloads."""

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.settings import EngineSettings
from tests.shops import quick_settings, small_shop


def test_rows_in_another_order_make_the_same_engine() -> None:
    """Also where a user has several events at one time, and to the bit."""
    shop = small_shop()
    events = shop.events.with_columns(pl.col("time").dt.truncate("1d"))
    mixed = events.sample(fraction=1.0, shuffle=True, seed=7)
    one, other = (Engine(quick_settings()).fit(rows, shop.items) for rows in (events, mixed))
    assert one.notes == other.notes
    assert one.recommend(one.users, k=10).equals(other.recommend(other.users, k=10))


LEAN = {"ranker": {"hidden": (4,), "epochs": 1}, "training": {"least_positives": 10**6}}


def noise(users: int) -> pl.DataFrame:
    """Six different items of thirty on each of two days, drawn evenly."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(users):
        items = rng.choice(30, 12, replace=False)
        rows += [
            (f"u{user:03}", int(item), f"2024-0{1 + n // 6}-01") for n, item in enumerate(items)
        ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "time"], orient="row")


@pytest.mark.parametrize("time", ["time", None])
def test_of_noise_no_order_of_the_file_makes_a_score(time: str | None) -> None:
    drawn = noise(300)
    told = []
    for rows in (drawn, drawn.sort("user_id", "time", "item_id")):
        tables = {"interactions": {"time": time}, "evaluation": {"draws": 10}, **LEAN}
        result = Engine(EngineSettings.parse(tables)).evaluate(rows).as_dict("noise")
        told.append({name: each["hr@10"] for name, each in result["systems"].items()})
        assert result["protocol"]["tied_share"] == 1
        assert any("is drawn by evaluation.seed = 0" in note for note in result["notes"])
    assert told[0] == told[1]
    chance = 10 / (30 - 11)  # of the items that a user has not had
    assert all(abs(share - chance) < 0.1 for share in told[0].values())  # 3.5 deviations


def test_one_customer_of_many_makes_no_item_popular() -> None:
    """The demo of a shop: 4,000 views of 200 customers, and 300 reloads by one of them."""
    rng = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": [f"u{user:03}" for user in rng.integers(0, 200, 4_000)],
            "item_id": [f"i{item:03}" for item in rng.integers(0, 150, 4_000)],
            "time": [1.7e9 + 600 * n for n in range(4_000)],
        }
    )
    end = 1.7e9 + 600 * 4_000
    reloads = pl.DataFrame(
        {
            "user_id": ["u000"] * 300,
            "item_id": ["i042"] * 300,
            "time": [end + n for n in range(300)],
        }
    )
    settings = EngineSettings.parse({"interactions": {"time": "time"}, **LEAN})
    plain, odd = (Engine(settings).fit(rows) for rows in (log, pl.concat([log, reloads])))
    before, after = (engine.recommend(["somebody"], k=5)["item_id"] for engine in (plain, odd))
    assert "i042" not in after
    assert before.to_list() == after.to_list()
