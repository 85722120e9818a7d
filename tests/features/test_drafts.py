"""Drafts: those of killed processes are removed, those of the living and of others are not."""

import os
import subprocess
import sys
import time
from pathlib import Path

from recsys.features.drafts import (
    draft_name,
    is_gone,
    new_folder,
    owner,
    remove_abandoned,
    temporary_folder,
)


def of_a_killed_process(folder: Path) -> list[Path]:
    """A file and a folder that a process had begun when it was killed."""
    code = """
import os, sys
from pathlib import Path
from recsys.features.drafts import draft_name, new_folder

made = new_folder(Path(sys.argv[1]), ".engine-")
(made / "half").write_text("of it")
file = Path(sys.argv[1]) / draft_name("engine")
file.write_text("half of it")
print(made, file, sep="\\n", flush=True)
os.kill(os.getpid(), 9)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False
    )
    assert ran.returncode == -9
    return [Path(line) for line in ran.stdout.splitlines()]


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    left = of_a_killed_process(tmp_path)
    own = new_folder(tmp_path, ".engine-old-")
    (tmp_path / ".engine-notes").write_text("somebody's own")
    assert all(path.exists() for path in left)
    assert set(remove_abandoned(tmp_path, ".engine-")) == set(left)
    assert not any(path.exists() for path in left)
    assert sorted(os.listdir(tmp_path)) == sorted([".engine-notes", own.name])


def test_drafts_of_a_living_process_stay(tmp_path: Path) -> None:
    draft = tmp_path / draft_name("engine")
    draft.write_text("half")
    assert remove_abandoned(tmp_path, ".engine-") == []
    assert draft.exists()


def test_drafts_of_another_machine_go_after_a_day(tmp_path: Path) -> None:
    place, process, start = owner().split(".")
    other = f"{'0' * 6 if place != '0' * 6 else '1' * 6}.{process}.{start}"
    draft = tmp_path / f".engine-{other}.0123abcd"
    draft.write_text("half")
    assert not is_gone(other)
    assert remove_abandoned(tmp_path, ".engine-") == []
    os.utime(draft, (time.time() - 2 * 24 * 3600,) * 2)
    assert remove_abandoned(tmp_path, ".engine-") == [draft]


def test_a_later_process_of_the_same_number_is_another() -> None:
    place, process, start = owner().split(".")
    assert not is_gone(owner())
    assert is_gone(f"{place}.{process}.{int(start) + 1}")
    assert not is_gone("who knows")


def test_a_folder_that_is_not_there_has_no_drafts(tmp_path: Path) -> None:
    assert remove_abandoned(tmp_path / "none", ".engine-") == []


def test_a_temporary_folder_is_its_owners_and_goes() -> None:
    with temporary_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("text")
    assert not folder.exists()
