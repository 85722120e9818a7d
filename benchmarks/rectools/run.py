"""Fit one model of RecTools and write its lists. Runs in the environment that environment.py makes.

    python run.py FOLDER --model two-stage|sasrec [--k 10] [--threads 2] [--settings JSON]

Reads from FOLDER train.parquet (user_id, item_id, weight, position, and time where it is known, in
microseconds), users.parquet (user_id) and, where there is one, excluded.parquet (user_id, item_id):
pairs not to be offered beyond those that were seen. Writes lists.parquet (user_id, item_id, rank
from 1) and timing.json. It imports nothing of recsys, which needs a newer numpy.
"""

import argparse
import json
import logging
import os
import platform
import statistics
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning
import torch
from catboost import CatBoostRanker
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import LastNSplitter, TimeRangeSplitter
from rectools.models import (
    ImplicitALSWrapperModel,
    ImplicitItemKNNWrapperModel,
    PopularModel,
    SASRecModel,
)
from rectools.models.base import ModelBase
from rectools.models.ranking import (
    CandidateGenerator,
    CandidateRankingModel,
    CatBoostReranker,
    PerUserNegativeSampler,
)

Settings = dict[str, Any]

DEFAULTS: dict[str, Settings] = {
    "two-stage": {
        "factors": 128,
        "regularization": 0.1,
        "alpha": 10.0,
        "iterations": 15,
        "neighbours": 100,
        "candidates": 100,  # of each of the three sources
        "negatives": 10,  # per user, for the ranker
        "trees": 500,
        "learning_rate": 0.05,
        "depth": 6,
        "loss": "YetiRank",
        "holdout": "last",  # what the ranker learns from: each user's last event, or "30D" of time
        "seed": 0,
    },
    "sasrec": {
        "n_blocks": 2,
        "n_heads": 2,
        "n_factors": 64,
        "dropout_rate": 0.2,
        "session_max_len": 50,
        "loss": "sampled_softmax",  # over all of 3,416 items it takes 3 times, of 12,101 10
        "n_negatives": 64,
        "lr": 0.001,
        "batch_size": 32,
        "epochs": 20,
        "seed": 0,
    },
}
ASKED_ALONE = 50  # users of whom the latency is taken


def main() -> None:
    options = _options()
    settings = _settings(options.model, options.settings)
    _quiet()
    torch.set_num_threads(options.threads)
    pytorch_lightning.seed_everything(settings["seed"], verbose=False)
    train = pd.read_parquet(options.folder / "train.parquet")
    users = pd.read_parquet(options.folder / "users.parquet")[Columns.User].to_numpy()
    excluded = _excluded(options.folder / "excluded.parquet")
    dataset = Dataset.construct(_dated(train, settings.get("holdout", "last")))
    model = _model(options.model, settings, options.threads)

    def recommend(asked: Any) -> pd.DataFrame:
        return _recommend(model, dataset, asked, options.k, excluded)

    fit = _timed(lambda: model.fit(dataset))
    all_lists: list[pd.DataFrame] = []
    every = _timed(lambda: all_lists.append(recommend(users)))
    alone = [_timed(lambda i=i: recommend(users[i : i + 1])) for i in _spread(len(users))]
    all_lists[0].to_parquet(options.folder / "lists.parquet", index=False)
    timing = {
        "model": options.model,
        "settings": settings,
        "threads": options.threads,
        "users": len(users),
        "fit_seconds": fit["wall"],
        "fit_cpu_seconds": fit["cpu"],
        "seconds": every["wall"],
        "cpu_seconds": every["cpu"],
        "users_per_second": len(users) / every["wall"],
        "one_user_p50_seconds": statistics.median(one["wall"] for one in alone),
        "peak_gb": _peak_gb(),
        "versions": _versions(),
    }
    (options.folder / "timing.json").write_text(json.dumps(timing, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=DEFAULTS, required=True)
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON over the defaults")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def _settings(model: str, changes: Settings) -> Settings:
    unknown = sorted(changes.keys() - DEFAULTS[model].keys())
    if unknown:
        raise SystemExit(f"settings of {model} are {sorted(DEFAULTS[model])}; unknown: {unknown}")
    return DEFAULTS[model] | changes


def _quiet() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def _dated(train: pd.DataFrame, holdout: str) -> pd.DataFrame:
    """The log as RecTools wants it; its dates are made of positions unless the holdout is of time.

    Only their order counts then: positions are exact where times are tied or unknown.
    """
    if holdout == "last":
        dates = pd.to_datetime(train["position"], unit="s")
    elif "time" in train:
        dates = pd.to_datetime(train["time"], unit="us")
    else:
        raise SystemExit(f"a holdout of {holdout} needs times; train.parquet has none")
    columns = train[[Columns.User, Columns.Item, Columns.Weight]]
    return columns.assign(**{Columns.Datetime: dates.astype("datetime64[ns]")})


def _excluded(path: Path) -> pd.DataFrame | None:
    return pd.read_parquet(path)[Columns.UserItem] if path.exists() else None


def _model(name: str, settings: Settings, threads: int) -> ModelBase:
    if name == "two-stage":
        return _two_stage(settings, threads)
    return SASRecModel(**{key: value for key, value in settings.items() if key != "seed"})


def _two_stage(settings: Settings, threads: int) -> CandidateRankingModel:
    """ALS, item-kNN and popular candidates; CatBoost orders them by their scores and ranks."""
    holdout = settings["holdout"]
    als = AlternatingLeastSquares(
        factors=settings["factors"],
        regularization=settings["regularization"],
        alpha=settings["alpha"],
        iterations=settings["iterations"],
        num_threads=threads,
        random_state=settings["seed"],
    )
    knn = CosineRecommender(K=settings["neighbours"], num_threads=threads)
    sources = (ImplicitALSWrapperModel(als), ImplicitItemKNNWrapperModel(knn), PopularModel())
    return CandidateRankingModel(
        [
            CandidateGenerator(
                source, num_candidates=settings["candidates"], keep_ranks=True, keep_scores=True
            )
            for source in sources
        ],
        splitter=LastNSplitter(1) if holdout == "last" else TimeRangeSplitter(holdout),
        reranker=CatBoostReranker(_ranker(settings, threads)),
        sampler=PerUserNegativeSampler(settings["negatives"], random_state=settings["seed"]),
    )


def _ranker(settings: Settings, threads: int) -> CatBoostRanker:
    return CatBoostRanker(
        iterations=settings["trees"],
        learning_rate=settings["learning_rate"],
        depth=settings["depth"],
        loss_function=settings["loss"],
        thread_count=threads,
        random_seed=settings["seed"],
        allow_writing_files=False,
        verbose=False,
    )


def _recommend(
    model: ModelBase, dataset: Dataset, users: Any, k: int, excluded: pd.DataFrame | None
) -> pd.DataFrame:
    """The best `k` of each user (user_id, item_id, rank): nothing seen, nothing excluded.

    RecTools has no exclusion of pairs, so longer lists are asked for and then thinned.
    """
    if excluded is not None:
        excluded = excluded[excluded[Columns.User].isin(users)]
    more = 0 if excluded is None or excluded.empty else excluded[Columns.User].value_counts().max()
    lists = model.recommend(
        users, dataset, k=int(k + more), filter_viewed=True, on_unsupported_targets="ignore"
    )
    if more:
        marked = lists.merge(excluded, on=Columns.UserItem, how="left", indicator=True)
        lists = marked[marked["_merge"] == "left_only"]
        lists = lists.sort_values([Columns.User, Columns.Rank]).groupby(Columns.User).head(k)
        lists[Columns.Rank] = lists.groupby(Columns.User).cumcount() + 1
    return lists[[*Columns.UserItem, Columns.Rank]]


def _timed(work: Any) -> dict[str, float]:
    """Wall and CPU seconds, those of threads and finished children included."""
    wall, cpu = time.perf_counter(), os.times()
    work()
    now = os.times()
    return {"wall": time.perf_counter() - wall, "cpu": sum(now[:4]) - sum(cpu[:4])}


def _peak_gb() -> float:
    """The most memory held so far; `ru_maxrss` would begin with the peak of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024**2


def _spread(users: int) -> list[int]:
    asked = min(ASKED_ALONE, users)
    return [i * users // asked for i in range(asked)]


def _versions() -> dict[str, str]:
    names = ("RecTools", "torch", "catboost", "pm-implicit", "numpy", "pandas")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


if __name__ == "__main__":
    main()
