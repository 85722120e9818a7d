"""The README shows what was measured, and steps that are done are not done again."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import tables, versions

QUALITY = {
    "data": "amazon-beauty",
    "protocol": {"name": "last-item", "k": 10},
    "systems": {
        "two-stage": {"ndcg@10": 0.07734, "hr@10": 0.1237},
        "fused": {"ndcg@10": 0.9, "hr@10": 0.9},
        "next": {"ndcg@10": 0.0576, "hr@10": 0.1},
        "als": {"ndcg@10": 0.0401, "hr@10": 0.08},
    },
    "fit_seconds": 69.18,
}

PEERS = {
    "data": "gowalla",
    "protocol": {"name": "given", "k": 20},
    "systems": {
        "als": {"ndcg@20": 0.13, "hr@20": 0.5, "recall@20": 0.15, "fit_seconds": 1200.0},
        "ease": {"ndcg@20": 0.1467, "hr@20": 0.55, "recall@20": 0.1765, "users_per_second": 900.0},
    },
    "published": {
        "ease": {"recall@20": 0.1765, "ndcg@20": 0.1500, "source": "BARS"},
        "BSPM": {"recall@20": 0.1920, "ndcg@20": 0.1597, "source": "a paper"},
    },
}


def test_the_readme_shows_what_the_results_say() -> None:
    text = tables.README.read_text(encoding="utf8")
    assert tables.filled(text, tables.tables(tables.HERE / "results")) == text, (
        "run `python -m benchmarks readme`"
    )


def test_the_readme_has_every_table_once() -> None:
    names = [place[1] for place in tables.PLACE.findall(tables.README.read_text(encoding="utf8"))]
    assert sorted(names) == sorted(tables.TABLES)


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = "before\n<!-- table: quality -->\n| old |\n<!-- end -->\nafter"
    once = tables.filled(text, {"quality": "| new |\n"})
    assert once == "before\n<!-- table: quality -->\n| new |\n<!-- end -->\nafter"
    assert tables.filled(once, {"quality": "| new |\n"}) == once


def test_a_mark_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="qualty"):
        tables.filled("<!-- table: qualty -->\n<!-- end -->", {"quality": ""})


def test_the_best_single_source_is_none_of_the_joined_lists() -> None:
    row = tables.quality([QUALITY]).splitlines()[2]
    assert row == (
        "| amazon-beauty, last item, k = 10 | .0773 | .1237 | .9000 | next .0576 "
        "| .0531 (SASRec, sampled softmax) | 69 s |"
    )


def test_intervals_are_shown_where_they_are_known() -> None:
    known = {**QUALITY, "intervals": {"two-stage": {"ndcg@10": [0.0751, 0.07949]}}}
    assert "| .0773 (.0751–.0795) |" in tables.quality([known])


def test_several_seeds_tell_their_deviation_and_what_the_ranker_adds() -> None:
    apart = {
        "seed_deviations": {"two-stage": {"ndcg@10": 0.0004, "hr@10": 0.001}},
        "runs": [{}] * 3,
    }
    assert tables.seeds([{**QUALITY, **apart}]).splitlines()[2] == (
        "| amazon-beauty, last item, k = 10 | 3 | .0773 ± .0004 | .1237 ± .0010 | next .0576 "
        "| +34.3% |"
    )


def test_a_refit_tells_of_how_many_seeds_its_means_are() -> None:
    gap = {"difference": 0.0024, "interval": [-0.0007, 0.0056]}
    measured = {
        "data": "ml-100k",
        "protocol": {"name": "last-item", "k": 10},
        "seeds": [0, 1, 2],
        "systems": {"two-stage": {"refitted": 0.1443, "as learnt from": 0.1419, "gap": gap}},
    }
    assert tables.refit([measured]).splitlines()[2] == (
        "| ml-100k, last item, k = 10 | 3 | two-stage | .1443 | .1419 | +.0024 | -.0007 to +.0056 |"
    )


def test_peers_stand_beside_what_is_published_of_them() -> None:
    lines = tables.peers([PEERS]).splitlines()[2:]
    assert lines == [
        "| gowalla | ease | .1765 | .1467 | | 900 | | .1765 / .1500 | +0.0% / -2.2% |",
        "| gowalla | als | .1500 | .1300 | 1,200 s | | | | |",
        "| gowalla | BSPM | | | | | | .1920 / .1597 | |",
    ]


def test_nothing_measured_is_no_table(tmp_path: Path) -> None:
    assert set(tables.tables(tmp_path).values()) == {""}


def test_results_come_in_our_order(tmp_path: Path) -> None:
    for data in ("ml-1m", "amazon-beauty", "a-shop"):
        (tmp_path / f"quality-{data}.json").write_text(json.dumps({**QUALITY, "data": data}))
    found = [each["data"] for each in tables.read(tmp_path, "quality")]
    assert found == ["amazon-beauty", "ml-1m", "a-shop"]


def options(folder: Path, **changes: object) -> argparse.Namespace:
    given = {"results": folder, "data_dir": None, "keep": False, "fresh": False}
    return argparse.Namespace(**{**given, **changes})


STEP = bench.Step("growth", "benchmarks.growth", "growth.json", ("--asked", "5"))


def test_a_step_is_skipped_where_its_file_was_made_by_this_code(tmp_path: Path) -> None:
    path = tmp_path / "growth.json"
    stamp: bench.Stamp = {"code": "abc", "arguments": ["--asked", "5"]}
    assert bench.left_out(STEP, path, stamp, options(tmp_path)) is None
    path.write_text(json.dumps({"made_by": stamp}))
    assert "skipped" in (bench.left_out(STEP, path, stamp, options(tmp_path)) or "")
    assert bench.left_out(STEP, path, stamp, options(tmp_path, fresh=True)) is None
    later: bench.Stamp = {**stamp, "code": "def"}
    assert bench.left_out(STEP, path, later, options(tmp_path)) is None
    assert "kept" in (bench.left_out(STEP, path, later, options(tmp_path, keep=True)) or "")


def test_without_git_nothing_is_taken_for_made_by_this_code(tmp_path: Path) -> None:
    stamp: bench.Stamp = {"code": None, "arguments": []}
    (tmp_path / "growth.json").write_text(json.dumps({"made_by": stamp}))
    assert bench.left_out(STEP, tmp_path / "growth.json", stamp, options(tmp_path)) is None


def test_a_step_on_public_data_needs_the_folder_or_makes_data_up(tmp_path: Path) -> None:
    peers = bench.Step("peers", "x", "peers-ml-1m.json", reads_data=True)
    assert peers.file(options(tmp_path)) is None
    assert "--data-dir" in (bench.left_out(peers, None, {}, options(tmp_path)) or "")
    assert peers.file(options(tmp_path, data_dir=tmp_path)) == tmp_path / "peers-ml-1m.json"
    own = bench.Step("speed", "x", "speed-ml-1m.json", reads_data=True, generated="speed-shop.json")
    assert own.file(options(tmp_path)) == tmp_path / "speed-shop.json"


def test_a_finished_step_is_stamped_and_a_failed_one_keeps_the_file(tmp_path: Path) -> None:
    step = bench.Step("retrieval", "tests.benchmarks.a_step", "made.json")
    assert bench.run(step, options(tmp_path), [])
    made = json.loads((tmp_path / "made.json").read_text())
    assert made == {
        "measured": 1,
        "made_by": {"code": versions.state(versions.CODE), "arguments": []},
    }
    assert not bench.run(step, options(tmp_path), ["--fail"])
    assert json.loads((tmp_path / "made.json").read_text()) == made
