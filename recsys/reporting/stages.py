"""What each stage found and lost, as tables."""

from markupsafe import Markup

from recsys.reporting.charts import Mark, axis, meter, stack, stair, track
from recsys.reporting.findings import lost_stages, percent, to_work_on
from recsys.reporting.outcome import Outcome
from recsys.reporting.scales import scale_of
from recsys.reporting.tables import Cell, Row, Table, count, number, share, table_of


def funnel(outcome: Outcome) -> Table | None:
    """Where each positive ended; the rows sum to all."""
    stage, _ = to_work_on(outcome)
    rows: list[Row] = []
    start, total = 0.0, 0
    for place, (lost, part) in enumerate(lost_stages(outcome)):
        kind = _kind(lost.stage, place, stage)
        cells = (Cell(count(lost.positives)), Cell(percent(part)))
        rows.append(Row(lost.stage, cells, kind, stair(start, part, kind)))
        start += part
        total += lost.positives or 0
    if rows:
        rows.append(Row("all positives", (Cell(count(total)), Cell(percent(start))), "sum"))
    return table_of("Where every positive ended", ("Stage", "Positives", "Share"), rows)


def bar(outcome: Outcome) -> Markup:
    """All positives as one bar, of the stages where they ended."""
    stage, _ = to_work_on(outcome)
    shares = [
        (part, _kind(lost.stage, place, stage))
        for place, (lost, part) in enumerate(lost_stages(outcome))
    ]
    return stack(shares)


def sources(outcome: Outcome) -> Table | None:
    """What each source finds, and all of them together."""
    found, union = outcome.account.sources, outcome.account.union
    rows = [
        Row(name, _of(each.recall, each.only_share, each.candidates), plot=_meter(each.recall))
        for name, each in found.items()
    ]
    if union:
        recall = union.get("recall")
        cells = _of(recall, None, union.get("candidates"))
        rows.append(Row("all together", cells, "sum", _meter(recall, "main")))
    heads = ("Source", "Recall", "Found by it alone", "Candidates")
    return table_of("What each source finds", heads, rows)


def costs(outcome: Outcome) -> Table | None:
    """How deep each source was asked, and what it cost."""
    rows = [
        Row(name, (Cell(count(each.depth)), Cell(count(each.only)), Cell(number(each.seconds, 2))))
        for name, each in outcome.account.sources.items()
    ]
    seconds = {"all together": outcome.account.union, "ranking": outcome.account.ranker}
    rows += [
        Row(name, (Cell(""), Cell(""), Cell(number(part.get("seconds"), 2))), "sum")
        for name, part in seconds.items()
        if part.get("seconds") is not None
    ]
    heads = ("Source", "Depth", "Positives found by it alone", "Seconds")
    return table_of("Depth and cost of each source", heads, rows)


def sources_said(outcome: Outcome) -> str:
    """The ceiling that the sources set, and which one is missed most if it is left out."""
    recall = outcome.account.union.get("recall")
    alone = {n: s.only_share for n, s in outcome.account.sources.items() if s.only_share}
    said = []
    if recall is not None:
        said.append(
            f"Together the sources offer {percent(recall)} of what was chosen: no ranking "
            "of their candidates can find more."
        )
    if alone:
        best = max(alone, key=lambda name: alone[name])
        said.append(
            f"The source {best} would be missed most: {percent(alone[best])} of the positives "
            "are found by it alone."
        )
    return " ".join(said)


def ranker_said(outcome: Outcome) -> str:
    """How much of what its candidates allow the ranker reaches."""
    given = outcome.account.ranker.get(f"given@{outcome.k}")
    if given is None:
        return ""
    return f"The ranker reaches {percent(given)} of the NDCG that its candidates allow."


def overlap(outcome: Outcome) -> Table | None:
    """Of the candidates of the source of a row the share that the source of a column offered."""
    names, shares = outcome.account.overlap.sources, outcome.account.overlap.share
    rows = [
        Row(
            name,
            tuple(
                Cell("") if column == place else Cell(share(value), value or 0.0)
                for column, value in enumerate(values)
            ),
        )
        for place, (name, values) in enumerate(zip(names, shares, strict=False))
    ]
    return table_of(
        "Of the candidates of a row, the share that the column offers too", ("", *names), rows
    )


def ranker(outcome: Outcome) -> Table | None:
    """NDCG as the candidates were ranked, and as the best order of them would have it."""
    found, k = outcome.account.ranker, outcome.k
    named = {"as ranked": found.get(f"ndcg@{k}"), "best possible order": found.get(f"best@{k}")}
    values = {name: value for name, value in named.items() if value is not None}
    scale = scale_of(list(values.values()))
    rows = [
        Row(name, (Cell(number(value)),), kind, track(scale, [Mark(value, kind=kind)]))
        for (name, value), kind in zip(values.items(), ("main", "other"), strict=False)
    ]
    return table_of("The ranker and its candidates", ("Order", f"NDCG@{k}"), rows, axis(scale))


def _kind(stage: str, place: int, work: str | None) -> str:
    """The first stage is the list itself; the one to work on stands out too."""
    return "main" if place == 0 else "work" if stage == work else "other"


def _of(recall: float | None, only: float | None, candidates: float | None) -> tuple[Cell, ...]:
    return Cell(share(recall)), Cell(share(only)), Cell(number(candidates, 1))


def _meter(recall: float | None, kind: str = "other") -> Markup:
    return meter(recall or 0.0, kind)
