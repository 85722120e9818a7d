"""benchmarks.retrieval: how lists are fused, and the settings that were chosen."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contestant import CONFIGS
from benchmarks.retrieval import TUNED, fused, main
from recsys.features.arrays import PAD
from recsys.parts import KINDS
from tests.worlds import offered


def test_fused_scores_are_shares_of_each_norm() -> None:
    one = offered([[0, 1, PAD]], "one", [[4.0, 3.0, 0.0]])  # .8 and .6
    other = offered([[2, 1, 0]], "other", [[0.2, 0.1, 0.0]])  # .894, .447 and 0
    assert fused([one, other], [1.0, 1.0], 4, 3).tolist() == [[1, 2, 0]]
    assert fused([one, other], [1.0, 0.1], 4, 3).tolist() == [[0, 1, 2]]


def test_a_list_without_items_adds_nothing() -> None:
    empty = offered([[PAD, PAD]], "empty")
    assert fused([offered([[3, 1]]), empty], [1.0, 5.0], 4, 3).tolist() == [[3, 1, PAD]]


@pytest.mark.parametrize("data", TUNED)
def test_chosen_settings_make_a_source(data: str) -> None:
    assert (CONFIGS / f"{data}.toml").exists()
    for kind, settings in TUNED[data].items():
        made = KINDS[kind](**settings)
        assert {name: getattr(made, name) for name in settings} == dict(settings)


def test_what_both_lists_hold_is_summed_before_the_cut() -> None:
    one, other = offered([[0, 1]], "one", [[1.0, 0.9]]), offered([[2, 1]], "other", [[1.0, 0.9]])
    np.testing.assert_array_equal(fused([one, other], [1.0, 1.0], 3, 1), [[1]])


def test_sources_are_measured_alone_and_fused(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tmp_path / "found.json"
    asked = ["--data", "ml-100k", "--data-dir", str(data_dir), "--sources", "popular", "covisit"]
    monkeypatch.setattr(sys, "argv", ["retrieval", *asked, "--json", str(found)])
    main()
    results = json.loads(found.read_text())["results"]
    assert [each["source"] for each in results] == ["popular", "covisit", "fused"]
    assert all(0 < each["ndcg@10"] < 1 for each in results)
