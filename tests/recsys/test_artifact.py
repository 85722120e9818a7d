"""A folder is written whole or not at all, and read only as it was written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.artifact import FORMAT, check_folder, check_target, write_folder
from recsys.engine import Engine
from recsys.features.errors import ArtifactError
from tests.shops import fitted_engine


def fill(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("first")
    (folder / "inner").mkdir()
    (folder / "inner" / "b.bin").write_bytes(bytes(range(64)))
    (folder / "empty").write_bytes(b"")
    return {"files_written": 3}


def written(target: Path) -> Path:
    write_folder(target, "thing", fill, {"version": "1"})
    return target


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("artifacts") / "small")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "engine"
    fitted_engine().save(folder)
    return folder


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_manifest_says_what_it_holds(small: Path) -> None:
    manifest = check_folder(small, "thing")
    assert manifest["kind"] == "thing"
    assert manifest["format"] == FORMAT
    assert manifest["version"] == "1"
    assert manifest["files_written"] == 3
    assert set(manifest["files"]) == {"a.txt", "inner/b.bin", "empty"}


@given(st.data())
def test_a_changed_byte_anywhere_is_refused(small: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in files_of(small) if path.stat().st_size]))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
    try:
        with pytest.raises(ArtifactError, match=path.name):
            check_folder(small, "thing")
    finally:
        path.write_bytes(content)
    check_folder(small, "thing")


def test_white_space_of_the_manifest_counts(small: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace("\n", "\t", 1))
    with pytest.raises(ArtifactError, match=r"manifest\.json has been changed"):
        check_folder(copy, "thing")


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_flipped_byte_in_any_file_of_an_engine_is_refused(saved: Path, place: float) -> None:
    for path in files_of(saved):
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[int(place * (len(content) - 1))] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(ArtifactError, match=path.name):
            Engine.load(saved)
        path.write_bytes(content)
    Engine.load(saved)


def test_a_truncated_missing_or_added_file_is_refused(saved: Path) -> None:
    for path in files_of(saved):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(ArtifactError, match=path.name):
            Engine.load(saved)
        path.unlink()
        with pytest.raises(ArtifactError, match=path.name):
            Engine.load(saved)
        path.write_bytes(content)
    extra = saved / "log" / "more.npz"
    extra.write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"files missing or added: \['log/more.npz'\]"):
        Engine.load(saved)
    extra.unlink()
    Engine.load(saved)


def test_a_changed_file_is_refused_before_it_is_parsed(saved: Path) -> None:
    """What a parser would run or choke on is never given to it: the hash speaks first."""
    for name in (
        "engine.json",
        "log/events.npz",
        "log/users.parquet",
        "ranker/network.safetensors",
    ):
        path = saved / name
        content = path.read_bytes()
        if path.suffix == ".npz":
            np.savez(path, user_rows=np.array([print], dtype=object), allow_pickle=True)
        else:
            path.write_bytes(b"\xff" * len(content))
        with pytest.raises(ArtifactError, match="has been changed: its SHA-256 differs"):
            Engine.load(saved)
        path.write_bytes(content)


def test_nothing_in_an_engine_is_pickled(saved: Path) -> None:
    kinds = {path.suffix for path in files_of(saved)}
    assert kinds == {".json", ".npz", ".parquet", ".safetensors"}
    for path in saved.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert not any(array.dtype.hasobject for array in arrays.values())


def test_an_engine_is_found_again_where_it_is_moved(saved: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(saved, tmp_path / "elsewhere")
    assert Engine.load(moved).users.equals(fitted_engine().users)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"format": FORMAT + 1}, f"is of format {FORMAT + 1}; this version reads {FORMAT}"),
        ({"kind": "other"}, "its own SHA-256 differs"),
        ({"files": {}}, "its own SHA-256 differs"),
    ],
)
def test_a_manifest_of_another_hand_is_refused(
    small: Path, tmp_path: Path, change: dict[str, object], rule: str
) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(
        json.dumps({**manifest, **change}, indent=1, sort_keys=True)
    )
    with pytest.raises(ArtifactError, match=rule):
        check_folder(copy, "thing")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_none_is_refused(small: Path, tmp_path: Path, content: bytes) -> None:
    copy = shutil.copytree(small, tmp_path / "copy")
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError):
        check_folder(copy, "thing")


def test_another_kind_is_refused(small: Path) -> None:
    with pytest.raises(ArtifactError, match="is of kind 'thing', not 'engine'"):
        Engine.load(small)


def test_no_artifact_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not an artifact: it has no manifest\.json"):
        Engine.load(tmp_path / "nothing")


def test_a_failed_write_leaves_what_stood_there(tmp_path: Path) -> None:
    target = written(tmp_path / "target")

    def fail(folder: Path) -> dict[str, int]:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(target, "thing", fail, {})
    check_folder(target, "thing")
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_write_replaces_all_of_the_old_one(tmp_path: Path) -> None:
    target = written(tmp_path / "target")

    def other(folder: Path) -> dict[str, int]:
        (folder / "c.txt").write_text("new")
        return {}

    write_folder(target, "thing", other, {})
    assert set(check_folder(target, "thing")["files"]) == {"c.txt"}
    assert not (target / "a.txt").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_artifact_of_that_kind_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"1")
    with pytest.raises(ArtifactError, match="exists and is not an artifact; nothing was written"):
        written(tmp_path / "photos")
    target = written(tmp_path / "target")
    with pytest.raises(ArtifactError, match="kind 'thing', not 'engine'; nothing was"):
        fitted_engine().save(target)
    with pytest.raises(ArtifactError, match="nothing was written"):
        check_target(target, "engine")
    check_folder(target, "thing")
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"1"


def test_folders_above_the_target_are_made(tmp_path: Path) -> None:
    check_folder(written(tmp_path / "one" / "two" / "three"), "thing")
