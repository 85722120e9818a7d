"""How good the lists are: tables of metrics, of tested differences, of seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

from recsys.reporting.charts import Mark, axis, track
from recsys.reporting.findings import main_system, p_said, ranking, verdict_of
from recsys.reporting.outcome import Comparison, Outcome
from recsys.reporting.scales import Span, ends, scale_of
from recsys.reporting.tables import ABSENT, Cell, Row, Table, kind_of, number, share, table_of


@dataclass(frozen=True)
class Metric:
    """How a metric is written and what it says."""

    said: str
    meaning: str = ""
    digits: int = 4


ACCURACY = {
    "ndcg": Metric("NDCG"),
    "recall": Metric("Recall"),
    "hr": Metric("HR"),
    "precision": Metric("Precision"),
    "f1": Metric("F1"),
    "map": Metric("MAP"),
    "mrr": Metric("MRR"),
}
BEYOND = {
    "coverage": Metric("Coverage", "share of the catalogue that is on at least one list", 3),
    "gini": Metric("Gini", "how unevenly items are shown, from 0, all alike, to 1", 3),
    "novelty": Metric("Novelty", "bits of surprise of an item: the rarer, the more", 2),
    "diversity": Metric("Diversity", "1 − mean cosine of the texts of two items of a list", 3),
    "category_diversity": Metric("Categories", "share of pairs from different categories", 3),
    "serendipity": Metric("Serendipity", "share of the list that was chosen and is not popular"),
    "cold_share": Metric("Cold items", "share of the list that nobody had chosen before"),
    "repeat_share": Metric("Repeats", "share of the places that hold what the user had before", 3),
    "repeat_hits": Metric("Repeated hits", "share of the hits that are such items", 3),
    "revenue": Metric("Revenue", "price of what was chosen from the list, per user", 2),
}


def quality(outcome: Outcome) -> Table | None:
    """NDCG at k of every system with its interval, the best first."""
    scores, metric = ranking(outcome), f"ndcg@{outcome.k}"
    intervals = {name: outcome.intervals.get(name, {}).get(metric) for name in scores}
    scale = scale_of([v for name, value in scores.items() for v in ends(value, intervals[name])])
    main = main_system(outcome)
    rows = [
        Row(
            name,
            (Cell(number(value)), Cell(_between(intervals[name]))),
            kind_of(name == main),
            track(scale, [Mark(value, intervals[name], kind_of(name == main))]),
        )
        for name, value in scores.items()
    ]
    heads = ("System", f"NDCG@{outcome.k}", "95 % interval")
    return table_of(f"NDCG@{outcome.k} of each list", heads, rows, axis(scale))


def gist(outcome: Outcome) -> list[tuple[str, str]]:
    """The few figures that the page begins with, as (what, value)."""
    main, k = main_system(outcome), outcome.k
    if main is None:
        return []
    scores = outcome.systems[main]
    memory = outcome.peak_memory_bytes
    told = [
        (f"NDCG@{k}", _said(scores.get(f"ndcg@{k}"), ".4f")),
        (f"HR@{k}", _said(scores.get(f"hr@{k}"), ".4f")),
        ("of the catalogue shown", share(scores.get(f"coverage@{k}"))),
        ("users per second", _said(scores.get("users_per_second"), ",.0f")),
        ("seconds to fit", _said(outcome.fit_seconds, ",.1f")),
        ("GB at the peak", _said(None if memory is None else memory / 1e9, ".2f")),
    ]
    return [(what, value) for what, value in told if value not in ("", ABSENT)]


def accuracy(outcome: Outcome) -> list[Table]:
    """Per length of list a table of all metrics of accuracy, that of k first."""
    tails = {key.rpartition("@")[2] for scores in outcome.systems.values() for key in scores}
    lengths = {int(tail) for tail in tails if tail.isdecimal()}
    order = sorted(lengths, key=lambda length: (length != outcome.k, length))
    tables = (_scores(outcome, f"Lists of {length}", _at(length, ACCURACY)) for length in order)
    return [table for table in tables if table is not None]


def beyond_accuracy(outcome: Outcome) -> Table | None:
    """Coverage, novelty, diversity and their like."""
    caption = f"Lists of {outcome.k}, beyond accuracy"
    return _scores(outcome, caption, _at(outcome.k, BEYOND), mark_best=False)


def explained(table: Table | None) -> dict[str, str]:
    """What the heads of a table beyond accuracy mean."""
    heads = () if table is None else table.heads
    return {each.said: each.meaning for each in BEYOND.values() if each.said in heads}


def differences(outcome: Outcome) -> list[Table]:
    """Per metric the tested differences, that of NDCG at k first."""
    main = f"ndcg@{outcome.k}"
    metrics = dict.fromkeys(each.metric for each in outcome.comparisons)
    order = sorted(metrics, key=lambda metric: metric != main)
    tables = (
        _differences(metric, [each for each in outcome.comparisons if each.metric == metric])
        for metric in order
    )
    return [table for table in tables if table is not None]


def seeds(outcome: Outcome) -> Table | None:
    """NDCG at k of each system with each seed, and the standard deviation (n - 1) between them."""
    metric = f"ndcg@{outcome.k}"
    rows = []
    for name in ranking(outcome):
        values = [run.systems.get(name, {}).get(metric) for run in outcome.runs]
        known = [value for value in values if value is not None]
        spread = stdev(known) if len(known) > 1 else None
        cells = [*(Cell(number(value)) for value in values), Cell(number(spread))]
        rows.append(Row(name, tuple(cells), kind_of(name == main_system(outcome))))
    if not outcome.runs:
        return None
    said = [_seed(run, place) for place, run in enumerate(outcome.runs)]
    return table_of(f"NDCG@{outcome.k} of each seed", ("System", *said, "Deviation"), rows)


def _at(length: int, metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    return {f"{key}@{length}": metric for key, metric in metrics.items()}


def _scores(
    outcome: Outcome, caption: str, metrics: Mapping[str, Metric], *, mark_best: bool = True
) -> Table | None:
    """A table of the metrics that at least one system has."""
    best = {
        key: max(values)
        for key in metrics
        if (values := [v for s in outcome.systems.values() if (v := s.get(key)) is not None])
    }
    main = main_system(outcome)
    rows = []
    for name, scores in outcome.systems.items():
        cells = [
            Cell(
                number(scores.get(key), metrics[key].digits),
                best=mark_best and scores.get(key) == top,
            )
            for key, top in best.items()
        ]
        rows.append(Row(name, tuple(cells), kind_of(name == main)))
    heads = ("System", *(metrics[key].said for key in best))
    return table_of(caption, heads, rows if best else [])


def _differences(metric: str, comparisons: Sequence[Comparison]) -> Table | None:
    known = [(each, each.difference) for each in comparisons if each.difference is not None]
    scale = scale_of([v for each, gap in known for v in ends(gap, each.interval)])
    systems = {each.system for each in comparisons}
    rows = []
    for each, gap in known:
        kind = kind_of(verdict_of(each) != "noise")
        p = ABSENT if each.p_corrected is None else p_said(each.p_corrected)
        cells = (Cell(f"{gap:+.4f}"), Cell(p), Cell(each.verdict or "not tested"))
        label = each.against if len(systems) == 1 else f"{each.system} − {each.against}"
        rows.append(Row(label, cells, "tested", track(scale, [Mark(gap, each.interval, kind)])))
    first = f"{systems.pop()} against" if len(systems) == 1 else "Systems"
    heads = (first, "Difference", "Corrected p", "Verdict")
    return table_of(f"Differences in {_metric_said(metric)}", heads, rows, axis(scale))


def _between(interval: Span | None) -> str:
    return ABSENT if interval is None else f"{interval[0]:.4f}–{interval[1]:.4f}"


def _metric_said(metric: str) -> str:
    name, at, length = metric.partition("@")
    return f"{ACCURACY.get(name, Metric(name)).said}{at}{length}"


def _seed(run: Outcome, place: int) -> str:
    seed = run.protocol.seed if run.seed is None else run.seed
    return f"seed {seed if isinstance(seed, int) else place}"


def _said(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
