"""Plots with two axes, each with its numbers in a table."""

from collections.abc import Callable, Sequence

from recsys.reporting.charts import Line, Point, lines, reliability, scatter
from recsys.reporting.findings import main_system, ranking
from recsys.reporting.outcome import Epoch, Outcome
from recsys.reporting.tables import Cell, Figure, Row, Table, count, kind_of, number


def cost(outcome: Outcome) -> Figure | None:
    """NDCG at k over the time that a user's list takes."""
    main, points, rows = main_system(outcome), [], []
    for name, value in ranking(outcome).items():
        speed = outcome.systems[name].get("users_per_second")
        if not speed or speed <= 0:
            continue
        points.append(Point(name, 1e3 / speed, value, kind_of(name == main)))
        cells = (Cell(number(value)), Cell(f"{1e3 / speed:.3g}"), Cell(f"{speed:,.0f}"))
        rows.append(Row(name, cells, kind_of(name == main)))
    if not points:
        return None
    about = "NDCG over milliseconds per user; the table below has the numbers"
    heads = ("System", f"NDCG@{outcome.k}", "ms per user", "users per second")
    return Figure(
        scatter(points, about, log=True),
        "milliseconds per user, logarithmic",
        f"NDCG@{outcome.k}",
        Table("Quality and cost", heads, tuple(rows)),
    )


def curves(outcome: Outcome) -> Figure | None:
    """The losses of every epoch; the best held-out one is marked."""
    runs = _runs(outcome.curves)
    series = []
    for run in runs:
        learnt = _line(run, lambda epoch: epoch.train, "other")
        held = _line(run, lambda epoch: epoch.held_out, "main")
        series += [line for line in (learnt, held) if line.points]
    if not series:
        return None
    rows = [
        Row(
            f"{place}" if len(runs) == 1 else f"run {run}, {place}",
            (Cell(number(epoch.train)), Cell(number(epoch.held_out))),
        )
        for run, epochs in enumerate(runs, 1)
        for place, epoch in enumerate(epochs, 1)
    ]
    about = "Loss over epochs; the table below has the numbers"
    table = Table("Loss of each epoch", ("Epoch", "Training", "Held out"), tuple(rows))
    return Figure(lines(series, about), "epoch", "loss", table)


def calibration(outcome: Outcome) -> Figure | None:
    """What was foretold with some probability, and how often it came true."""
    bins = outcome.calibration.bins
    most = max((each.count or 0 for each in bins), default=0) or 1
    points = [
        Point("", each.predicted, each.observed, "main", 3 + 6 * ((each.count or 0) / most) ** 0.5)
        for each in bins
        if each.predicted is not None and each.observed is not None
    ]
    if not points:
        return None
    rows = [
        Row(number(each.predicted), (Cell(number(each.observed)), Cell(count(each.count))))
        for each in bins
    ]
    table = Table("Bins of predictions", ("Predicted", "Came true", "Predictions"), tuple(rows))
    about = "Share that came true over the predicted probability; the table has the numbers"
    return Figure(
        reliability(points, about), "predicted probability", "share that came true", table
    )


def _runs(epochs: Sequence[Epoch]) -> list[list[Epoch]]:
    """Each training alone: another one begins with another run, or where epochs count anew."""
    runs: list[list[Epoch]] = []
    before = None
    for each in epochs:
        anew = before is None or each.run != before.run or (each.epoch or 0) < (before.epoch or 0)
        if anew:
            runs.append([])
        runs[-1].append(each)
        before = each
    return runs


def _line(run: Sequence[Epoch], value: Callable[[Epoch], float | None], kind: str) -> Line:
    points = [
        (float(place if epoch.epoch is None else epoch.epoch), found)
        for place, epoch in enumerate(run, 1)
        if (found := value(epoch)) is not None
    ]
    losses = [loss for _, loss in points]
    marked = losses.index(min(losses)) if losses and kind == "main" else None
    return Line(points, kind, marked)
