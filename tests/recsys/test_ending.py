"""What ends a process: SIGTERM cleans up as Ctrl-C does, and a killed parent leaves no child."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

ENDED = """
import os, signal, sys
from recsys.ending import Ended, ending_signals_raised
from recsys.features.drafts import temporary_folder

signal.signal(int(sys.argv[1]), signal.SIG_DFL)  # under nohup SIGHUP is ignored
try:
    with ending_signals_raised(), temporary_folder() as folder:
        print(folder, flush=True)
        os.kill(os.getpid(), int(sys.argv[1]))
        while True:
            pass
except Ended as error:
    print(error)
    sys.exit(error.exit_code)
"""

ORPHANS = """
import multiprocessing, os, sys, time
from recsys.features.spawning import end_with

def work(parent):
    end_with(parent)
    time.sleep(60)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work, args=(os.getpid(),))
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def comes(found: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether something comes to be before so many seconds have passed."""
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_a_command_leaves_nothing(name: str, tmp_path: Path) -> None:
    number = signal.Signals[name]
    run = subprocess.run(
        [sys.executable, "-c", ENDED, str(int(number))], cwd=ROOT, text=True, check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    folder, said = run.stdout.splitlines()
    assert (run.returncode, said) == (128 + number, f"ended by {name}")
    assert Path(folder).parent == tmp_path
    assert os.listdir(tmp_path) == []


def test_sigterm_marks_the_run(shop_folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "recsys.cli", "fit", str(shop_folder / "shop.toml"),
        "--data-dir", str(shop_folder), "--out", str(tmp_path / "engine"),
        "--runs", str(tmp_path / "runs"),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert comes(lambda: any((tmp_path / "runs").glob("*/status.json")))
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=60)[1]
    assert (running.returncode, said.splitlines()[-1]) == (143, "recsys: ended by SIGTERM")
    (status,) = (tmp_path / "runs").glob("*/status.json")
    assert json.loads(status.read_text())["status"] == "interrupted"
    assert os.listdir(tmp_path) == ["runs"]


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1)
        parent.kill()
    assert comes(lambda: not lives(child), 20)
