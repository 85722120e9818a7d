"""Every way to search by factors finds what brute force finds, and costs come out as they are."""

import argparse
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import growth, measure, rivals, speed
from benchmarks.embedding import overlap
from benchmarks.requests import ask_all, ask_one, kept_asking
from recsys.engine import Engine
from recsys.features.arrays import Rows
from recsys.settings import EngineSettings
from recsys.shop import make_shop


def brute_force(problem: rivals.Problem) -> Rows:
    scores = problem.users @ problem.items.T
    for user in range(len(scores)):
        scores[user, problem.seen[problem.offsets[user] : problem.offsets[user + 1]]] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, : problem.k]


@pytest.fixture(scope="module")
def problem() -> rivals.Problem:
    return rivals.made_up(users=700, items=90, factors=8, per_user=12, k=10)


@pytest.mark.parametrize(
    "make", [rivals.our_index, rivals.numpy_argpartition, *rivals.RIVALS.values()]
)
def test_a_rival_finds_what_brute_force_finds(problem, make) -> None:
    assert (make(problem)() == brute_force(problem)).mean() > 0.999  # products differ in the end


def test_als_leaves_out_what_was_seen(problem: rivals.Problem) -> None:
    found = rivals.our_als(problem)()
    seen = problem.matrix.toarray() > 0
    assert found.shape == (700, 10)
    assert not np.take_along_axis(seen, found, axis=1).any()


def test_seen_items_are_distinct_and_ascending(problem: rivals.Problem) -> None:
    for start, stop in zip(problem.offsets[:-1], problem.offsets[1:], strict=True):
        assert (np.diff(problem.seen[start:stop]) > 0).all()


def test_products_are_counted() -> None:
    tiny = rivals.made_up(users=3, items=5, factors=2, per_user=1, k=1)
    assert tiny.flops == 2 * 3 * 5 * 2
    rates = tiny.rates(measure.Cost(wall=60e-9, cpu=30e-9))
    assert rates == pytest.approx({"gflops": 1.0, "gflops_per_cpu_s": 2.0})


def test_works_are_done_in_turn_and_warm_first() -> None:
    done: list[str] = []
    works = {name: lambda name=name: done.append(name) for name in "ab"}
    measure.in_turn(works, rounds=2)
    assert "".join(done) == "ab" + "abab"


def test_the_median_is_taken_of_each_clock() -> None:
    costs = [measure.Cost(1, 30), measure.Cost(2, 10), measure.Cost(9, 20)]
    assert measure.median(costs) == measure.Cost(2, 20)
    assert measure.Cost(2, 4).as_dict(10_000)["users_per_second"] == 5_000
    assert measure.Cost(2, 4).as_dict(20_000)["cpu_s_per_10k"] == 2


def test_waiting_costs_time_and_no_cpu() -> None:
    cost = measure.timed(lambda: time.sleep(0.05))
    assert cost.wall >= 0.05
    assert cost.cpu < 0.04


def test_a_child_does_not_inherit_the_peak_of_its_parent(tmp_path: Path) -> None:
    large = np.ones(40_000_000)  # 320 MB
    told = measure.child("tests.benchmarks.tell_peak")
    assert large.nbytes / 1024**3 > 0.25 > told["peak_gb"]


def test_results_are_written_whole(tmp_path: Path) -> None:
    measure.write_results(tmp_path / "new" / "speed.json", {"a": 1})
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == {"a": 1}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["speed.json"]


def test_another_thread_keeps_asking_until_the_end() -> None:
    before, asked = threading.active_count(), threading.Event()
    with kept_asking([asked.set]):
        assert asked.wait(10)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_neighbours_are_shared_where_vectors_are_equal() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    assert overlap(vectors, vectors.copy(), 5) == 1.0
    assert overlap(vectors, -vectors, 5) == 1.0  # the same neighbours
    assert overlap(vectors, np.roll(vectors, 15, axis=0), 5) < 0.6


def test_an_engine_is_asked_for_all_and_for_one() -> None:
    shop = make_shop(users=120, items=60, days=40)
    settings = EngineSettings.parse(
        {
            "interactions": {"time": "time", "event": "event"},
            "catalog": {"available": "available"},
            "sources": {"als": {"factors": 4, "iterations": 2}},
            "training": {"least_positives": 10},
            "ranker": {"epochs": 1},
        }
    )
    engine = Engine(settings).fit(shop.events, shop.items)
    every = ask_all(engine, rounds=1)
    assert set(every) == {"two-stage", "recsys als alone", *rivals.RIVALS, "GEMM ceiling"}
    assert every["GEMM ceiling"]["cpu_to_gemm"] == 1
    assert all(every[name]["same_items"] > 0.9 for name in rivals.RIVALS)
    one = ask_one(engine, requests=5, rounds=1)
    assert {"two-stage", "two-stage, while another asks"} < set(one)
    assert 0 < one["two-stage"]["p50_ms"] <= one["two-stage"]["p99_ms"]


def test_retrieval_names_its_shape() -> None:
    shape = {"users": 40, "items": 300, "factors": 4, "per_user": 5, "k": 10}
    measured = speed.retrieval(argparse.Namespace(rounds=1), shape)
    assert measured["shape"] == shape
    assert measured["systems"]["GEMM ceiling"]["cpu_to_gemm"] == 1


def test_rectools_is_read_from_the_peers_or_said_to_be_missing(tmp_path: Path) -> None:
    assert "left out" in speed.rectools(tmp_path / "speed.json", "ml-1m")["notes"][0]
    systems = {"rectools-sasrec": {"users_per_second": 5.0}, "ease": {}}
    (tmp_path / "peers-ml-1m.json").write_text(json.dumps({"systems": systems}))
    found = speed.rectools(tmp_path / "speed.json", "ml-1m")["rectools"]
    assert found == {"rectools-sasrec": {"users_per_second": 5.0}}


def test_points_of_growth_have_a_shape() -> None:
    assert growth.shape_of("users:20") == (20, growth.FEW_ITEMS)
    assert growth.shape_of("items:30") == (growth.FEW_USERS, 30)
    with pytest.raises(SystemExit, match="got 'events:3'"):
        growth.shape_of("events:3")
