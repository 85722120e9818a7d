"""What fitting, loading and asking an engine costs, beside implicit, FAISS, torch and a bare GEMM.

    python -m benchmarks speed [--data-dir ../shared/data] [--rounds 3] [--json FILE]

On amazon-beauty, with the engine that the contest of the peers has fitted by this code if there is
one, or without a folder of data on a shop that is made up. What has a peak of its own
(a fit, a load) runs in a process of its own. Whatever is compared answers in one process, in turn:
so all of them meet the same machine, the same warm caches and the same factors.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.comparison import of_our_engine
from benchmarks.machine import machine
from benchmarks.measure import child, in_turn, peak_gb, timed, write_results

CONFIG = Path(__file__).parent / "configs" / "amazon-beauty.toml"
RESULTS = Path(__file__).parent / "results"
REQUESTS = 300
RETRIEVAL = {"users": 10_000, "items": 50_000, "factors": 128, "per_user": 52, "k": 100}

Figures = dict[str, Any]


def main() -> None:
    options = _options()
    if options.part is not None:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(options, Path(folder))
    _show(measured)
    if options.json is not None:
        write_results(options.json, {**machine(), **measured})


def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """All parts one after the other, each in a process of its own."""
    config, data_dir = _data(options, folder)
    fitted = of_our_engine(config.stem) if options.data_dir else None
    artifact = fitted / "engine" if fitted else folder / "engine"
    given = ["--config", config, "--data-dir", data_dir, "--artifact", artifact]
    given += ["--rounds", options.rounds]

    def part(name: str, **env: str) -> Figures:
        print(f"{name} ...", flush=True)
        return child("benchmarks.speed", "--part", name, *given, env=env)

    if fitted:
        fits = {"in the contest of the peers": _fit_of(fitted)}
    else:
        fits = {"with texts embedded anew": part("fit", RECSYS_CACHE=str(folder / "cache"))}
    fits["implicit ALS alone"] = part("implicit")
    loads = [part("load") for _ in range(options.rounds)]
    return {
        "data": config.stem,
        "rounds": options.rounds,
        **part("about"),
        "fit": fits,
        "load": {name: sorted(load[name] for load in loads)[len(loads) // 2] for name in loads[0]},
        **part("ask"),
        "retrieval": part("retrieval"),
        **rectools(options.json, config.stem),
    }


def _fit_of(folder: Path) -> Figures:
    """What the fit of an engine cost that the contest has kept."""
    cost = json.loads((folder / "cost.json").read_text())
    fit = {"wall_s": cost["fit_seconds"], "cpu_s": cost["fit_cpu_seconds"]}
    return {**fit, "peak_gb": cost["peak_gb"]}


def rectools(json_path: Path | None, data: str) -> Figures:
    """What the benchmark of the peers has measured of RecTools: it needs an older numpy."""
    path = (json_path.parent if json_path else RESULTS) / f"peers-{data}.json"
    if not path.exists():
        return {"notes": [f"RecTools is left out: `peers` has not measured it on {data} yet"]}
    systems = json.loads(path.read_text(encoding="utf8"))["systems"]
    theirs = {name: each for name, each in systems.items() if name.lower().startswith("rectools")}
    return {"rectools": theirs, "notes": [f"RecTools as measured for {path.name}, in a run before"]}


def fit(options: argparse.Namespace) -> Figures:
    """Read, fit and save, in the first moments of a process."""
    from recsys.engine import Engine
    from recsys.settings import EngineSettings

    engine = Engine(EngineSettings.from_toml(options.config))
    cost = timed(lambda: engine.fit(data_dir=options.data_dir))
    peak = peak_gb()
    engine.save(options.artifact)
    return {**cost.as_dict(), "peak_gb": peak}


def implicit_fit(options: argparse.Namespace) -> Figures:
    """implicit's ALS of the same size on the same log: one source, no ranker, once."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    from benchmarks.requests import histories_of

    engine = _loaded(options)
    matrix = histories_of(engine, len(engine.users)).matrix(len(engine.items))
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(factors=64, alpha=10, iterations=15, random_state=0)
        return timed(lambda: model.fit(matrix, show_progress=False)).as_dict()


def load(options: argparse.Namespace) -> Figures:
    """Import the package and load the artifact, as a backend does when it starts."""
    imports = timed(lambda: __import__("recsys.engine"))
    loading = timed(lambda: _loaded(options))
    files = [path for path in options.artifact.rglob("*") if path.is_file()]
    return {
        "import_s": imports.wall,
        **loading.as_dict(),
        "peak_gb": peak_gb(),
        "artifact_mb": sum(path.stat().st_size for path in files) / 1024**2,
    }


def about(options: argparse.Namespace) -> Figures:
    """The size of what is asked."""
    from benchmarks.requests import candidates_per_request

    engine = _loaded(options)
    return {
        "users": len(engine.users),
        "items": len(engine.items),
        "events": len(engine.learnt.log),
        "candidates_per_request": candidates_per_request(engine, REQUESTS),
    }


def ask(options: argparse.Namespace) -> Figures:
    """Lists for all users, and single requests."""
    from benchmarks.requests import ask_all, ask_one

    engine = _loaded(options)
    one = ask_one(engine, REQUESTS, options.rounds)
    return {"all": ask_all(engine, options.rounds), "one": one, "ask_peak_gb": peak_gb()}


def retrieval(options: argparse.Namespace, shape: dict[str, int] | None = None) -> Figures:
    """The best 100 of 50,000 items for 10,000 users, made-up factors, seen items left out."""
    from benchmarks import rivals
    from benchmarks.requests import same_items

    shape = shape or RETRIEVAL
    problem = rivals.made_up(**shape)
    finders = {
        "recsys VectorIndex": rivals.our_index(problem),
        **{name: make(problem) for name, make in rivals.RIVALS.items()},
        "numpy argpartition": rivals.numpy_argpartition(problem),
    }
    folded = {"recsys Als, folded in": rivals.our_als(problem)}
    ceiling = {"GEMM ceiling": rivals.gemm(problem)}
    costs = in_turn({**finders, **folded, **ceiling}, options.rounds)
    systems = {name: cost.as_dict(len(problem.users)) for name, cost in costs.items()}
    for name, share in same_items(finders).items():
        systems[name]["same_items"] = share
    for figure in systems.values():
        figure["cpu_to_gemm"] = figure["cpu_s"] / systems["GEMM ceiling"]["cpu_s"]
    systems["GEMM ceiling"] |= problem.rates(costs["GEMM ceiling"])
    return {"shape": shape, "systems": systems}


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "fit": fit,
    "implicit": implicit_fit,
    "load": load,
    "about": about,
    "ask": ask,
    "retrieval": retrieval,
}


def _loaded(options: argparse.Namespace) -> Any:
    from recsys.engine import Engine

    return Engine.load(options.artifact)


def _data(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """(settings file, folder of data): those given, or a shop made in `folder`."""
    if options.data_dir is not None:
        return options.config, options.data_dir
    from recsys.shop import make_shop

    make_shop(users=options.shop_users, items=max(100, options.shop_users // 2)).write(folder)
    (folder / "shop.toml").write_text(
        '[interactions]\npath = "events.parquet"\ntime = "time"\nevent = "event"\n'
        '[catalog]\npath = "items.parquet"\ntitle = "title"\ntext = ["title", "description"]\n'
        'category = ["category", "brand"]\nprice = "price"\navailable = "available"\n'
    )
    return folder / "shop.toml", folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="the folder of the public data sets")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--shop-users", type=int, default=5_000, help="without --data-dir")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--artifact", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _show(measured: Figures) -> None:
    for section in ("fit", "all", "one"):
        print(f"\n{section}")
        for name, figures in measured[section].items():
            print(f"  {name:32}" + _line(figures))
    print(f"\nload{'':30}{_line(measured['load'])}\n\nretrieval {measured['retrieval']['shape']}")
    for name, figures in measured["retrieval"]["systems"].items():
        print(f"  {name:32}" + _line(figures))


def _line(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:,.2f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
