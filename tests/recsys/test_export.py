"""An export: whole or not at all, and of everybody."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.artifact import FORMAT, check_folder
from recsys.engine import Engine
from recsys.export import KIND, export
from recsys.features.errors import ArtifactError, DataError

ROOT = Path(__file__).parents[2]


def read(folder: Path) -> pl.DataFrame:
    check_folder(folder, KIND)
    return pl.read_parquet(sorted(folder.glob("part-*.parquet")))


def test_export_holds_the_lists_of_all_users(engine: Engine, tmp_path: Path) -> None:
    done = export(engine, tmp_path / "lists", k=3, block=40)
    lists = read(tmp_path / "lists")
    assert done.parts == 4
    assert done.users == len(engine.users) == lists["user_id"].n_unique()
    assert done.rows == len(lists)
    assert_frame_equal(lists, engine.recommend(engine.users, k=3), rel_tol=1e-4)


def test_manifest_says_what_was_exported(engine: Engine, tmp_path: Path) -> None:
    export(engine, tmp_path / "lists", k=2, users=["u00000", "u00001", "nobody"])
    manifest = check_folder(tmp_path / "lists", KIND)
    assert {name: manifest[name] for name in ("kind", "k", "users", "rows", "parts", "engine")} == {
        "kind": "export",
        "k": 2,
        "users": 3,
        "rows": 6,
        "parts": 1,
        "engine": "tiny",
    }
    assert list(manifest["files"]) == ["part-00000.parquet"]


def test_export_of_nobody_has_the_columns(engine: Engine, tmp_path: Path) -> None:
    export(engine, tmp_path / "lists", users=[])
    assert read(tmp_path / "lists").columns[:3] == ["user_id", "item_id", "rank"]


def test_a_new_export_replaces_the_old_one(engine: Engine, tmp_path: Path) -> None:
    export(engine, tmp_path / "lists", k=1, block=10)
    export(engine, tmp_path / "lists", k=2, users=["u00000"])
    assert len(read(tmp_path / "lists")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["lists"]


def test_an_engine_is_not_overwritten_by_an_export(engine: Engine, tmp_path: Path) -> None:
    engine.save(tmp_path / "engine")
    with pytest.raises(ArtifactError, match="is of kind 'engine', not 'export'"):
        export(engine, tmp_path / "engine")
    Engine.load(tmp_path / "engine")


def test_a_failing_export_leaves_the_old_one(engine: Engine, tmp_path: Path) -> None:
    export(engine, tmp_path / "lists", k=1)
    before = read(tmp_path / "lists")

    def fail(step: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(engine, tmp_path / "lists", k=5, block=10, progress=fail)
    assert_frame_equal(read(tmp_path / "lists"), before)
    assert [path.name for path in tmp_path.iterdir()] == ["lists"]


def test_a_killed_export_leaves_the_old_one(
    engine: Engine, engine_folder: Path, tmp_path: Path
) -> None:
    export(engine, tmp_path / "lists", k=1)
    before = read(tmp_path / "lists")
    code = (
        "import sys, time; from recsys.engine import Engine; from recsys.export import export; "
        "export(Engine.load(sys.argv[1]), sys.argv[2], k=5, block=1, "
        "progress=lambda step, share: time.sleep(0.05))"
    )
    command = [sys.executable, "-c", code, str(engine_folder), str(tmp_path / "lists")]
    with subprocess.Popen(command, cwd=ROOT) as writer:
        until = time.monotonic() + 180  # kernels may have to be compiled first
        while not list(tmp_path.glob(".lists-*/part-00002.parquet")) and time.monotonic() < until:
            time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob(".lists-*/part-00002.parquet"))  # it was midway
    assert_frame_equal(read(tmp_path / "lists"), before)


def test_a_flipped_byte_is_noticed(engine: Engine, tmp_path: Path) -> None:
    export(engine, tmp_path / "lists", k=1)
    part = tmp_path / "lists" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(ArtifactError, match="part-00000"):
        check_folder(tmp_path / "lists", KIND)


@pytest.mark.parametrize(("k", "block"), [(0, 10), (10, 0)])
def test_counts_below_one_are_refused(engine: Engine, tmp_path: Path, k: int, block: int) -> None:
    with pytest.raises(DataError, match="must be at least 1; got 0"):
        export(engine, tmp_path / "lists", k=k, block=block)
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_json(engine: Engine, tmp_path: Path) -> None:
    export(engine, tmp_path / "lists", k=1)
    said = pl.read_parquet_metadata(tmp_path / "lists" / "_manifest.parquet")["recsys.manifest"]
    assert json.loads(said)["format"] == FORMAT
    assert json.loads(said) == {
        **check_folder(tmp_path / "lists", KIND),
        "sha256": json.loads(said)["sha256"],
    }
