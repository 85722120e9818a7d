"""The engine with its defaults on a public set: both stages and every source.

    python -m benchmarks quality --data-dir ../shared/data
    python -m benchmarks seeds --data-dir ../shared/data

It is what `recsys evaluate benchmarks/configs/NAME.toml` says, kept as one file of results each;
`seeds` repeats it with three seeds. Where the contest of the peers has the engine fitted by this
code, its evaluation is taken. Examples are left out: they are lines of data that must not be
passed on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import of_our_engine
from benchmarks.contestant import CONFIGS
from benchmarks.machine import machine
from benchmarks.measure import write_results
from recsys.evaluation.seeds import run_seeds, seeded
from recsys.settings import EngineSettings

SETS = ("amazon-beauty", "ml-1m", "ml-100k", "gowalla", "online-retail", "retailrocket")
SEVERAL = ("amazon-beauty", "ml-1m", "ml-100k", "online-retail", "retailrocket")
"""What `seeds` repeats; gowalla's fit hangs on its seed by the ranker alone."""


def main() -> None:
    options = _options()
    result = evaluated(options.data, options.data_dir, options.seeds)
    scores, k = result["systems"]["two-stage"], result["protocol"]["k"]
    print(
        f"{options.data}: two-stage ndcg@{k} {scores[f'ndcg@{k}']:.4f}, recall@{k} "
        f"{scores[f'recall@{k}']:.4f}, fit {result['fit_seconds']:.1f} s"
    )
    if options.json is not None:
        write_results(options.json, {**result, **machine()})


def evaluated(data: str, data_dir: Path, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """The evaluation of one data set for JSON, without examples; by default for its own seed."""
    fitted = None if seeds else of_our_engine(data)
    if fitted is not None:
        result = json.loads((fitted / "evaluation.json").read_text())
    else:
        settings = EngineSettings.from_toml(CONFIGS / f"{data}.toml")
        result = run_seeds(seeded(settings, seeds), data_dir=data_dir).as_dict(data)
    return {name: value for name, value in result.items() if name != "examples"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=SETS, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=(), help="by default that of its file"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
