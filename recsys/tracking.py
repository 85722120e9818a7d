"""A run of an engine, a fit or an evaluation, and those who are told of it."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
import polars as pl

from recsys.environment import environment
from recsys.features.catalog import Catalog
from recsys.features.interactions import Interactions
from recsys.fingerprint import described
from recsys.run_folder import RunFolder, mark_abandoned, new_folder
from recsys.settings import EngineSettings
from recsys.trackers import About, Outcome, Tracker, trackers


def tracked(settings: EngineSettings, kind: str, seeds: Sequence[int] = ()) -> "Run":
    """A run of these settings, to be used as a context; `kind` is "fit" or "evaluation".

    The library keeps nothing of its own accord; this is how the command line does, and how a
    program can:

        engine = Engine(settings)
        log, catalog = engine.read()
        with tracked(settings, "fit") as run:
            run.data(log, catalog, engine.notes)
            engine.fit(log, catalog)
            run.epochs(engine.learnt.fitted.ranker.curve_)
            run.finish({"users": len(engine.users)})
        print(run.folder)

    Leaving the context after an error says so in the run's status, and where the run is in a note
    of the error. Raises SettingsError where no folder can be made, and MissingDependency where a
    tracker that settings name is not installed.
    """
    if not settings.tracking.use:
        return Run(None, [])
    told = trackers(settings.tracking, settings.name)
    chosen, around = tuple(seeds) or (settings.seed,), environment()
    mark_abandoned(settings.tracking.folder)
    folder = new_folder(settings.tracking.folder, settings.name, kind)  # last: none stays empty
    about = About(settings.name, kind, folder, settings, chosen, around)
    return Run(about, [RunFolder(folder), *told])


class Run:
    """One run. What a tracker raises is a note and the end of that tracker, never of the run."""

    def __init__(self, about: About | None, told: Sequence[Tracker]) -> None:
        self._about, self._told = about, list(told)
        self._ended = False
        self.notes: list[str] = []
        """Trackers that failed, and why."""

    @property
    def folder(self) -> Path | None:
        """The run folder; None where no run is kept."""
        return None if self._about is None else self._about.folder

    def data(self, log: Interactions, catalog: Catalog, notes: Iterable[str] = ()) -> None:
        """Tell of the tables that were read; they are fingerprinted where somebody listens."""
        if self._told:
            data = {**described(log, catalog), "notes": list(notes)}
            self._tell(lambda tracker: tracker.data(data))

    def epochs(self, curve: Iterable[Mapping[str, Any]]) -> None:
        """Tell of the losses of each epoch; `run` and `epoch` may stand in a row already."""
        for number, losses in enumerate(curve, 1):
            row = {"run": 0, "epoch": number, **losses}
            self._tell(lambda tracker, row=row: tracker.epoch(row))  # type: ignore[misc]

    def table(self, name: str, table: pl.DataFrame) -> None:
        """Keep a table in the run folder, as <name>.parquet; no service is told of it."""
        self._tell(lambda folder: cast(RunFolder, folder).table(name, table), only=RunFolder)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Tell of the result; its numbers, flat, are the metrics of the run."""
        self._ended = True
        outcome, before = Outcome(flat(result), result, self.notes), len(self.notes)
        self._tell(lambda tracker: tracker.finish(outcome))
        if len(self.notes) > before:  # the folder, told first, shall hold these notes too
            self._tell(lambda tracker: tracker.finish(outcome), only=RunFolder)

    def __enter__(self) -> Self:
        about = self._about
        if about is not None:
            try:
                self._tell(lambda tracker: tracker.start(about))
            except BaseException as error:  # Ctrl-C while a service is reached
                self._fail(error)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended:
            return
        if error is None:
            self.finish({})
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Tell what ended the run: a run that failed is kept, so that it can be looked into."""
        reason = f"{type(error).__name__}: {error}"
        self._tell(lambda tracker: tracker.fail(reason))
        if not isinstance(error, Exception):  # Ctrl-C, or a signal that ends the command
            self._tell(lambda folder: cast(RunFolder, folder).interrupt(reason), only=RunFolder)
        if self.folder is not None:
            error.add_note(f"the failed run is in {self.folder}")

    def _tell(self, tell: Callable[[Tracker], None], only: type = object) -> None:
        for tracker in [each for each in self._told if isinstance(each, only)]:
            shield = _Shield()
            with shield:
                tell(tracker)
            if shield.error is not None:
                self._told.remove(tracker)
                kind = type(shield.error).__name__
                self.notes.append(f"{tracker.name} is told no more: {kind}: {shield.error}")


class _Shield:
    """A context that holds any error back: what a service raises must not cost an evaluation.

    The errors of MLflow and of W&B are of no one family, so that none can be named here.
    """

    error: Exception | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):  # Ctrl-C goes through
            self.error = error
        return self.error is not None


def flat(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a result under the path to each; those of lists are left out.

    A metric of a system stands under its name: {"two-stage/ndcg@10": 0.1, "fit_seconds": 3.2}.
    """
    return {
        path.removeprefix("systems/"): float(value)
        for path, value in _leaves(result, "")
        if isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def _leaves(values: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{name}/")
        else:
            yield f"{place}{name}", value
