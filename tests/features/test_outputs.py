"""Places that are tried before the work, and files that are there whole or not at all."""

import errno
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.errors import OutputError, RecsysError
from recsys.features.outputs import (
    check_file,
    check_folder_place,
    draft_of,
    umask,
    write_whole,
    writing,
)

AS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that can stand where a file shall go."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("old")
    Path("folder").mkdir()
    Path("link").symlink_to("file")
    Path("dangling").symlink_to("new")
    Path("loop").symlink_to("loop")
    Path("lost").symlink_to("nowhere/new")
    os.mkfifo("fifo")
    return tmp_path


def left() -> list[str]:
    """Hidden files: drafts and trials that were left behind."""
    return [path.name for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("folder", "it is a folder"),
        (".", "it is a folder"),
        ("/", "it is a folder"),
        ("", "it is a folder"),
        ("loop", "Too many levels"),
        ("lost", "there is no folder"),
        ("nowhere/file", "there is no folder"),
        ("file/below", "Not a directory"),
        ("/proc/new", "takes no files"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null byte"),
    ],
)
def test_a_place_that_takes_no_file_is_refused_with_its_reason(path: str, reason: str) -> None:
    with pytest.raises(OutputError, match=rf"^--json .*no file can be written there: .*{reason}"):
        check_file(path, "--json")
    assert left() == []


@pytest.mark.parametrize(
    "path", ["file", "new", "link", "dangling", "fifo", "/dev/null", "x" * 250]
)
def test_a_place_that_takes_a_file_is_left_as_it_was(path: str) -> None:
    before = sorted(each.name for each in Path().iterdir())
    check_file(path)
    assert sorted(each.name for each in Path().iterdir()) == before
    assert Path("file").read_text() == "old"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file", "it is a file"),
        ("link", "it is a file"),
        ("fifo", "it is a FIFO"),
        ("/dev/null", "it is a device"),
        (".", "this process stands in it"),
        ("..", "this process stands in it"),
        ("loop", "Too many levels"),
        ("file/below", "is no folder"),
        ("/proc/new", "takes no files"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_place_that_takes_no_folder_is_refused_with_its_reason(path: str, reason: str) -> None:
    with pytest.raises(OutputError, match=rf"no folder can be written there: .*{reason}"):
        check_folder_place(path, "--out")
    assert left() == []


def test_folders_above_a_folder_need_not_be_there() -> None:
    check_folder_place("one/two/three")
    assert not Path("one").exists()


@pytest.mark.skipif(AS_ROOT, reason="root may write anywhere")
def test_without_permission_nothing_is_tried_for_long(room: Path) -> None:
    Path("file").chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        check_file("file")
    room.chmod(0o555)
    with pytest.raises(OutputError, match="takes no files"):
        check_file("new")
    room.chmod(0o755)


def test_a_link_stays_one_and_what_it_points_at_is_written() -> None:
    write_whole("link", "new")
    write_whole("dangling", "there now")
    assert Path("link").is_symlink()
    assert Path("dangling").is_symlink()
    assert (Path("file").read_text(), Path("new").read_text()) == ("new", "there now")


def test_files_have_the_mode_of_the_umask_and_drafts_are_for_their_owner() -> None:
    old = os.umask(0o027)
    try:
        assert umask() == 0o027
        with draft_of("made") as draft:
            assert stat.S_IMODE(draft.stat().st_mode) == 0o600
            draft.write_text("text")
        assert stat.S_IMODE(Path("made").stat().st_mode) == 0o640
    finally:
        os.umask(old)


def test_a_file_that_is_replaced_keeps_its_mode() -> None:
    Path("file").chmod(0o600)
    write_whole("file", "secret")
    assert stat.S_IMODE(Path("file").stat().st_mode) == 0o600


def test_a_device_and_a_fifo_are_written_into() -> None:
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(Path("fifo").read_text()))
    reader.start()
    write_whole("fifo", "some words")
    reader.join(10)
    assert heard == ["some words"]
    assert stat.S_ISFIFO(Path("fifo").lstat().st_mode)
    write_whole("/dev/null", "nothing")
    assert stat.S_ISCHR(Path("/dev/null").lstat().st_mode)


def test_a_fifo_that_nobody_reads_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recsys.features.outputs._PATIENCE", 0.1)
    with pytest.raises(OutputError, match="nobody reads it"):
        write_whole("fifo", "words")


def test_an_open_file_of_this_process_gets_the_words_where_it_stands() -> None:
    with Path("log").open("w") as log:
        log.write("first; ")
        log.flush()
        write_whole(f"/dev/fd/{log.fileno()}", "second; ")
        log.write("third")
    assert Path("log").read_text() == "first; second; third"


def test_a_full_device_is_an_error_of_ours_and_of_the_system() -> None:
    with pytest.raises(OutputError, match=r"/dev/full: cannot be written: No space left") as caught:
        write_whole("/dev/full", "words")
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, RecsysError)


def test_an_error_of_the_system_in_other_words_is_told_too() -> None:
    """polars and safetensors tell it in the words of Rust."""
    with (
        pytest.raises(OutputError, match=r"x: cannot be written: No space left on device; .* free"),
        writing("x"),
    ):
        raise RuntimeError(f"I/O error: no space left (os error {errno.ENOSPC})")
    with pytest.raises(ZeroDivisionError), writing("x"):
        raise ZeroDivisionError


def test_a_failed_write_leaves_the_old_file_and_no_draft() -> None:
    with pytest.raises(OutputError), draft_of("file") as draft:
        draft.rename("file/not/there")
    assert Path("file").read_text() == "old"
    assert left() == []


@given(st.text(max_size=300))
def test_any_path_is_fine_or_an_output_error(path: str) -> None:
    for check in (check_file, check_folder_place):
        with suppress(OutputError):
            check(f"room/{path}")
