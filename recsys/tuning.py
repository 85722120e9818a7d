"""A search over the settings of the ranker that ends when its time is over."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recsys.evaluation.protocols import read_test, windows
from recsys.features.errors import MissingDependency, SettingsError, TrainingError
from recsys.fitting import Progress, silent
from recsys.parts import make_ranker
from recsys.ranking.compression import ndcg
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.training import held_out
from recsys.settings import EngineSettings, Table

if TYPE_CHECKING:
    from pathlib import Path

    from recsys.engine import Engine
    from recsys.features.catalog import Catalog
    from recsys.features.interactions import Interactions

_VALIDATION = 0.25  # of the users: their lists choose the settings, and no trial learns from them
_WIDTHS = {"16": (16,), "32": (32,), "64-32": (64, 32), "128-64": (128, 64), "256-64": (256, 64)}
_BATCHES = (32, 64, 128, 256)


@dataclass(frozen=True)
class Search:
    """What was tried on the same lists, and the best of it."""

    ranker: Table  # the settings that were best
    ndcg: float  # @10 on the lists of the validation
    ndcg_before: float  # by the settings that were given
    trials: list[dict[str, Any]]  # in their order, each with its settings, ndcg and seconds

    @property
    def is_better(self) -> bool:
        """Whether any trial was better than the given settings."""
        return self.ndcg > self.ndcg_before

    def settings(self, given: EngineSettings) -> EngineSettings:
        """The settings of an engine with those of the best ranker."""
        return given.model_copy(update={"ranker": {**given.ranker, **self.ranker}})


def lists_of_the_past(
    engine: "Engine", log: "Interactions", catalog: "Catalog",
    data_dir: "Path | None" = None, progress: Progress = silent,
) -> TrainingLists:  # fmt: skip
    """What a ranker learns from when an evaluation fits it: nothing of any test part is seen.

    Of several windows that is the first, whose past lies in that of all others.
    """
    settings = engine.settings
    test = read_test(settings, data_dir)
    first = next(windows(log, settings.evaluation, test))
    return engine.training_lists(first.moment.past, catalog, progress=progress)


def search(
    lists: TrainingLists, settings: EngineSettings, minutes: float, most: int | None = None,
    progress: Progress = silent,
) -> Search:  # fmt: skip
    """Try settings of the ranker for so many minutes, or `most` trials, by Optuna's TPE.

    The given settings are tried first. Each trial is judged by NDCG@10 on the lists of users that
    none learns from; one that runs when the time is over counts for nothing. Raises TrainingError
    where not even the first trial is done by then, or what the first one raised.
    """
    optuna = _optuna()
    if not minutes > 0:
        raise SettingsError(f"minutes must be above 0; got {minutes}")
    given = replace(make_ranker(settings), checkpoint=None, compression="none")
    learnt, validation = parted(lists, given.seed)
    end = time.monotonic() + 60 * minutes

    def judged(trial: Any) -> float:
        def go_on(share: float) -> None:
            progress(f"trial {trial.number + 1}", share)
            if time.monotonic() > end:
                raise optuna.TrialPruned

        ranker = replace(given, **_drawn(trial)) if trial.number else replace(given)
        try:
            ranker.fit(learnt, go_on)
        except TrainingError:
            if not trial.number:
                raise
            raise optuna.TrialPruned from None
        scores = ranker.scores(validation.features[:], validation.names, validation.filled)
        return ndcg(scores, validation.labels)

    sampler = optuna.samplers.TPESampler(seed=settings.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(judged, n_trials=most, timeout=60 * minutes)
    trials = list(_told(study, given))
    done = [trial for trial in trials if trial["ndcg"] is not None]
    if not done or done[0]["number"] != 1:
        raise TrainingError(f"the given settings were not tried to the end in {minutes} minutes")
    best = max(done, key=lambda trial: trial["ndcg"])
    return Search(best["settings"], best["ndcg"], done[0]["ndcg"], trials)


def parted(lists: TrainingLists, seed: int) -> tuple[TrainingLists, TrainingLists]:
    """Lists to learn from, and those of the users of the validation.

    They are drawn by a lottery of their own: in that of the rankers with this seed the learners
    would be those with high numbers, of whom a ranker holds out those with low ones.
    """
    if len(lists) < 3:
        raise TrainingError(f"at least 3 lists are needed to choose settings by; got {len(lists)}")
    learnt, validation = held_out(lists, NeuralRanker(held_out=_VALIDATION, seed=seed + 1))
    return lists.take(learnt), lists.take(validation)


def _drawn(trial: Any) -> Table:
    return {
        "hidden": _WIDTHS[trial.suggest_categorical("hidden", list(_WIDTHS))],
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "epochs": trial.suggest_int("epochs", 4, 30),
        "batch": trial.suggest_categorical("batch", _BATCHES),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
    }


def _told(study: Any, given: NeuralRanker) -> Iterator[dict[str, Any]]:
    """Each trial; those that failed or ran out of time have no NDCG."""
    names = ("hidden", "dropout", "epochs", "batch", "learning_rate", "weight_decay")
    first = {name: getattr(given, name) for name in names}
    for trial in study.trials:
        drawn = {**trial.params, "hidden": _WIDTHS[trial.params["hidden"]]} if trial.params else {}
        yield {
            "number": trial.number + 1,
            "settings": drawn or first,
            "ndcg": trial.value,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
        }


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingDependency(
            "a search over settings needs Optuna: pip install 'recsys[search]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
