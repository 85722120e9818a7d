"""The engine and its peers through one split and one set of metrics.

    python -m benchmarks peers --data-dir ../shared/data
    python -m benchmarks.comparison --data ml-1m --data-dir DIR [--systems als ease] [--fresh]

Every system runs in a process of its own, one after the other, and leaves its lists in `.bench/`;
a system whose lists are there for the same settings, data and code is not run again (--fresh: all
are), and one that failed is not scored.
All lists are then scored together: the same users, the same metrics, intervals over users, paired
tests against the engine, and how far each is from its published figure.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestant import CONFIGS, OURS, RECTOOLS, held_out, settings_of
from benchmarks.datasets import SETS
from benchmarks.machine import machine
from benchmarks.measure import write_results
from benchmarks.peers import PEERS
from benchmarks.versions import CODE, state
from recsys.evaluation.certainty import Bootstrap, compare, in_words, interval
from recsys.evaluation.evaluate import lengths
from recsys.evaluation.held import Held
from recsys.evaluation.yardstick import Values, Yardstick
from recsys.features.arrays import PAD, Rows
from recsys.features.errors import DataError
from recsys.settings import EngineSettings

HERE = Path(__file__).parent
WORK = HERE.parent / ".bench"

EVERYBODY = (OURS, *PEERS, *RECTOOLS)
CONTESTS: Mapping[str, tuple[str, ...]] = {
    "amazon-beauty": EVERYBODY,
    "ml-1m": EVERYBODY,
    "gowalla": (OURS, "popularity", "knn", "als", "ease"),
}
"""Who is compared on what: RecTools' rankers want an order in time, which gowalla's split lacks.
Our sources alone on gowalla are those of `benchmarks.retrieval`."""

PUBLISHED = tomllib.loads((HERE / "published.toml").read_text(encoding="utf8"))
"""Per data set and system the figures to reproduce, with their source."""


def main() -> None:
    options = _options()
    data, names = options.data, CONTESTS[options.data]
    settings = EngineSettings.from_toml(CONFIGS / f"{data}.toml")
    chosen = [name for name in names if name in options.systems]
    failed = [name for name in chosen if not _run(data, name, options)]
    held = held_out(settings, options.data_dir).held
    there = [name for name in names if _done(_folder(data, name)) == _key(data, name)]
    results = scored(held, settings, {name: _lists(data, name) for name in there})
    for name in there:
        results["systems"][name] |= _cost(data, name)
    results |= {"data": data, "failed": failed, **machine()}
    results |= _against_published(data, results["systems"])
    if options.json is not None:
        write_results(options.json, results)
    for line in _lines(results):
        print(line, flush=True)
    if failed:
        sys.exit(f"failed on {data}: {', '.join(failed)}")


def scored(held: Held, settings: EngineSettings, lists: Mapping[str, Rows]) -> dict[str, Any]:
    """Metrics, intervals and comparisons of lists (b, k) per system, for JSON."""
    for name, items in lists.items():
        _refuse_repeats(name, items)
    evaluation = settings.evaluation
    yardstick, ks = Yardstick.of(held), lengths(evaluation)
    values = {name: yardstick.values(items, ks) for name, items in lists.items()}
    bootstrap = Bootstrap(len(held), evaluation.draws, evaluation.seed)
    return {
        "protocol": {"name": evaluation.protocol, "k": evaluation.k, "at": ks, **held.counts},
        "users": len(held),
        "systems": {
            name: {
                **{
                    metric: float(np.nanmean(v))
                    for metric, v in own.items()
                    if np.isfinite(v).any()
                },
                **yardstick.whole(lists[name], ks),
            }
            for name, own in values.items()
        },
        "intervals": {name: _intervals(own, bootstrap) for name, own in values.items()},
        "comparisons": list(_comparisons(values, f"ndcg@{evaluation.k}", bootstrap)),
    }


def _refuse_repeats(name: str, items: Rows) -> None:
    ordered = np.sort(items, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)).any(axis=1)
    if repeated.any():
        raise DataError(
            f"{name} offers an item twice in {repeated.sum():,} of {len(items):,} lists"
        )


def _intervals(values: Values, bootstrap: Bootstrap) -> dict[str, list[float]]:
    known = [metric for metric, value in values.items() if np.isfinite(value).any()]
    low, high = interval(bootstrap.means(np.stack([values[m] for m in known], axis=1)))
    return {m: [float(low[place]), float(high[place])] for place, m in enumerate(known)}


def _comparisons(
    values: Mapping[str, Values], metric: str, bootstrap: Bootstrap
) -> Iterator[dict[str, Any]]:
    if OURS in values:
        own = {name: each[metric] for name, each in values.items()}
        for each in compare(own, OURS, metric, bootstrap):
            yield {**each.as_dict(), "words": in_words(each)}


def _against_published(data: str, systems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The published figures, and by which share ours of the same system differs."""
    published = PUBLISHED.get(data, {})
    difference = {
        name: {
            metric: systems[name][metric] / figure - 1
            for metric, figure in own.items()
            if metric in systems[name]
        }
        for name, own in published.items()
        if name in systems
    }
    return {"published": published, "difference": difference}


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    k = results["protocol"]["k"]
    yield f"--- {results['data']}: {results['users']:,} users"
    for name, own in results["systems"].items():
        yield (
            f"{name:20} recall@{k} {own[f'recall@{k}']:.4f}  ndcg@{k} {own[f'ndcg@{k}']:.4f}  "
            f"fit {own['fit_seconds']:.1f} s  {own['users_per_second']:,.0f} users/s"
        )
    for name, own in results["difference"].items():
        apart = ", ".join(f"{metric} {share:+.1%}" for metric, share in own.items())
        yield f"{name} differs from {results['published'][name]['source']} by {apart}"


def _run(data: str, system: str, options: argparse.Namespace) -> bool:
    """Run one system unless its lists are there already; False where it failed."""
    folder, key = _folder(data, system), _key(data, system)
    if not options.fresh and _done(folder) == key:
        print(f"{system} on {data}: lists are there", flush=True)
        return True
    print(f"{system} on {data} ...", flush=True)
    command = [sys.executable, "-m", "benchmarks.contestant", "--data", data]
    command += ["--system", system, "--data-dir", str(options.data_dir), "--out", str(folder)]
    for name in (
        "key.json",
        "cost.json",
        "lists.npy",
        "evaluation.json",
    ):  # nothing old may pass for what failed
        (folder / name).unlink(missing_ok=True)
    if subprocess.run(command, check=False).returncode:
        return False
    (folder / "key.json").write_text(json.dumps(key))
    return True


def _key(data: str, system: str) -> dict[str, Any]:
    """What lists depend on: the settings of the system, the data, the code that makes them."""
    return {
        "settings": dict(settings_of(system, data)),
        "data": SETS[data].fingerprint,
        "k": lengths(EngineSettings.from_toml(CONFIGS / f"{data}.toml").evaluation)[-1],
        "code": state(CODE) if system.startswith(OURS) else _peer_code(),
    }


@cache
def _peer_code() -> str:
    """A digest of the files that run peers."""
    paths = [HERE / "contestant.py", *HERE.glob("peers/*.py"), *HERE.glob("rectools/*")]
    files = sorted(path for path in paths if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def of_our_engine(data: str) -> Path | None:
    """The folder of our engine in the contest: cost.json, evaluation.json and the saved `engine`.

    None unless they are of this code.
    """
    folder = _folder(data, OURS)
    if data not in CONTESTS or _done(folder) != _key(data, OURS):
        return None
    return folder


def _done(folder: Path) -> Any:
    path = folder / "key.json"
    return json.loads(path.read_text()) if path.exists() else None


def _folder(data: str, system: str) -> Path:
    return WORK / data / system


def _lists(data: str, system: str) -> Rows:
    return np.load(_folder(data, system) / "lists.npy")


def _cost(data: str, system: str) -> dict[str, Any]:
    cost = json.loads((_folder(data, system) / "cost.json").read_text())
    return {name: value for name, value in cost.items() if isinstance(value, float | int)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=[*CONTESTS], required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", choices=EVERYBODY, default=EVERYBODY)
    parser.add_argument("--fresh", action="store_true", help="run every system anew")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
