"""Items that nobody has had yet: found by their text, by the encoder as it is and as it is tuned.

    python -m benchmarks.cold --data amazon-beauty|online-retail --data-dir ../shared/data
        [--folds 0 1 2] [--json FILE]

The items with at least 5 events are dealt into ten folds by chance. A fold's items are cold: all
their events are taken out of the log that everything learns from. Who had one is asked by what they
had before the first of them; all cold items they had from then on are to be found, among all items.
Fold 9 is for choosing settings, and is none that is reported.

Popularity knows no cold item: by construction it finds none. "popular, with hindsight" counts the
cold items' own events besides, which nobody has at that moment; "chance" is k items by lot.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import data_set
from benchmarks.machine import machine
from benchmarks.measure import write_results
from recsys.evaluation.certainty import Bootstrap, interval
from recsys.features.arrays import Array, Floats, Mask
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.text import TextEncoder
from recsys.learning import moment
from recsys.policy import Policy
from recsys.ranking.lists import Chosen
from recsys.retrieval.content import Content
from recsys.retrieval.popular import Popular
from recsys.retrieval.retriever import Retriever
from recsys.retrieval.text_tuning import TextTuning

SETS = ("amazon-beauty", "online-retail")
LEAST, PARTS, K = 5, 10, 100
FROZEN, TUNED, POPULAR, HINDSIGHT = "frozen", "tuned", "popular", "popular, with hindsight"
_BLOCK = 1024


@dataclass(frozen=True)
class Fold:
    """What is known without the cold items, and who is asked for them."""

    known: Interactions
    whole: Interactions
    histories: Histories  # (b,)
    chosen: Chosen  # (b,) the cold items to be found


def main() -> None:
    options = _options()
    log, catalog, _ = data_set(options.data).load(options.data_dir)
    tuning = TextTuning(**dict(_chosen_settings(options)))
    folds = [_measured(log, catalog, number, tuning, options) for number in options.folds]
    results = summary(folds, len(log.users))
    results |= {"data": options.data, "k": K, "folds": list(options.folds)}
    results |= {"items": len(catalog), "tuning": vars_of(tuning)}
    _show(results)
    if options.json:
        write_results(options.json, {**machine(), **results})


def cold_items(log: Interactions, number: int, seed: int = 0) -> Mask:
    """(items,) the items of one fold."""
    eligible = np.flatnonzero(log.item_counts >= LEAST)
    dealt = np.random.default_rng(seed).permutation(eligible)
    cold = np.zeros(len(log.items), bool)
    cold[dealt[number::PARTS]] = True
    return cold


def fold_of(log: Interactions, cold: Mask) -> Fold:
    """Each user's events before their first cold one, and the cold ones from then on."""
    is_cold = cold[log.item_rows]
    position = np.arange(len(log))
    first = np.full(len(log.users), len(log))
    np.minimum.at(first, log.user_rows[is_cold], position[is_cold])
    before = log.where(position < first[log.user_rows])
    asked = moment(before, log.where(is_cold))
    return Fold(log.where(~is_cold), log, asked.histories, asked.chosen)


def recall(source: Retriever, fold: Fold, policy: Policy) -> Floats:
    """(b,) the share of each user's cold items among the best k, of at most k."""
    sums = []
    for start in range(0, len(fold.histories), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(fold.histories)))
        histories, chosen = fold.histories.take(block), fold.chosen.take(block)
        found = source.retrieve(histories, K, policy.allowed(histories))
        hits = (chosen.labels(found) > 0).sum(axis=1)
        sums.append(hits / np.minimum(np.diff(chosen.offsets), K))
    return np.concatenate(sums).astype(np.float32)


def summary(folds: list[dict[str, Any]], users: int) -> dict[str, Any]:
    """Means over the questions of all folds, with intervals over users."""
    names = list(folds[0]["recall"])
    sums, counts = np.zeros((users, len(names))), np.zeros((users, len(names)))
    for fold in folds:
        sums[fold["users"]] += np.stack([fold["recall"][name] for name in names], axis=1)
        counts[fold["users"]] += 1
    asked = counts[:, 0] > 0
    draws = Bootstrap(int(asked.sum())).ratios(sums[asked], counts[asked])
    means = sums.sum(axis=0) / counts.sum(axis=0)
    gain = draws[:, [names.index(TUNED)]] - draws[:, [names.index(FROZEN)]]
    return {
        "questions": int(counts[:, 0].sum()),
        "users": int(asked.sum()),
        "recall": dict(zip(names, means.tolist(), strict=True)),
        "intervals": _ends(names, draws),
        "gain": float(means[names.index(TUNED)] - means[names.index(FROZEN)]),
        "gain_interval": _ends([TUNED], gain)[TUNED],
        "by_fold": [
            {name: float(each.mean()) for name, each in fold["recall"].items()} for fold in folds
        ],
        "tuning_cpu_s": [fold["tuning_cpu_s"] for fold in folds],
    }


def vars_of(tuning: TextTuning) -> dict[str, Any]:
    """The settings of a tuning by name."""
    return {each.name: getattr(tuning, each.name) for each in fields(tuning)}


def _measured(
    log: Interactions, catalog: Catalog, number: int, tuning: TextTuning, options: Any
) -> dict[str, Any]:
    cold = cold_items(log, number)
    fold = fold_of(log, cold)
    policy = Policy.of(catalog.offered(), log.events, data_set(options.data).settings.events)
    encoder = TextEncoder(device="cpu")
    started = time.process_time()
    tuned = tuning.fit(encoder, catalog.texts(), fold.known)
    spent = time.process_time() - started
    found = {
        name: recall(source, fold, policy)
        for name, source in _sources(fold, catalog, encoder, tuned)
    }
    found["chance"] = np.full(len(fold.histories), K / len(catalog), np.float32)
    shown = ", ".join(f"{name} {values.mean():.4f}" for name, values in found.items())
    print(f"fold {number}: {len(fold.histories):,} users; {shown}; {spent:.0f} CPU-s", flush=True)
    return {"users": fold.histories.users, "recall": found, "tuning_cpu_s": spent}


def _sources(
    fold: Fold, catalog: Catalog, encoder: TextEncoder, tuned: TextEncoder
) -> Iterator[tuple[str, Retriever]]:
    for name, each in ((FROZEN, encoder), (TUNED, tuned)):
        vectors: Array = each.embed(catalog.texts())
        yield name, Content().fit(fold.known, catalog.with_vectors("text", vectors))
    yield POPULAR, Popular().fit(fold.known, catalog)
    yield HINDSIGHT, Popular().fit(fold.whole, catalog)


def _show(results: dict[str, Any]) -> None:
    print(f"{results['data']}: recall@{K} of {results['questions']:,} questions")
    for name, value in results["recall"].items():
        low, high = results["intervals"][name]
        print(f"  {name:26} {value:.4f}  ({low:.4f} to {high:.4f})")
    low, high = results["gain_interval"]
    print(f"  tuned less frozen          {results['gain']:+.4f}  ({low:+.4f} to {high:+.4f})")


def _ends(names: list[str], draws: Array) -> dict[str, list[float]]:
    low, high = interval(draws)
    return {name: [float(low[i]), float(high[i])] for i, name in enumerate(names)}


def _chosen_settings(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Settings of the tuning that the command line gives, such as --set rank=8."""
    kinds = {each.name: type(each.default) for each in fields(TextTuning)}
    for each in options.set:
        name, _, value = each.partition("=")
        yield name, kinds[name](value)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=SETS, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2], help="9 is validation")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the tuning: rank=8 ...")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
