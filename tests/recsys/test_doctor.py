"""What the doctor says of a machine."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from recsys.doctor import (
    EXTRAS,
    FAISS,
    NEEDED,
    Check,
    Report,
    check_extra,
    check_faiss,
    check_package,
    examine,
    older,
)
from recsys.features import reading
from recsys.features.kernels import folders
from recsys.retrieval import topk

ROOT = Path(__file__).parents[2]


def test_this_machine_can_fit() -> None:
    report = examine()
    assert report.can_fit, report
    found = {check.name: check.found for check in report.checks}
    assert found["torch"].startswith("2.")
    assert {"device of text", "device of the ranker", "device of the index", "cache"} <= set(found)


def test_needed_packages_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = dict(line.split(",")[0].split(">=") for line in project["dependencies"])
    assert declared == NEEDED


def test_faiss_builds_are_those_of_the_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][name][0].split(">=")[0] for name in ("cpu", "gpu")]
    assert set(extras) <= set(FAISS)


def test_extras_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        name: dict(line.split(",")[0].split(">=") for line in lines)
        for name, lines in project["optional-dependencies"].items()
        if name not in ("cpu", "gpu", "minilm", "dev")
    }
    assert {name: dict(extra.packages) for name, extra in EXTRAS.items()} == declared


@pytest.mark.parametrize(
    ("version", "least", "is_older"),
    [
        ("2.9", "2.10", True),
        ("2.10", "2.10", False),
        ("2.10.0", "2.10", False),
        ("2", "2.0.0", False),
        ("2.13.0+cpu", "2.6", False),
        ("3.0.0rc1", "3", False),
        ("0.60.99", "0.61", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, least: str, is_older: bool) -> None:
    assert older(version, least) is is_older


def test_a_missing_package_says_how_to_install_it() -> None:
    check = check_package("polars", "2.1", None)
    assert check == Check("polars", "not installed", "wrong", "pip install 'polars>=2.1'")


def test_an_old_package_is_wrong() -> None:
    check = check_package("polars", "2.1", "1.30.0")
    assert check.state == "wrong"
    assert check.found == "1.30.0, 2.1 is needed"


def test_an_extra_says_what_it_is_for() -> None:
    check = check_extra("search", {"optuna": "5.0.0"})
    assert check == Check("extra search", "optuna 5.0.0 (for recsys tune)")


def test_a_missing_extra_says_how_to_install_it_and_is_no_fault() -> None:
    check = check_extra("onnx", {"onnx": "1.23.2", "onnxruntime": None})
    found = "onnx 1.23.2, onnxruntime not installed (for a ranker compressed by onnx)"
    assert check == Check("extra onnx", found, "ok", "pip install 'recsys[onnx]'")


def test_an_old_extra_is_a_note() -> None:
    check = check_extra("search", {"optuna": "3.6"})
    found = "optuna 3.6; optuna 4 is needed (for recsys tune)"
    assert check == Check("extra search", found, "note", "pip install 'recsys[search]'")


def test_extras_are_looked_at_without_importing_them() -> None:
    names = "lightgbm lightfm onnx onnxruntime optuna mlflow tensorboard wandb peft"
    code = (
        "import sys; from recsys.doctor import examine\n"
        "assert 'extra tune' in [check.name for check in examine().checks]\n"
        f"print(set({names.split()}) & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "set()\n"), run.stderr


def test_a_missing_faiss_is_wrong() -> None:
    check = check_faiss({})
    assert check.state == "wrong"
    assert "pip install 'recsys[cpu]'" in check.mend


def test_two_builds_of_faiss_are_wrong() -> None:
    check = check_faiss({"faiss-cpu": "1.15.1", "faiss-gpu-cuvs": "1.15.0"})
    assert check.state == "wrong"
    assert check.mend == ("pip uninstall -y faiss-cpu faiss-gpu-cuvs && pip install 'recsys[gpu]'")


def test_a_note_does_not_stop_a_fit() -> None:
    assert Report((Check("a", "b", "note", "c"),)).can_fit
    assert not Report((Check("a", "b"), Check("a", "b", "wrong", "c"))).can_fit


def test_a_cache_that_cannot_be_made_is_a_note(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECSYS_CACHE", str(tmp_path / "file" / "cache"))
    cache = next(check for check in examine().checks if check.name == "cache")
    assert cache.state == "note"
    assert "RECSYS_CACHE" in cache.mend


def kernels_kept_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(folder))
    (check,) = [each for each in examine().checks if each.name == "kernels"]
    return check


def test_where_kernels_are_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = kernels_kept_in(tmp_path, monkeypatch)
    assert (check.state, check.found) == ("ok", "none is compiled yet")
    for module in (reading, topk):
        (folder,) = folders(Path(str(module.__file__)))
        folder.mkdir(parents=True)
        (folder / "dot.nbi").touch()
    check = kernels_kept_in(tmp_path, monkeypatch)
    assert (check.state, check.found) == ("ok", f"2 in {tmp_path}")


def test_kernels_that_cannot_be_kept_are_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    check = kernels_kept_in(tmp_path / "file" / "numba", monkeypatch)
    assert (check.state, "no folder can be written" in check.found) == ("note", True)
    assert "recsys warmup" in check.mend
