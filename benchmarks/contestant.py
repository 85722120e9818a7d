"""One system on one data set, in a process of its own: fitted, asked for everybody's lists, timed.

    python -m benchmarks.contestant --data ml-1m --system ease --data-dir DIR --out FOLDER

Writes lists.npy (b, k) and cost.json into FOLDER, and of our engine what an evaluation says and the
engine itself: `benchmarks.quality` and `speed` need not fit it again. `benchmarks.comparison` runs
it.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.measure import peak_gb, timed
from benchmarks.peers import TUNED, Peer, rectools, tuned
from benchmarks.peers.engine import TwoStage
from recsys.engine import Engine
from recsys.evaluation.evaluate import lengths
from recsys.evaluation.held import Held
from recsys.evaluation.protocols import Window, read_test, windows
from recsys.features.arrays import Rows
from recsys.features.catalog import Catalog
from recsys.features.interactions import Interactions
from recsys.policy import Policy
from recsys.settings import EngineSettings

CONFIGS = Path(__file__).parent / "configs"
OURS = "recsys"
RECTOOLS = {"rectools-two-stage": "two-stage", "rectools-sasrec": "sasrec"}

Cost = dict[str, Any]


def main() -> None:
    options = _options()
    settings = EngineSettings.from_toml(CONFIGS / f"{options.data}.toml")
    split = held_out(settings, options.data_dir)
    held, catalog = split.held, split.catalog
    longest = lengths(settings.evaluation)[-1]
    options.out.mkdir(parents=True, exist_ok=True)
    peer: Peer | None = None
    if options.system in RECTOOLS:
        lists, cost = _of_rectools(options, held, longest)
    else:
        peer = TwoStage(settings) if options.system == OURS else tuned(options.system, options.data)
        lists, cost = _of(peer, held, catalog, longest)
    np.save(options.out / "lists.npy", lists)
    if isinstance(peer, TwoStage):
        told = peer.evaluation(split.window, split.log, options.data, cost["fit_seconds"])
        (options.out / "evaluation.json").write_text(json.dumps(told))
        peer.save(options.out / "engine")
    about = {"settings": dict(settings_of(options.system, options.data)), **machine()}
    (options.out / "cost.json").write_text(json.dumps({**cost, **about}, indent=1))


@dataclass(frozen=True)
class Split:
    """A data set, and what is held out of it."""

    log: Interactions
    catalog: Catalog
    window: Window
    held: Held


def held_out(settings: EngineSettings, data_dir: Path | None) -> Split:
    """The one window of a data set's protocol: whom every system is asked for, and what of."""
    log, catalog = Engine(settings).read(data_dir=data_dir)
    (window,) = windows(log, settings.evaluation, read_test(settings, data_dir))
    policy = Policy.of(catalog.offered(), log.events, settings.events)
    return Split(log, catalog, window, Held.of(window, catalog, policy))


def _of(peer: Peer, held: Held, catalog: Catalog, k: int) -> tuple[Rows, Cost]:
    lists: list[Rows] = []
    fit = timed(lambda: peer.fit(held.past, catalog))
    allowed = held.policy.allowed(held.histories)
    ask = timed(lambda: lists.append(peer.lists(held.histories, allowed, k)))
    return lists[0], {
        "fit_seconds": fit.wall,
        "fit_cpu_seconds": fit.cpu,
        "seconds": ask.wall,
        "cpu_seconds": ask.cpu,
        "users_per_second": len(held) / ask.wall,
        "peak_gb": peak_gb(),
    }


def _of_rectools(options: argparse.Namespace, held: Held, k: int) -> tuple[Rows, Cost]:
    users, settings = held.histories.users, settings_of(options.system, options.data)
    return rectools.lists(RECTOOLS[options.system], held.past, users, k, options.out, settings)


def settings_of(system: str, data: str) -> Mapping[str, Any]:
    """What was found for a peer on a data set; our engine and what was not tuned have defaults."""
    return TUNED.get(data, {}).get(system, {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--system", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
