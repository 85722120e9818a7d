"""The tables of the README, made from the files in benchmarks/results/.

    python -m benchmarks readme [--results DIR]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is between them is replaced.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from recsys.settings import OWN, RESERVED

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Results = dict[str, Any]

ORDER = ("amazon-beauty", "ml-1m", "ml-100k", "gowalla", "online-retail", "retailrocket")

PUBLISHED = {
    "amazon-beauty": (0.0531, "SASRec, sampled softmax"),
    "ml-1m": (0.1857, "SASRec, 3000 negatives"),
    "gowalla": (0.1597, "BSPM"),
}
"""The best NDCG that we know of on the same split: eSASRec (RecSys 2025), Klenitskiy 2023, BARS."""

NO_SOURCE = (*RESERVED, OWN)
"""Lists that are of all sources together or of none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=README)
    options = parser.parse_args()
    text = options.readme.read_text(encoding="utf8")
    options.readme.write_text(filled(text, tables(options.results)), encoding="utf8")


def filled(text: str, made: dict[str, str]) -> str:
    """The text with every marked table replaced; raises KeyError on a name that is no table's."""
    return PLACE.sub(lambda place: place[1] + made[place[2]] + place[3], text)


def tables(folder: Path) -> dict[str, str]:
    """Name -> Markdown; empty where nothing has been measured yet."""
    made = {name: (above, make(read(folder, step))) for name, (step, above, make) in TABLES.items()}
    return {
        name: f"{above}\n\n{table}" if above and table else table
        for name, (above, table) in made.items()
    }


def read(folder: Path, step: str) -> list[Results]:
    """The results of one step, one of each data set, in the order in which we speak of them."""
    paths = [path for path in folder.glob("*.json") if path.stem.partition("-")[0] == step]
    found = [json.loads(path.read_text(encoding="utf8")) for path in sorted(paths)]
    last = len(ORDER)
    place = {name: number for number, name in enumerate(ORDER)}
    return sorted(found, key=lambda each: place.get(each.get("data", ""), last))


def quality(results: list[Results]) -> str:
    """The engine on each data set, beside its best source and the best that is published."""
    head = ["data, protocol", "two-stage NDCG@k", "HR@k", "fused NDCG@k", "best source, NDCG@k"]
    return markdown([*head, "published best, NDCG@k", "fit"], map(_quality_row, results))


def seeds(results: list[Results]) -> str:
    """The engine with several seeds: means, how far seeds are apart, and what the ranker adds."""
    head = ["data, protocol", "seeds", "two-stage NDCG@k", "HR@k", "best source, NDCG@k"]
    return markdown([*head, "the ranker adds"], map(_seeds_row, results))


def refit(results: list[Results]) -> str:
    """The same ranker with and without the refit of its sources, and the difference."""
    head = ["data", "seeds", "NDCG@k of", "sources fitted on everything", "sources it learnt from"]
    rows = (row for each in results for row in _refit_rows(each))
    return markdown([*head, "difference", "95 % interval"], rows)


def peers(results: list[Results]) -> str:
    """Every system on the same split, and how far it is from what is published of it."""
    head = ["data", "system", "Recall@k", "NDCG@k", "fit", "users/s", "peak", "published"]
    return markdown([*head, "differs by"], (row for each in results for row in _peer_rows(each)))


def speed(results: list[Results]) -> str:
    """Fitting, loading and asking."""
    head = ["", "wall", "CPU", "peak memory"]
    return markdown(head, (row for each in results for row in _speed_rows(each)))


def retrieval(results: list[Results]) -> str:
    """Search by factors alone."""
    rows = [
        [name, f"{each['cpu_s_per_10k']:.2f}", f"{each['cpu_to_gemm']:.1f}"]
        for result in results[:1]
        for name, each in sorted(
            result["retrieval"]["systems"].items(), key=lambda pair: pair[1]["cpu_s"]
        )
    ]
    return markdown(["system", "CPU-seconds per 10,000 users", "of a bare GEMM"], rows)


def index(results: list[Results]) -> str:
    """What each kind of index costs and finds."""
    head = ["index", "built in", "recall@k", "users/s", "CPU-s per 10,000", "one search, p50"]
    rows = (
        [
            f"{name}, {each['shape']['items']:,} x {each['shape']['factors']}",
            f"{kind['build']['wall_s']:,.0f} s",
            share(kind["recall"]),
            f"{kind['all']['users_per_second']:,.0f}",
            f"{kind['all']['cpu_s_per_10k']:.1f}",
            f"{kind['one']['p50_ms']:.1f} ms",
            f"{kind['one_filtered']['p50_ms']:.1f} / {kind['one_filtered']['p99_ms']:.1f} ms",
            f"{kind['peak_gb']:.1f} GB",
        ]
        for each in results
        for name, kind in each["kinds"].items()
    )
    return markdown([*head, "filtered to 0.1 %, p50 / p99", "peak"], rows)


def growth(results: list[Results]) -> str:
    """How costs grow with users and items."""
    head = ["users", "items", "events", "fit", "fit, CPU", "fit, peak", "load", "users/s"]
    rows = [_growth_row(point) for result in results for point in result["points"].values()]
    return markdown([*head, "CPU-s per 10,000", "one request, p50", "asking, peak"], rows)


def als(results: list[Results]) -> str:
    """An iteration of ALS: what it costs and how far it gets."""
    rows = [
        [
            f"{system}, iteration {number}",
            f"{step['cpu_s']:.2f}",
            f"{step['loss']:,.0f}",
        ]
        for result in results
        for system, steps in result["systems"].items()
        for number, step in enumerate(steps, start=1)
    ]
    return markdown(["system", "CPU-seconds", "loss after it"], rows)


def embed(results: list[Results]) -> str:
    """Texts embedded per CPU-second."""
    if not results:
        return ""
    shapes = results[0]["shapes"]
    head = [f"{shape}, texts per CPU-second" for shape in shapes]
    overlaps = [f"nearest 10 shared, {shape}" for shape in shapes]
    rows = [
        [name]
        + [f"{shape[name]['texts_per_cpu_s']:.0f}" for shape in shapes.values()]
        + [f"{shape[name]['top10_overlap']:.3f}" for shape in shapes.values()]
        for name in next(iter(shapes.values()))
    ]
    return markdown(["system", *head, *overlaps], rows)


def scoring(results: list[Results]) -> str:
    """What an evaluation takes beyond fitting and recommending."""
    rows = [
        [
            *(f"{each[name]:,}" for name in ("users_scored", "items", "systems", "draws")),
            f"{each['scoring_s']:.1f} s",
        ]
        for each in results
    ]
    return markdown(["users", "items", "systems", "bootstrap draws", "scored in"], rows)


def compression(results: list[Results]) -> str:
    """Rankers made smaller: bytes, times and NDCG beside those of the full one."""
    head = ["ranker", "size", "300 candidates", "to the full one", "1,000 of many", "NDCG@10"]
    rows = (row for each in results for row in _compression_rows(each))
    return markdown([*head, "learnt or made in"], rows)


def reading(results: list[Results]) -> str:
    """Rows read, validated, mapped and sorted."""
    rows = [
        [f"{each['rows']:,}", f"{each['seconds']:.0f} s", f"{each['peak_gb']:.1f} GB"]
        for each in results
    ]
    return markdown(["rows with string ids", "read, validated, mapped, sorted in", "peak"], rows)


def memory(results: list[Results]) -> str:
    """Peak memory by the number of users who are asked."""
    rows = [
        [f"{run['users']:,}", f"{run['loaded_mb']:,.0f} MB", f"{run['peak_mb']:,.0f} MB"]
        for each in results
        for run in each["runs"]
    ]
    return markdown(["users who get a list", "peak after one block", "peak after all"], rows)


TABLES: dict[str, tuple[str, str, Callable[[list[Results]], str]]] = {
    "quality": ("quality", "", quality),
    "seeds": (
        "seeds",
        "The same as means of several seeds, with their standard deviation "
        "(`python -m benchmarks seeds`):",
        seeds,
    ),
    "refit": (
        "refit",
        "One ranker on the sources as they serve, fitted on everything, and on those of the newest "
        "moment that it learnt from (`python -m benchmarks refit`); what the ranker adds is the "
        "two-stage order less the fused one. Figures are means over the seeds; each interval is of "
        "resampled users, and none is corrected for the number of rows:",
        refit,
    ),
    "peers": (
        "peers",
        "Every system through the same split and the same metrics. Recall@k is HR@k where one item "
        "is held out; the last column is how far the same system is from what is published of it. "
        "knn-shrunk is the kNN that others gave figures of: its settings were found by trying "
        "which give them, so its row says that code and split agree. SASRec of RecTools learns "
        "for as many epochs as ten minutes of two cores allow; its published figures are of a GPU:",
        peers,
    ),
    "speed": ("speed", "Fitting, loading and asking (`python -m benchmarks speed`):", speed),
    "retrieval": (
        "speed",
        "The best 100 of 50,000 items by 128 factors, seen items left out, in the same run:",
        retrieval,
    ),
    "als": ("als", "An iteration of ALS at one objective (`python -m benchmarks als`):", als),
    "compression": (
        "compression",
        "Rankers made smaller, on the lists that they were not trained on "
        "(`python -m benchmarks compression`):",
        compression,
    ),
    "index": (
        "index",
        "The best 100 of a million made-up vectors (`python -m benchmarks index`):",
        index,
    ),
    "growth": (
        "growth",
        "How it grows, on logs that are made up (`python -m benchmarks growth`):",
        growth,
    ),
    "embed": ("embed", "Embedding texts by MiniLM (`python -m benchmarks embed`):", embed),
    "scoring": (
        "scoring",
        "All metrics, intervals, tests, slices and the account (`python -m benchmarks scoring`):",
        scoring,
    ),
    "reading": ("reading", "Reading a log (`python -m benchmarks reading`):", reading),
    "memory": ("memory", "Memory while recommending (`python -m benchmarks memory`):", memory),
}
"""Name -> the step whose results it shows, what stands above it, and how it is made."""


def markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table with a line per row; nothing where there is none."""
    lines = [list(row) for row in rows]
    if not lines:
        return ""
    every = [head, ["---"] * len(head), *lines]
    return "".join(
        "|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|\n" for line in every
    )


def share(value: float) -> str:
    """A figure between 0 and 1 as the literature writes it: .0773"""
    return f"{value:.4f}".removeprefix("0")


def _quality_row(result: Results) -> list[str]:
    systems, k = result["systems"], result["protocol"]["k"]
    ndcg, hits = f"ndcg@{k}", f"hr@{k}"
    two_stage = share(systems["two-stage"][ndcg])
    interval = result.get("intervals", {}).get("two-stage", {}).get(ndcg)
    if interval:
        two_stage += f" ({share(interval[0])}–{share(interval[1])})"
    best, of_best = _best_source(systems, ndcg)
    published, by = PUBLISHED.get(result["data"], (None, ""))
    return [
        f"{result['data']}, {_protocol(result['protocol'])}, k = {k}",
        two_stage,
        share(systems["two-stage"][hits]),
        share(systems["fused"][ndcg]),
        f"{best} {share(of_best)}",
        f"{share(published)} ({by})" if published else "",
        f"{result['fit_seconds']:.0f} s",
    ]


def _seeds_row(result: Results) -> list[str]:
    systems, k = result["systems"], result["protocol"]["k"]
    ndcg, hits = f"ndcg@{k}", f"hr@{k}"
    two_stage, apart = systems["two-stage"], result["seed_deviations"]["two-stage"]
    best, of_best = _best_source(systems, ndcg)
    return [
        f"{result['data']}, {_protocol(result['protocol'])}, k = {k}",
        str(len(result["runs"])),
        *(f"{share(two_stage[each])} ± {share(apart[each])}" for each in (ndcg, hits)),
        f"{best} {share(of_best)}",
        f"{two_stage[ndcg] / of_best - 1:+.1%}",
    ]


def _refit_rows(result: Results) -> Iterator[list[str]]:
    about = f"{result['data']}, {_protocol(result['protocol'])}, k = {result['protocol']['k']}"
    for system, each in result["systems"].items():
        low, high = each["gap"]["interval"]
        yield [
            about,
            str(len(result["seeds"])),
            system,
            share(each["refitted"]),
            share(each["as learnt from"]),
            _signed(each["gap"]["difference"]),
            f"{_signed(low)} to {_signed(high)}",
        ]


def _signed(value: float) -> str:
    """A difference of figures between 0 and 1, as `share` writes them: +.0041"""
    return f"{'-' if value < 0 else '+'}{share(abs(value))}"


def _best_source(systems: Results, ndcg: str) -> tuple[str, float]:
    """The single source with the best lists, and how good they are."""
    single = {name: each[ndcg] for name, each in systems.items() if name not in NO_SOURCE}
    best = max(single, key=lambda name: single[name])
    return best, single[best]


def _protocol(protocol: Results) -> str:
    cutoff = f" from {protocol['cutoff'][:10]}" if "cutoff" in protocol else ""
    return protocol["name"].replace("-", " ") + cutoff


def _peer_rows(result: Results) -> Iterator[list[str]]:
    """Systems that ran, the best first, then those of which only published figures are known."""
    systems, published = result["systems"], result.get("published", {})
    k = result["protocol"]["k"]
    ran = sorted(systems, key=lambda name: -systems[name].get(f"ndcg@{k}", 0.0))
    for name in [*ran, *(name for name in published if name not in systems)]:
        own, other = systems.get(name, {}), published.get(name, {})
        told = [key for key in (f"hr@{k}", f"recall@{k}", f"ndcg@{k}") if key in other]
        differs = [f"{own[key] / other[key] - 1:+.1%}" for key in told if own.get(key)]
        yield [
            result["data"],
            name,
            *(share(own[key]) if key in own else "" for key in (f"recall@{k}", f"ndcg@{k}")),
            f"{own['fit_seconds']:,.0f} s" if "fit_seconds" in own else "",
            f"{own['users_per_second']:,.0f}" if "users_per_second" in own else "",
            f"{own['peak_gb']:.1f} GB" if "peak_gb" in own else "",
            " / ".join(share(other[key]) for key in told),
            " / ".join(differs),
        ]


def _speed_rows(result: Results) -> Iterator[list[str]]:
    yield [
        f"**{result['data']}**: {result['users']:,} users, {result['items']:,} items",
        "",
        "",
        "",
    ]
    for name, cost in result["fit"].items():
        yield [f"fit, {name}", *_cost(cost), _peak(cost)]
    for name, cost in result.get("rectools", {}).items():
        yield [f"fit, {name}", f"{cost['fit_seconds']:.1f} s", "", _peak(cost)]
    yield ["load", *_cost(result["load"]), _peak(result["load"])]
    for name, cost in result["all"].items():
        cpu = f"{cost['cpu_s_per_10k']:.2f} CPU-s per 10,000 users"
        rate = f"{cost['users_per_second']:,.0f} users/s"
        yield [f"lists of 10 for all, {name}", rate, cpu, ""]
    for name, cost in result.get("rectools", {}).items():
        yield [f"lists of 10 for all, {name}", f"{cost['users_per_second']:,.0f} users/s", "", ""]
    for name, ms in result["one"].items():
        shown = ", ".join(f"{at} {ms[f'{at}_ms']:.1f} ms" for at in ("p50", "p95", "p99"))
        yield [f"one request, {name}", shown, "", ""]


def _compression_rows(result: Results) -> Iterator[list[str]]:
    yield [f"**{result['data']}**: {result['held_out']:,} lists held out", *[""] * 6]
    for name, each in result["systems"].items():
        change = f" ({each['ndcg_change']:+.1%})" if each["ndcg_change"] else ""
        yield [
            name,
            f"{each['kb']:.1f} KB",
            f"{each['request_us']:.0f} µs",
            f"{each['request_to_full']:.2f}",
            f"{each['us_per_1000']:.0f} µs",
            share(each["ndcg@10"]) + change,
            f"{each['cpu_s']:.1f} CPU-s",
        ]


def _cost(cost: Results) -> list[str]:
    return [f"{cost['wall_s']:.1f} s", f"{cost['cpu_s']:.1f} CPU-s"]


def _peak(cost: Results) -> str:
    return f"{cost['peak_gb']:.1f} GB" if "peak_gb" in cost else ""


def _growth_row(point: Results) -> list[str]:
    fit = point["fit"]
    return [
        *(f"{point[name]:,}" for name in ("users", "items", "events")),
        f"{fit['wall_s']:,.0f} s",
        f"{fit['cpu_s']:,.0f} s",
        f"{fit['peak_gb']:.1f} GB",
        f"{point['load']['wall_s']:.1f} s",
        f"{point['all']['users_per_second']:,.0f}",
        f"{point['all']['cpu_s_per_10k']:.1f}",
        f"{point['one']['p50_ms']:.1f} ms",
        f"{point['ask_peak_gb']:.1f} GB",
    ]


if __name__ == "__main__":
    main()
