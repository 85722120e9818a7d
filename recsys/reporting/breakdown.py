"""For whom and when lists are good: the two-stage list beside the best other, part by part."""

from collections.abc import Iterable, Sequence

from recsys.reporting.charts import Mark, axis, track
from recsys.reporting.findings import best_other, day, main_system
from recsys.reporting.outcome import Outcome, Slice, SliceScores
from recsys.reporting.scales import Scale, Span, ends, scale_of
from recsys.reporting.tables import Cell, Row, Table, count, number, table_of


def pair(outcome: Outcome) -> list[str]:
    """The list that the report is about, and the one that it is held against."""
    return [name for name in (main_system(outcome), best_other(outcome)) if name]


def slices_said(outcome: Outcome) -> str:
    """In how many slices the first of the pair is ahead, and where it is not."""
    names, metric = pair(outcome), f"ndcg@{outcome.k}"
    if len(names) < 2:
        return ""
    gaps, behind = 0, []
    for each in outcome.slices:
        ours, theirs = (each.systems.get(name, SliceScores()).score(metric) for name in names)
        if ours is None or theirs is None or ours == theirs:
            continue
        gaps += 1
        if ours < theirs:
            behind.append(f"{each.by} {each.slice} ({count(_size(each))} users)")
    if not gaps:
        return ""
    said = f"The {names[0]} list is ahead of {names[1]} in {gaps - len(behind)} of {gaps} slices"
    where = f", behind in {'; '.join(behind)}" if behind else ""
    return f"{said}{where}. Slices are not tested one by one: wide whiskers may be noise."


def slices(outcome: Outcome) -> list[Table]:
    """Per way of slicing the two-stage list beside the best other; all on one scale."""
    metric, names = f"ndcg@{outcome.k}", pair(outcome)
    scores = [each.systems.get(name, SliceScores()) for each in outcome.slices for name in names]
    scale = scale_of([v for each in scores for v in ends(each.score(metric), each.interval)])
    ways = dict.fromkeys(each.by for each in outcome.slices)
    tables = (_slices(outcome, way, names, scale) for way in ways)
    return [table for table in tables if table is not None]


def windows(outcome: Outcome) -> Table | None:
    """The two-stage list beside the best other, cutoff by cutoff."""
    metric, names = f"ndcg@{outcome.k}", pair(outcome)
    found = [
        (each, [each.systems.get(name, {}).get(metric) for name in names])
        for each in outcome.windows
    ]
    scale = scale_of([value for _, values in found for value in values if value is not None])
    rows = [
        Row(
            day(each.cutoff) or f"window {place}",
            (*(Cell(number(value)) for value in values), Cell(count(each.users))),
            plot=track(scale, _marks([(value, None) for value in values])),
        )
        for place, (each, values) in enumerate(found, 1)
    ]
    return table_of("Window by window", ("Cutoff", *names, "Users"), rows, axis(scale))


def _slices(outcome: Outcome, way: str, names: Sequence[str], scale: Scale) -> Table | None:
    metric = f"ndcg@{outcome.k}"
    rows = []
    for each in (part for part in outcome.slices if part.by == way):
        scores = [each.systems.get(name, SliceScores()) for name in names]
        values = [score.score(metric) for score in scores]
        marks = _marks([(v, s.interval) for v, s in zip(values, scores, strict=True)])
        cells = (*(Cell(number(value)) for value in values), Cell(count(_size(each))))
        rows.append(Row(each.slice, cells, plot=track(scale, marks)))
    return table_of(f"By {way}", ("Slice", *names, "Users"), rows, axis(scale))


def _marks(values: Iterable[tuple[float | None, Span | None]]) -> list[Mark]:
    """Marks of what is known: the first of them is what the page is about."""
    kinds = ("main", "other")
    found = zip(values, kinds, strict=False)
    return [Mark(value, interval, kind) for (value, interval), kind in found if value is not None]


def _size(part: Slice) -> int | None:
    return part.users if part.users is not None else part.positives
