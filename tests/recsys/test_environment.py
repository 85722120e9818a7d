"""What a run was made on."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import recsys
from recsys import environment as module
from recsys.environment import accelerators, command, commit, environment, processor, versions

ROOT = Path(__file__).parents[2]


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_environment_is_json_and_names_nobody() -> None:
    said = environment()
    assert json.loads(json.dumps(said)) == said
    assert said["python"].endswith(platform.python_version())
    assert said["cores"] >= 1
    assert said["memory_bytes"] > 10**8
    assert said["versions"]["recsys"] == recsys.__version__
    assert {"numpy", "polars", "torch", "implicit"} <= set(said["versions"])
    assert platform.node() not in json.dumps({**said, "platform": "", "command": ""}).split()


def test_what_is_not_installed_has_no_version() -> None:
    assert versions("recsys", "no-such-package") == {"recsys": recsys.__version__}


def test_the_command_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/recsys", "fit", "shop.toml"])
    assert command() == "recsys fit shop.toml"


def test_the_commit_is_that_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed within somebody's checkout has no commit of its own."""
    git(tmp_path, "init", "-q")
    package, installed = tmp_path / "package", tmp_path / "env" / "package"
    for folder in (package, installed):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
    git(tmp_path, "add", "package/__init__.py")
    git(tmp_path, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "--short", "HEAD")
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert commit() == head
    (package / "__init__.py").write_text("changed = 1\n")
    assert commit() == f"{head}-dirty"
    monkeypatch.setattr(module, "_PACKAGE", installed)
    assert commit() is None
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert commit() is None


def test_processor_and_cards_are_read_from_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast 9000\nflags\t: a b\n")
    card = tmp_path / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 42\n")
    monkeypatch.setattr(module, "_PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setattr(module, "_ACCELERATORS", tmp_path / "gpus")
    assert processor() == "Fast 9000"
    assert accelerators() == ["NVIDIA H200"]
    monkeypatch.setattr(module, "_PROCESSORS", tmp_path / "nothing")
    monkeypatch.setattr(module, "_ACCELERATORS", tmp_path / "nothing")
    assert processor() in (platform.processor(), platform.machine())
    assert accelerators() == []


def test_environment_loads_no_torch() -> None:
    code = "import sys, recsys.environment as e; e.environment(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
