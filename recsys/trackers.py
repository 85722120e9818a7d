"""Services and files that runs can be kept in: TensorBoard, MLflow, Weights & Biases."""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from recsys.features.errors import MissingDependency
from recsys.settings import EngineSettings, TrackingSettings

_BATCH = 100  # values that MLflow takes at once (its REST interface allows no more parameters)
_LONGEST = 500  # characters of a parameter that every store of MLflow takes
_REPORTING = "WANDB_ERROR_REPORTING"


@dataclass(frozen=True)
class About:
    """What is known of a run before any work."""

    name: str
    kind: str  # "fit" or "evaluation"
    folder: Path  # the run folder, which exists
    settings: EngineSettings
    seeds: Sequence[int]
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came out of a run."""

    metrics: Mapping[str, float]  # flat and finite, such as "two-stage/ndcg@10"
    result: Mapping[str, Any]
    notes: Sequence[str]  # what trackers that failed had to say


class Tracker(Protocol):
    """One that is told of a run as it goes. After the first error it is told no more."""

    name: str

    def start(self, about: About) -> None:
        """A run begins."""

    def data(self, data: Mapping[str, Any]) -> None:
        """The tables are read: fingerprints, counts, notes."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """The losses of one epoch, with its number from 1 and that of its run from 0."""

    def finish(self, outcome: Outcome) -> None:
        """The run came to its end."""

    def fail(self, reason: str) -> None:
        """An error ended the run."""


def trackers(settings: TrackingSettings, name: str) -> list[Tracker]:
    """The trackers that settings ask for, beside the run folder.

    Raises MissingDependency where one that is named is not installed.
    """
    found: list[Tracker] = []
    if settings.tensorboard is True:
        found.append(TensorBoard())
    elif settings.tensorboard == "auto":
        found.extend(_tensorboard_if_installed())
    if settings.mlflow is not None:
        found.append(Mlflow(settings.mlflow, settings.mlflow_experiment or name))
    if settings.wandb is not None:
        found.append(WeightsAndBiases(settings.wandb, settings.wandb_mode))
    return found


class TensorBoard:
    """Event files in the folder `tensorboard` of the run folder."""

    name = "TensorBoard"

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard", "tracking.tensorboard = true") from error
        self._make = SummaryWriter

    def start(self, about: About) -> None:
        self._writer = self._make(str(about.folder / "tensorboard"))

    def data(self, data: Mapping[str, Any]) -> None:
        """Event files have no place for it."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        for name, value in losses(row).items():
            self._writer.add_scalar(name, value, int(row["epoch"]))

    def finish(self, outcome: Outcome) -> None:
        for name, value in outcome.metrics.items():
            self._writer.add_scalar(name, value, 0)
        self._writer.close()

    def fail(self, reason: str) -> None:
        self._writer.add_text("error", reason)
        self._writer.close()


class Mlflow:
    """A run of an experiment in the store that a tracking URI names.

    The client tries a server that does not answer for minutes before it gives up: the variable
    MLFLOW_HTTP_REQUEST_MAX_RETRIES says how often. A folder as a store wants
    MLFLOW_ALLOW_FILE_STORE=true, a database the full package `mlflow`.
    """

    name = "MLflow"

    def __init__(self, uri: str, experiment: str) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise _missing("mlflow", "tracking.mlflow") from error
        self._make, self._uri, self._experiment = MlflowClient, uri, experiment

    def start(self, about: About) -> None:
        from mlflow.entities import Param

        self._client = self._make(tracking_uri=self._uri)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = (
            known.experiment_id if known else self._client.create_experiment(self._experiment)
        )
        self._id = self._client.create_run(experiment, run_name=about.folder.name).info.run_id
        self._folder = about.folder
        values = {**settings_of(about), "kind": about.kind, "commit": about.environment["commit"]}
        params = [Param(_key(name), str(value)[:_LONGEST]) for name, value in values.items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(self._id, params=params[start : start + _BATCH])

    def data(self, data: Mapping[str, Any]) -> None:
        for name in ("log", "catalogue"):
            self._client.set_tag(self._id, f"data.{name}", data[name]["sha256"])

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._log(losses(row), int(row["epoch"]))

    def finish(self, outcome: Outcome) -> None:
        self._log(outcome.metrics, 0)
        for file in sorted(self._folder.glob("*.json*")):
            self._client.log_artifact(self._id, str(file))
        self._client.set_terminated(self._id, "FINISHED")

    def fail(self, reason: str) -> None:
        self._client.set_tag(self._id, "error", reason[:_LONGEST])
        self._client.set_terminated(self._id, "FAILED")

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_key(name), value, now, step) for name, value in values.items()]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._id, metrics=metrics[start : start + _BATCH])


class WeightsAndBiases:
    """A run of a project; with the mode "offline" no network is used."""

    name = "Weights & Biases"

    def __init__(self, project: str, mode: Literal["online", "offline"]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb", "tracking.wandb") from error
        self._wandb, self._project, self._mode = wandb, project, mode

    def start(self, about: About) -> None:
        quiet = self._wandb.Settings(
            silent=True, console="off", reinit="create_new", disable_git=True, x_disable_stats=True
        )
        with _no_error_reports(self._mode == "offline"):
            self._run = self._wandb.init(
                project=self._project,
                name=about.folder.name,
                job_type=about.kind,
                mode=self._mode,
                dir=str(about.folder),
                config={**settings_of(about), "environment": dict(about.environment)},
                settings=quiet,
            )

    def data(self, data: Mapping[str, Any]) -> None:
        self._run.config.update({"data": dict(data)})  # type: ignore[no-untyped-call]

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._run.log({**losses(row), "epoch": int(row["epoch"])})

    def finish(self, outcome: Outcome) -> None:
        self._run.summary.update(dict(outcome.metrics))
        self._run.finish(exit_code=0)

    def fail(self, reason: str) -> None:
        self._run.summary.update({"error": reason})
        self._run.finish(exit_code=1)


def losses(row: Mapping[str, Any]) -> dict[str, float]:
    """What trackers call the losses of one epoch, by run: {"train/run_0": 0.5}."""
    place = "_".join(f"{name}_{row[name]}" for name in ("run", "window") if name in row)
    return {
        f"{name.replace(' ', '_')}/{place or 'run_0'}": value
        for name, value in row.items()
        if isinstance(value, float)
    }


def settings_of(about: About) -> dict[str, Any]:
    """The settings of a run, flat, under dotted names."""
    return dict(_dotted(about.settings.model_dump(mode="json")))


def _dotted(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _key(name: str) -> str:
    """A name that MLflow takes: "ndcg@10" is "ndcg_at_10"."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))


def _tensorboard_if_installed() -> list[Tracker]:
    try:
        return [TensorBoard()]
    except MissingDependency:
        return []


def _missing(package: str, setting: str) -> MissingDependency:
    return MissingDependency(
        f"{setting} needs {package}, which cannot be imported; pip install 'recsys[tracking]'"
    )


@contextmanager
def _no_error_reports(wanted: bool) -> Iterator[None]:
    """Keep the process that W&B starts from looking for a host to report its own errors to.

    It does so in its offline mode too (0.31), unless this variable stands in its environment.
    """
    if not wanted or _REPORTING in os.environ:
        yield
        return
    os.environ[_REPORTING] = "false"
    try:
        yield
    finally:
        del os.environ[_REPORTING]
