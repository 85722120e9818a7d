"""What the ranker goes by, as a table of bars."""

from recsys.reporting.charts import Mark, axis, bar
from recsys.reporting.outcome import Outcome
from recsys.reporting.scales import ends, scale_of
from recsys.reporting.tables import ABSENT, Cell, Row, Table, count, number, table_of


def importance(outcome: Outcome) -> Table | None:
    """What NDCG falls by without each family of features, the largest first."""
    known = [(each, each.fall) for each in outcome.importance.families if each.fall is not None]
    scale = scale_of([end for each, fall in known for end in ends(fall, each.interval)])
    rows = []
    for each, fall in known:
        surely = each.interval is not None and each.interval[0] > 0
        between = " to ".join(f"{end:+.4f}" for end in each.interval or ()) or ABSENT
        mark = Mark(fall, each.interval, "main" if surely else "other")
        rows.append(Row(each.family, (Cell(number(fall)), Cell(between)), plot=bar(scale, mark)))
    heads = ("Features of", f"NDCG@{outcome.k} lost", "95 % interval")
    return table_of("What the ranker loses without each family", heads, rows, axis(scale))


def importance_said(outcome: Outcome) -> str:
    """What counts most, and over how many lists that is known."""
    found = outcome.importance
    known = [each for each in found.families if each.fall is not None]
    if not known or found.value is None:
        return ""
    first = max(known, key=lambda each: each.fall or 0.0)
    return (
        f"Over the lists of {count(found.users)} users one of whose candidates was chosen, its "
        f"order reaches NDCG@{outcome.k} {number(found.value)}; it rests most on “{first.family}”, "
        f"without which it would lose {number(first.fall)}."
    )
