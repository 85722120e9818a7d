"""Runs: what a fit and an evaluation leave behind, in a folder and with real trackers."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from recsys.cli import main
from recsys.ending import Ended
from recsys.engine import Engine
from recsys.exits import Exit
from recsys.features.errors import DataError, MissingDependency, OutputError, SettingsError
from recsys.features.outputs import write_whole
from recsys.fingerprint import of_log
from recsys.run_folder import RunFolder, mark_abandoned, new_folder, plain
from recsys.settings import EngineSettings
from recsys.trackers import About, Outcome, losses
from recsys.tracking import Run, flat, tracked
from tests.shops import ordered_settings, orders

RESULT = {
    "data": "letters",
    "users": 2,
    "systems": {"two-stage": {"ndcg@10": 0.25, "recall@10": 0.5}, "als": {"ndcg@10": math.nan}},
    "account": {"union": {"recall": np.float32(0.5)}, "lost": [{"positives": 3}]},
    "has_ranker": True,
    "notes": ["one"],
}
METRICS = {"users": 2, "two-stage/ndcg@10": 0.25, "two-stage/recall@10": 0.5,
           "account/union/recall": 0.5}  # fmt: skip
CURVE = [{"train": 0.75, "held out": 0.5}, {"train": 0.5, "held out": 0.25}]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go into the folder that a command stands in."""
    monkeypatch.chdir(tmp_path)


def settings_with(**tracking: Any) -> EngineSettings:
    return ordered_settings(name="letters", tracking={"tensorboard": False, **tracking})


def read(folder: Path | None, name: str) -> Any:
    return json.loads(((folder or Path()) / name).read_text())


def done(settings: EngineSettings) -> Run:
    """A whole run with all that there is to tell."""
    log, catalog = Engine(settings).read(orders({"ann": "abc", "bob": "abd"}))
    with tracked(settings, "evaluation") as run:
        run.data(log, catalog, ["a note"])
        run.epochs(CURVE)
        run.finish(RESULT)
    return run


def test_a_run_leaves_a_folder(tmp_path: Path) -> None:
    settings = settings_with(folder=tmp_path / "kept")
    folder = done(settings).folder
    assert folder is not None
    assert folder.parent == tmp_path / "kept"
    assert re.fullmatch(r"letters-evaluation-\d{8}T\d{6}Z-[0-9a-f]{4}", folder.name)
    assert {file.name for file in folder.iterdir()} == {
        "settings.json", "environment.json", "status.json", "data.json", "epochs.jsonl",
        "metrics.json", "evaluation.json",
    }  # fmt: skip
    assert EngineSettings.parse(read(folder, "settings.json")) == settings
    assert read(folder, "environment.json")["seeds"] == [0]
    assert read(folder, "metrics.json") == METRICS
    kept = read(folder, "evaluation.json")
    assert kept["systems"]["two-stage"] == RESULT["systems"]["two-stage"]  # type: ignore[index]
    assert kept["systems"]["als"] == {"ndcg@10": None}
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"run": 0, "epoch": 1, "train": 0.75, "held out": 0.5},
        {"run": 0, "epoch": 2, "train": 0.5, "held out": 0.25},
    ]
    status = read(folder, "status.json")
    assert status["status"] == "finished"
    assert status["started"] <= status["ended"]


def test_the_data_of_a_run_can_be_told_again(tmp_path: Path) -> None:
    settings = settings_with()
    said = read(done(settings).folder, "data.json")
    log, _ = Engine(settings).read(orders({"ann": "abc", "bob": "abd"}))
    assert said["log"]["sha256"] == of_log(log)
    assert (said["log"]["users"], said["log"]["items"], said["log"]["interactions"]) == (2, 4, 6)
    assert said["notes"] == ["a note"]


def broken_off(settings: EngineSettings, error: BaseException, *, result: bool = False) -> Run:
    """A fit that an error ended, before or after it had a result."""
    run = tracked(settings, "fit")

    def work() -> None:
        with run:
            assert read(run.folder, "status.json")["status"] == "running"
            if result:
                run.finish(RESULT)
            raise error

    with pytest.raises(type(error)):
        work()
    return run


@pytest.mark.parametrize(
    ("error", "word", "said"),
    [
        (DataError("nothing to score"), "failed", "DataError: nothing to score"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt: "),
        (Ended(15), "interrupted", "Ended: ended by SIGTERM"),
    ],
)
def test_the_status_tells_what_ended_a_run(error: BaseException, word: str, said: str) -> None:
    status = read(broken_off(settings_with(), error).folder, "status.json")
    assert (status["status"], status["error"]) == (word, said)


def test_a_run_whose_process_was_killed_is_told_by_the_next(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from recsys.run_folder import RunFolder, new_folder
from recsys.settings import EngineSettings
from recsys.trackers import About

folder = new_folder(Path(sys.argv[1]), "shop", "fit")
RunFolder(folder).start(About("shop", "fit", folder, EngineSettings(), (0,), {}))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    living = new_folder(tmp_path, "shop", "evaluation")
    RunFolder(living).start(About("shop", "evaluation", living, settings_with(), (0,), {}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "status.json").write_text("[1]")
    (killed,) = mark_abandoned(tmp_path)
    status = read(killed, "status.json")
    assert (status["status"], "was killed" in status["error"]) == ("interrupted", True)
    assert read(living, "status.json")["status"] == "running"
    assert mark_abandoned(tmp_path) == []


def test_what_goes_wrong_after_the_end_does_not_unmake_the_result() -> None:
    run = broken_off(settings_with(), BrokenPipeError(), result=True)
    assert read(run.folder, "status.json")["status"] == "finished"
    assert read(run.folder, "fit.json")["users"] == 2


def test_without_use_nothing_is_kept(tmp_path: Path) -> None:
    run = done(settings_with(use=False, mlflow="nowhere://at-all"))
    assert run.folder is None
    assert run.notes == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="keep none with --no-run"):
        tracked(settings_with(folder=tmp_path / "file"), "fit")


@pytest.mark.parametrize(
    ("name", "safe"), [("a/b c", "a-b-c"), ("../..", "engine"), ("ü", "engine")]
)
def test_any_name_makes_a_folder(name: str, safe: str, tmp_path: Path) -> None:
    folder = new_folder(tmp_path, name, "fit")
    assert folder.parent == tmp_path
    assert folder.name.startswith(f"{safe}-fit-")


def test_a_file_is_whole_or_as_before(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "one")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a.json", "two\ud800")
    assert (tmp_path / "a.json").read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_table_that_cannot_be_put_in_place_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "marks.parquet").mkdir()
    with pytest.raises(OSError, match=r"marks\.parquet"):
        RunFolder(tmp_path).table("marks", pl.DataFrame({"a": [1]}))
    assert [file.name for file in tmp_path.iterdir()] == ["marks.parquet"]


def test_plain_values() -> None:
    values = {1: (np.int64(2), math.inf), "path": Path("a"), "array": np.array([0.5, math.nan])}
    assert plain(values) == {"1": [2, None], "path": "a", "array": [0.5, None]}


def test_flat_metrics() -> None:
    assert flat(RESULT) == METRICS


def test_losses_of_several_runs_have_names_of_their_own() -> None:
    row = {"run": 1, "epoch": 3, "train": 0.5, "held out": 0.25}
    assert losses(row) == {"train/run_1": 0.5, "held_out/run_1": 0.25}


class Broken:
    """A tracker that fails at one thing."""

    name = "broken"

    def __init__(self, at: str) -> None:
        self.at, self.heard = at, list[str]()

    def start(self, about: Any) -> None:
        self._hear("start")

    def data(self, data: Mapping[str, Any]) -> None:
        self._hear("data")

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._hear("epoch")

    def finish(self, outcome: Outcome) -> None:
        self._hear("finish")

    def fail(self, reason: str) -> None:
        self._hear("fail")

    def _hear(self, verb: str) -> None:
        self.heard.append(verb)
        if verb == self.at:
            raise LookupError(f"no {verb}")


class Stopped(Broken):
    """A tracker during whose start somebody presses Ctrl-C."""

    def start(self, about: About) -> None:
        raise KeyboardInterrupt


def test_a_run_that_is_stopped_while_it_starts_is_interrupted(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "letters", "fit")
    about = About("letters", "fit", folder, settings_with(), (0,), {})
    with pytest.raises(KeyboardInterrupt), Run(about, [RunFolder(folder), Stopped("start")]):
        pass
    assert read(folder, "status.json")["status"] == "interrupted"


def test_no_folder_is_left_empty_by_what_comes_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("recsys.tracking.environment", stopped)
    with pytest.raises(KeyboardInterrupt):
        tracked(settings_with(folder=tmp_path / "runs"), "fit")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("at", ["start", "epoch", "finish"])
def test_a_tracker_that_fails_is_a_note_and_loses_nothing(at: str, tmp_path: Path) -> None:
    broken, folder = Broken(at), new_folder(tmp_path, "letters", "evaluation")
    about = About("letters", "evaluation", folder, settings_with(), (0,), {})
    with Run(about, [RunFolder(folder), broken]) as run:
        run.epochs(CURVE)
        run.finish(RESULT)
    assert broken.heard[-1] == at
    assert run.notes == [f"broken is told no more: LookupError: no {at}"]
    assert read(folder, "status.json")["notes"] == run.notes
    assert read(folder, "metrics.json") == METRICS


@pytest.mark.parametrize(
    ("asked", "module", "package"),
    [
        ({"tensorboard": True}, "torch.utils.tensorboard", "tensorboard"),
        ({"mlflow": "http://127.0.0.1:1"}, "mlflow", "mlflow"),
        ({"wandb": "shop"}, "wandb", "wandb"),
    ],
)
def test_what_is_asked_for_by_name_must_be_installed(
    asked: dict[str, Any], module: str, package: str, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(MissingDependency, match=rf"needs {package}.*recsys\[tracking\]"):
        tracked(settings_with(**asked), "fit")
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_is_no_must_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = done(settings_with(tensorboard="auto"))
    assert run.notes == []
    assert run.folder is not None
    assert not (run.folder / "tensorboard").exists()


def test_tensorboard_reads_the_event_files() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = done(settings_with(tensorboard="auto"))
    assert run.folder is not None
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert [(each.step, each.value) for each in events.Scalars("held_out/run_0")] == [
        (1, 0.5), (2, 0.25),
    ]  # fmt: skip
    assert events.Scalars("two-stage/ndcg@10")[0].value == 0.25


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of MLflow's; it neither complains of the folder nor reports its use."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return (tmp_path / "mlflow").as_uri()


def test_mlflow_holds_the_run(store: str) -> None:
    from mlflow import MlflowClient

    run = done(settings_with(mlflow=store))
    assert run.notes == []
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("letters")
    assert experiment is not None
    kept = client.search_runs([experiment.experiment_id])[0]
    assert run.folder is not None
    assert kept.info.run_name == run.folder.name
    assert kept.info.status == "FINISHED"
    assert kept.data.metrics["two-stage/ndcg_at_10"] == 0.25
    assert kept.data.params["evaluation.k"] == "10"
    assert kept.data.params["kind"] == "evaluation"
    assert kept.data.tags["data.log"] == read(run.folder, "data.json")["log"]["sha256"]
    history = client.get_metric_history(kept.info.run_id, "train/run_0")
    assert [(each.step, each.value) for each in history] == [(1, 0.75), (2, 0.5)]
    assert "evaluation.json" in {each.path for each in client.list_artifacts(kept.info.run_id)}


def test_mlflow_is_told_of_an_error(store: str) -> None:
    from mlflow import MlflowClient

    settings = settings_with(mlflow=store, mlflow_experiment="ours")
    broken_off(settings, DataError("nothing to score"))
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("ours")
    assert experiment is not None
    kept = client.search_runs([experiment.experiment_id])[0]
    assert kept.info.status == "FAILED"
    assert kept.data.tags["error"] == "DataError: nothing to score"


def test_a_store_that_mlflow_refuses_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    run = done(settings_with(mlflow=(tmp_path / "mlflow").as_uri()))
    assert len(run.notes) == 1
    assert run.notes[0].startswith("MLflow is told no more: MlflowException")
    assert read(run.folder, "metrics.json") == METRICS


def test_a_password_is_not_kept() -> None:
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_PASSWORD"):
        settings_with(mlflow="https://ann:secret@example.org/mlflow")


@pytest.fixture
def wandb_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B keeps what it caches in the test's folder."""
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "home"))


@pytest.mark.usefixtures("wandb_home")
def test_wandb_offline_writes_files(capfd: pytest.CaptureFixture[str]) -> None:
    import wandb

    run = done(settings_with(wandb="shop", wandb_mode="offline"))
    wandb.teardown()  # its own process writes the file, and is done only when it has ended
    assert run.notes == []
    assert run.folder is not None
    files = list((run.folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 1
    content = files[0].read_bytes()
    assert all(word in content for word in (b"two-stage/ndcg@10", b"held_out/run_0", b"sha256"))
    assert capfd.readouterr() == ("", "")


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command in this process."""

    def command(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(each) for each in arguments])
        return Ran(int(exit_.value.code or 0), *capsys.readouterr())

    return command


def test_a_fit_of_the_command_line_is_kept(run: Any, shop_folder: Path, tmp_path: Path) -> None:
    config = [shop_folder / "shop.toml", "--data-dir", shop_folder]
    assert run("fit", *config, "--out", tmp_path / "engine").code == Exit.OK
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("tiny-fit-")
    assert read(folder, "status.json")["status"] == "finished"
    assert read(folder, "fit.json")["users"] == 150
    assert read(folder, "data.json")["log"]["users"] == 150
    lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert (folder / "tensorboard").is_dir()


def test_an_evaluation_of_the_command_line_is_kept(
    run: Any, shop_folder: Path, tmp_path: Path
) -> None:
    config = [shop_folder / "shop.toml", "--data-dir", shop_folder, "--runs", tmp_path / "kept"]
    ran = run("evaluate", *config, "--seeds", "3,4", "--json", "result.json")
    assert ran.code == Exit.OK
    (folder,) = (tmp_path / "kept").iterdir()
    assert f"the run is in {folder}" in ran.out
    assert read(folder, "evaluation.json") == read(tmp_path, "result.json")
    assert read(folder, "environment.json")["seeds"] == [3, 4]
    lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert [(line["run"], line["epoch"]) for line in lines] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert "two-stage/ndcg@10" in read(folder, "metrics.json")
    marks = pl.read_parquet(folder / "positives.parquet")
    assert len(marks) == read(folder, "evaluation.json")["runs"][0]["protocol"]["positives"]
    settings = EngineSettings.parse(read(folder, "settings.json"))
    assert settings.tracking.folder == tmp_path / "kept"


def test_what_is_refused_before_any_work_leaves_no_folder(run: Any, tmp_path: Path) -> None:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user_id,item_id\na,1\n")
    items.write_text("item_id,name\n1,A\n")
    (tmp_path / "bad.toml").write_text(f"interactions.path = '{log}'\nranker.epochs = 0\n")
    known = "it has ['user_id', 'item_id']"
    ours = ["--interactions", log]
    for given, said in {
        ("--interactions", "no.csv"): "no file of the log matches no.csv",
        (*ours, "--item", "sku"): f"the log in {log} lacks the columns ['sku']; {known}",
        (
            *ours,
            "--items",
            items,
            "--title",
            "t",
        ): f"the catalogue in {items} lacks the columns ['t']; it has ['item_id', 'name']",
    }.items():
        for command in (["evaluate"], ["fit", "--out", tmp_path / "engine"]):
            ran = run(*command, *given)
            assert (ran.code, ran.err) == (Exit.DATA, f"recsys: {said}\n")
    assert run("evaluate", *ours, "--seeds", "3,3").code == Exit.USAGE
    assert run("evaluate", tmp_path / "bad.toml").code == Exit.USAGE
    assert {each.name for each in tmp_path.iterdir()} == {"log.csv", "items.csv", "bad.toml"}


def test_a_test_file_is_looked_at_where_it_will_be_read(run: Any, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\na,1\n")
    (tmp_path / "given.toml").write_text(
        """
        interactions.path = "log.csv"
        [evaluation]
        protocol = "given"
        test = { path = "log.csv", item = "sku" }
        """
    )
    assert "the log in log.csv lacks the columns ['sku']" in run("evaluate", "given.toml").err
    assert not (tmp_path / "runs").exists()


def test_a_failed_command_and_one_without_a_run(run: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id\n,1\n")
    assert run("evaluate", "--interactions", log, "--no-run").code == Exit.DATA
    assert list(tmp_path.iterdir()) == [log]
    ran = run("fit", "--interactions", log, "--out", tmp_path / "engine")
    assert ran.code == Exit.DATA
    (failed,) = (tmp_path / "runs").glob("log-fit-*")
    assert read(failed, "status.json")["status"] == "failed"
    assert "DataError: no row of the log is left" in read(failed, "status.json")["error"]
    assert ran.err.endswith(f"; the failed run is in {failed.relative_to(tmp_path)}\n")


def test_the_library_keeps_nothing_of_its_own_accord(tmp_path: Path) -> None:
    settings = ordered_settings()
    Engine(settings).fit(orders({"ann": "abc", "bob": "abd"}))
    assert list(tmp_path.iterdir()) == []


def test_vocabularies_with_unused_ids_are_counted_right(tmp_path: Path) -> None:
    settings = settings_with()
    log, catalog = Engine(settings).read(orders({"ann": "abc", "bob": "abd"}))
    half = log.where(log.user_rows == 0)
    assert len(half.users) == 2
    with tracked(settings, "fit") as run:
        run.data(half, catalog)
    assert read(run.folder, "data.json")["log"]["users"] == 1
