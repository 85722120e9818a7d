"""RecTools as a peer: the files of the exchange, and the environment it needs."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.peers import rectools
from benchmarks.rectools import environment
from recsys.features.arrays import PAD, Array, Rows
from recsys.features.errors import DataError, MissingDependency, TrainingError
from tests.worlds import DAY, log_of

USERS = np.array([0, 2], np.int32)
QUICK = {
    "two-stage": {"factors": 4, "iterations": 2, "candidates": 8, "trees": 5},
    "sasrec": {"n_factors": 8, "n_heads": 1, "n_blocks": 1, "session_max_len": 8, "epochs": 1},
}
made = pytest.mark.skipif(not environment.ready(), reason="the environment of RecTools is not made")


@pytest.fixture
def no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is named as the environment, and empty."""
    folder = tmp_path / "venv"
    monkeypatch.setenv("RECTOOLS_VENV", str(folder))
    return folder


def finish(folder: Path) -> None:
    """What `make` leaves, without the packages."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / "rectools-requirements.txt").write_text(environment.REQUIREMENTS.read_text())


def listed(path: Path, rows: list[tuple[int, int, int]]) -> Path:
    pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row").write_parquet(path)
    return path


def test_a_log_is_written_with_positions(tmp_path: Path) -> None:
    past = log_of([3, 1, 2], [], [0, 1], items=4, weights=[1, 1, 2, 1, 1])
    rectools.write(tmp_path, past, USERS)
    train = pl.read_parquet(tmp_path / "train.parquet")
    assert train.columns == ["user_id", "item_id", "weight", "position"]
    assert train.rows()[:3] == [(0, 3, 1.0, 0), (0, 1, 1.0, 1), (0, 2, 2.0, 2)]
    assert train.rows()[3:] == [(2, 0, 1.0, 0), (2, 1, 1.0, 1)]
    assert pl.read_parquet(tmp_path / "users.parquet")["user_id"].to_list() == [0, 2]


def test_times_are_written_where_there_is_a_clock(tmp_path: Path) -> None:
    past = log_of([3, 1], [2], items=4, times=[DAY, 2 * DAY, 0], clock="time")
    rectools.write(tmp_path, past, USERS)
    assert pl.read_parquet(tmp_path / "train.parquet")["time"].to_list() == [DAY, 2 * DAY, 0]


def test_excluded_pairs_are_written_once_and_not_left_behind(tmp_path: Path) -> None:
    past = log_of([0], [1], [2], items=4)
    twice = np.array([2, 2], np.int32), np.array([3, 3], np.int32)
    rectools.write(tmp_path, past, USERS, excluded=twice)
    assert pl.read_parquet(tmp_path / "excluded.parquet").rows() == [(2, 3)]
    rectools.write(tmp_path, past, USERS)
    assert not (tmp_path / "excluded.parquet").exists()


def test_older_lists_are_not_read_again(tmp_path: Path) -> None:
    listed(tmp_path / "lists.parquet", [(0, 1, 1)])
    rectools.write(tmp_path, log_of([0], items=2), USERS)
    assert not (tmp_path / "lists.parquet").exists()


def test_lists_are_read_in_the_order_of_the_users(tmp_path: Path) -> None:
    path = listed(tmp_path / "lists.parquet", [(4, 7, 2), (0, 5, 1), (4, 6, 1)])
    read = rectools.read(path, np.array([4, 9, 0], np.int32), k=3)
    assert read.dtype == np.int32
    assert read.tolist() == [[6, 7, PAD], [PAD, PAD, PAD], [5, PAD, PAD]]


def test_no_lists_at_all_are_all_padding(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    empty = {"user_id": pl.Int32, "item_id": pl.Int32, "rank": pl.Int64}
    pl.DataFrame(schema=empty).write_parquet(path)
    assert rectools.read(path, USERS, k=2).tolist() == [[PAD, PAD], [PAD, PAD]]


@pytest.mark.parametrize(
    ("row", "said"),
    [((1, 5, 1), "user row 1"), ((0, 5, 3), r"1\.\.2; got 3"), ((0, 5, 0), "got 0")],
)
def test_a_list_that_nobody_asked_for_is_an_error(
    tmp_path: Path, row: tuple[int, int, int], said: str
) -> None:
    path = listed(tmp_path / "lists.parquet", [row])
    with pytest.raises(DataError, match=said):
        rectools.read(path, USERS, k=2)


def test_without_the_environment_the_command_is_named(no_environment: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match=r"python -m benchmarks\.rectools\.environment"):
        rectools.lists("sasrec", log_of([0, 1], items=3), USERS, 2, tmp_path, {})
    assert not (tmp_path / "train.parquet").exists()


def test_an_unfinished_environment_is_not_ready(no_environment: Path) -> None:
    finish(no_environment)
    assert environment.ready()
    assert environment.python() == no_environment / "bin" / "python"
    (no_environment / "rectools-requirements.txt").write_text("rectools==0.1\n")
    assert not environment.ready()


def test_an_environment_that_is_ready_is_kept(no_environment: Path) -> None:
    finish(no_environment)
    assert environment.make() == no_environment / "bin" / "python"


def test_what_a_failed_run_said_is_passed_on(no_environment: Path, tmp_path: Path) -> None:
    finish(no_environment)
    interpreter = no_environment / "bin" / "python"
    interpreter.write_text("#!/bin/sh\necho out of memory >&2\nexit 3\n")
    interpreter.chmod(0o755)
    with pytest.raises(TrainingError, match="sasrec ended with code 3: out of memory"):
        rectools.lists("sasrec", log_of([0, 1], items=3), USERS, 2, tmp_path, {})


def test_every_requirement_is_pinned() -> None:
    lines = environment.REQUIREMENTS.read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    assert {"rectools", "torch", "catboost", "numpy"} <= {line.split("==")[0] for line in pins}


def planted() -> list[list[int]]:
    """Thirty users who each walk round a circle of twelve items for six steps."""
    return [[(start + step) % 12 for step in range(6)] for start in range(30)]


@made
@pytest.mark.parametrize("model", ["two-stage", "sasrec"])
def test_lists_hold_nothing_seen_or_excluded(model: str, tmp_path: Path) -> None:
    past = log_of(*planted(), [], items=13)
    users = np.arange(30, -1, -1, dtype=np.int32)  # the first has no past
    excluded = users, ((users + 6) % 12).astype(np.int32)
    read, timing = rectools.lists(
        model, past, users, 4, tmp_path, QUICK[model], excluded=excluded, threads=1
    )
    assert read.shape == (31, 4)
    steps = np.where(read == PAD, PAD, (read - users[:, None]) % 12)
    assert set(np.unique(steps[1:])) <= {PAD, 7, 8, 9, 10, 11}
    assert (read[1:, 0] != PAD).all()
    assert (read[0] == PAD).all() == (model == "sasrec")
    assert distinct(read)
    assert timing["users"] == 31
    assert timing["settings"]["seed"] == 0
    assert json.loads((tmp_path / "timing.json").read_text()) == timing


def distinct(items: Rows) -> bool:
    """Whether no list holds an item twice."""
    ordered: Array = np.sort(items, axis=1)
    return not ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)).any()
