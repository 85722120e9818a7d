"""The engine with its defaults on a public set: both stages, every source, several seeds.

    python -m benchmarks quality --data-dir ../shared/data

It is what `recsys evaluate benchmarks/configs/NAME.toml --seeds 0,1,2` says, kept as one file of
results each. Examples are left out: they are lines of data that must not be passed on.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.contestant import CONFIGS
from benchmarks.machine import machine
from benchmarks.measure import write_results
from recsys.evaluation.seeds import run_seeds
from recsys.settings import EngineSettings

SEEDS = {
    "amazon-beauty": (0, 1, 2),
    "ml-1m": (0,),
    "ml-100k": (0, 1, 2),
    "online-retail": (0,),
    "retailrocket": (0, 1, 2),
}
"""Per data set the seeds of the engine: one where three would take half an hour
of the bench; gowalla is in the contests alone."""


def main() -> None:
    options = _options()
    result = evaluated(options.data, options.data_dir)
    scores, k = result["systems"]["two-stage"], result["protocol"]["k"]
    print(
        f"{options.data}: two-stage ndcg@{k} {scores[f'ndcg@{k}']:.4f}, recall@{k} "
        f"{scores[f'recall@{k}']:.4f}, fit {result['fit_seconds']:.1f} s"
    )
    if options.json is not None:
        write_results(options.json, {**result, **machine()})


def evaluated(data: str, data_dir: Path) -> dict[str, Any]:
    """The evaluation of one data set for JSON, without examples."""
    settings = EngineSettings.from_toml(CONFIGS / f"{data}.toml")
    result = run_seeds(settings, SEEDS[data], data_dir=data_dir).as_dict(data)
    return {name: value for name, value in result.items() if name != "examples"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=[*SEEDS], required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
