"""What is said of an evaluation: intervals, comparisons, several windows and several seeds."""

import numpy as np
import pytest

from recsys.engine import Engine
from recsys.evaluation.evaluate import TWO_STAGE, evaluate
from recsys.evaluation.result import Evaluation, mean_of
from recsys.settings import EvaluationSettings
from tests.shops import ordered_settings, orders, quick_settings, small_shop


def of_shop(seed: int = 0, **settings: object) -> Evaluation:
    shop = small_shop()
    engine = Engine(quick_settings(seed=seed))
    log, catalog = engine.read(shop.events, shop.items)
    cut = {"protocol": "time", "share": 0.2} if "protocol" not in settings else {}
    protocol = {**cut, "k": 5, "at": [1], "draws": 200, **settings}
    return evaluate(engine, log, catalog, EvaluationSettings.parse(protocol))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return of_shop()


def test_a_mean_lies_in_its_interval(evaluation: Evaluation) -> None:
    told = evaluation.as_dict("shop")
    for system, own in told["intervals"].items():
        for metric, (low, high) in own.items():
            assert low <= told["systems"][system][metric] <= high
    assert set(told["intervals"][TWO_STAGE]) >= {"ndcg@1", "ndcg@5", "recall@5", "diversity@5"}


def test_the_two_stage_list_is_compared_with_every_other(evaluation: Evaluation) -> None:
    told = evaluation.as_dict("shop")
    others = set(told["systems"]) - {TWO_STAGE}
    for metric in ("ndcg@5", "recall@5"):
        found = [each for each in told["comparisons"] if each["metric"] == metric]
        assert {each["against"] for each in found} == others
        for each in found:
            scores = told["systems"]
            expected = scores[TWO_STAGE][metric] - scores[each["against"]][metric]
            assert each["difference"] == pytest.approx(expected)
            assert each["p"] <= each["p_corrected"]


def test_slices_part_the_positives(evaluation: Evaluation) -> None:
    rows = evaluation.as_dict("shop")["slices"]
    for by in ("history length", "item popularity", "item age", "category", "event"):
        own = [row for row in rows if row["by"] == by]
        assert sum(row["positives"] for row in own) == evaluation.protocol["positives"]
    assert sum(r["users"] for r in rows if r["by"] == "history length") == len(evaluation.users)


def test_prices_and_categories_are_measured_where_they_are_known(evaluation: Evaluation) -> None:
    scores = evaluation.systems[TWO_STAGE]
    assert {"revenue@5", "category_diversity@5", "diversity@5"} <= set(scores)
    assert scores["revenue@5"] > 0


def test_the_newest_users_are_shown_with_what_they_chose(evaluation: Evaluation) -> None:
    shown = evaluation.as_dict("shop")["examples"]
    assert 0 < len(shown) <= 6
    for each in shown:
        hits = {row["item_id"] for row in each["list"] if row["hit"]}
        assert hits == {row["item_id"] for row in each["list"]} & {
            item["item_id"] for item in each["chosen"]
        }
        assert [row["rank"] for row in each["list"]] == list(range(1, len(each["list"]) + 1))


def test_windows_are_pooled_and_told_one_by_one() -> None:
    found = of_shop(protocol="walk-forward", windows=2, share=0.15)
    told = found.as_dict("shop")
    windows = told["windows"]
    assert told["protocol"]["windows"] == len(windows) == 2
    assert told["users"] == sum(window["users"] for window in windows)
    weighted = sum(each["users"] * each["systems"][TWO_STAGE]["ndcg@5"] for each in windows)
    assert told["systems"][TWO_STAGE]["ndcg@5"] == pytest.approx(weighted / told["users"])
    assert {(line["run"], line["window"]) for line in told["curves"]} == {(0, 0), (0, 1)}
    by_event = [row for row in told["slices"] if row["by"] == "event"]
    assert sum(row["positives"] for row in by_event) == told["protocol"]["positives"]
    scores = told["systems"]
    for each in told["comparisons"]:
        metric = each["metric"]
        apart = scores[TWO_STAGE][metric] - scores[each["against"]][metric]
        assert each["difference"] == pytest.approx(apart)
    lost = found.account["lost"]
    assert sum(row["positives"] for row in lost) == found.account["positives"]
    assert windows[0]["cutoff"] < windows[1]["cutoff"]
    shares = [window["held_share"] for window in windows]
    assert told["protocol"]["held_share"] == pytest.approx(sum(shares))
    assert shares == pytest.approx([0.15, 0.15], abs=0.01)


def test_folded_in_users_are_scored() -> None:
    found = of_shop(protocol="fold-in", fold_users=0.3)
    assert found.protocol["users"] > 30
    assert found.systems[TWO_STAGE]["recall@5"] > found.systems["popular"]["recall@5"]


def test_several_seeds_are_the_mean_of_each_user() -> None:
    runs = [of_shop(seed) for seed in (0, 1)]
    both = mean_of(runs)
    assert both.protocol["seed"] == [0, 1]
    for metric in ("ndcg@5", "coverage@5", "seconds"):
        expected = np.mean([run.systems[TWO_STAGE][metric] for run in runs])
        assert both.systems[TWO_STAGE][metric] == pytest.approx(expected)
    ndcg = [run.values[TWO_STAGE]["ndcg@5"] for run in runs]
    assert both.values[TWO_STAGE]["ndcg@5"] == pytest.approx((ndcg[0] + ndcg[1]) / 2)


def test_one_user_has_no_interval_and_no_verdict() -> None:
    engine = Engine(ordered_settings())
    log, catalog = engine.read(orders({"ann": "abc", "bob": "a"}))
    told = evaluate(engine, log, catalog, EvaluationSettings(k=3)).as_dict("one")
    assert told["users"] == 1
    assert told["intervals"][TWO_STAGE] == {}
    assert {each["verdict"] for each in told["comparisons"]} == {"inside the noise"}
