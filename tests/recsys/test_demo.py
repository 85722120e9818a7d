"""The demo: three customers, and the two-stage list beside every source."""

from pathlib import Path

import polars as pl
import pytest

from recsys.demo import OFFERED, Demo, demo_dict, run_demo, shop_settings, varied

FUTURE = pl.DataFrame({"user_id": ["a", "b", "c", "d"]})


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo with its default seed."""
    return run_demo(3_000, 1_500, 0, tmp_path_factory.mktemp("demo"))


def test_the_two_stage_list_beats_every_source(demo: Demo) -> None:
    systems = dict(demo.evaluation.systems)
    ours = systems.pop("two-stage")
    assert {"als", "content", "popular"} <= set(systems)
    for name, scores in systems.items():
        for metric in ("ndcg@10", "recall@10", "hr@10"):
            assert ours[metric] > scores[metric], (name, metric)


def test_three_customers_are_offered_things_for_a_reason(demo: Demo) -> None:
    assert len({customer.id for customer in demo.customers}) == 3
    for customer in demo.customers:
        assert 1 <= len(customer.did) <= 8
        assert customer.did["title"].null_count() == 0
        assert customer.offered["rank"].to_list() == list(range(1, OFFERED + 1))
        assert customer.offered["reason"].null_count() == 0


def test_demo_as_json_is_an_evaluation_with_customers(demo: Demo) -> None:
    result = demo_dict(demo)
    assert result["data"] == "demo-shop"
    assert result["protocol"]["name"] == "time"
    assert [set(each) for each in result["customers"]] == [
        {"user_id", "about", "did", "offered"}
    ] * 3


def test_customers_are_varied() -> None:
    counts = {"a": (1, 0), "b": (30, 20), "c": (90, 3), "d": (40, 2), "gone": (500, 400)}
    past = pl.concat(
        pl.DataFrame(
            {
                "user_id": [user] * events,
                "event": ["purchase"] * buys + ["view"] * (events - buys),
            }
        )
        for user, (events, buys) in counts.items()
    )
    assert varied(past, FUTURE) == {
        "events 1, purchases 0": "a",
        "events 30, purchases 20": "b",
        "events 90, purchases 3": "c",
    }


def test_settings_read_what_the_shop_writes(tmp_path: Path) -> None:
    settings = shop_settings(3, tmp_path)
    assert settings.seed == 3
    assert settings.interactions.paths == (str(tmp_path / "events.parquet"),)
    assert settings.evaluation.protocol == "time"
