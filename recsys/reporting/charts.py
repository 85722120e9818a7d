"""Plots as inline SVG that fits any width: places are percentages, texts and marks keep their size.

How a mark looks is said by the style sheet of the page, through its class: `main` for what the
page is about, `other` for what it is held against.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from recsys.reporting.scales import Scale, Span, log_scale_of, scale_of, tick_said

_X: Span = (2, 98)  # of a plot with two axes: labels of y stand left of it, those of x below
_Y: Span = (86, 8)


_SIZES = ((290, 250), (860, 250))  # pixels of a plot on a phone and on a desk, for its labels
_ROOM = 0.12  # the share of a stack that a label fits into on a phone
_LETTER, _LINE = 6.6, 14  # pixels that a letter of a label takes


@dataclass(frozen=True)
class Mark:
    """A value with the interval that it lies in, where one is known."""

    value: float
    interval: Span | None = None
    kind: str = "other"


@dataclass(frozen=True)
class Point:
    """A named place in a plot with two axes."""

    name: str
    x: float
    y: float
    kind: str = "other"
    size: float = 4.5


@dataclass(frozen=True)
class Line:
    """Points joined in their order, one of them marked."""

    points: Sequence[Span]
    kind: str = "other"
    marked: int | None = None


def track(scale: Scale, marks: Sequence[Mark]) -> Markup:
    """A dot with its whiskers for each mark, on one row of a table; 0 is marked if inside."""
    parts = [*_grid(scale)]
    step = 100 / (len(marks) + 1)
    for number, mark in enumerate(marks, 1):
        y = f"{number * step:.1f}%"
        if mark.interval is not None:
            parts.append(
                _rule(mark.kind, scale.at(mark.interval[0]), scale.at(mark.interval[1]), y)
            )
        parts.append(_dot(mark.kind, scale.at(mark.value), y))
    return _row("track", parts)


def bar(scale: Scale, mark: Mark) -> Markup:
    """A bar from 0 to a value, on one row of a table, with the whiskers of its interval."""
    left, right = sorted((scale.at(0), scale.at(mark.value)))
    box = Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="25%" height="50%"/>')
    parts = [*_grid(scale), box.format(mark.kind, left, right - left)]
    if mark.interval is not None:
        low, high = mark.interval
        parts.append(_rule("whisker", scale.at(low), scale.at(high), "50%"))
    return _row("track", parts)


def axis(scale: Scale) -> Markup:
    """The labels of a scale, on the row below its tracks."""
    return _row("axis", [_text(tick_said(tick), scale.at(tick), "50%") for tick in scale.ticks])


def stack(parts: Sequence[tuple[float, str]]) -> Markup:
    """Shares of a whole beside each other, of their kinds, each labelled where there is room."""
    boxes: list[Markup] = []
    labels, start = [], 0.0
    for share, kind in parts:
        # What is to work on has an outline: it is drawn last, so that nothing covers that.
        boxes.insert(len(boxes) if kind == "work" else 0, _box(kind, start, share))
        if share >= _ROOM:
            label = f"{100 * share:.0f}\u202f%"
            labels.append(_text(label, 100 * (start + share / 2), "50%", f"in-{kind}"))
        start += share
    return _row("stack", [*boxes, *labels])


def stair(start: float, share: float, kind: str) -> Markup:
    """One share of a stack alone, where it stands in it."""
    return _row("stair", [_box("rest", 0.0, 1.0), _box(kind, start, share)])


def meter(share: float, kind: str = "other") -> Markup:
    """A share of one as a bar."""
    return _row("meter", [_box("rest", 0.0, 1.0), _box(kind, 0.0, min(max(share, 0.0), 1.0))])


def scatter(points: Sequence[Point], about: str, *, log: bool = False) -> Markup:
    """Named points; `about` says the same for those who cannot see them."""
    horizontal = [point.x for point in points]
    x = log_scale_of(horizontal, _X) if log else scale_of(horizontal, _X)
    y = scale_of([point.y for point in points], _Y)
    parts = [*_axes(x, y)]
    for point, place in zip(points, _labels(points, x, y), strict=True):
        parts.append(_dot(point.kind, x.at(point.x), f"{y.at(point.y):.2f}%", point.size))
        parts.append(
            _text(point.name, x.at(point.x), f"{y.at(point.y):.2f}%", f"{place} {point.kind}")
        )
    return _plot(parts, about)


def lines(series: Sequence[Line], about: str) -> Markup:
    """Lines over whole numbers such as epochs."""
    places = [point for line in series for point in line.points]
    xs = [place[0] for place in places]
    x = Scale(min(xs, default=0), max(xs, default=1), _X)
    y = scale_of([place[1] for place in places], _Y, zero=False)
    parts = [*_axes(x, y, whole=True), *(_line(each, x, y) for each in series)]
    for line in (each for each in series if each.marked is not None):
        left, top = line.points[line.marked or 0]
        parts.append(_dot(line.kind, x.at(left), f"{y.at(top):.2f}%"))
    return _plot(parts, about)


def reliability(points: Sequence[Point], about: str) -> Markup:
    """What was foretold against what came true; on the diagonal both are equal."""
    top = max((max(point.x, point.y) for point in points), default=1.0)
    x, y = scale_of([top], _X), scale_of([top], _Y)
    parts = [*_axes(x, y), _line(Line([(0, 0), (x.high, x.high)], "even"), x, y)]
    parts += [_dot(each.kind, x.at(each.x), f"{y.at(each.y):.2f}%", each.size) for each in points]
    return _plot(parts, about)


def _line(line: Line, x: Scale, y: Scale) -> Markup:
    """A path in a box that is stretched to the plot; the pen keeps its width."""
    if len(line.points) == 1:
        ((left, top),) = line.points
        return _dot(line.kind, x.at(left), f"{y.at(top):.2f}%", 3)
    path = " ".join(f"{x.at(left):.2f},{y.at(top):.2f}" for left, top in line.points)
    return Markup(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none">'
        '<polyline class="{}" points="{}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(line.kind, path)


def _axes(x: Scale, y: Scale, *, whole: bool = False) -> Iterator[Markup]:
    for tick in y.ticks:
        place = f"{y.at(tick):.2f}%"
        yield _rule("grid", 0, 100, place)
        yield _text(tick_said(tick), 0, place, "tick-y")
    ticks = [tick for tick in x.ticks if not whole or tick == int(tick)]
    for tick in ticks:
        yield _text(tick_said(tick), x.at(tick), "95%", "tick-x")


def _grid(scale: Scale) -> Iterator[Markup]:
    for tick in scale.ticks:
        kind = "zero" if tick == 0 else "grid"
        place = f"{scale.at(tick):.2f}%"
        yield Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="100%"/>').format(
            kind, place, place
        )


def _rule(kind: str, start: float, end: float, y: str) -> Markup:
    return Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="{}" y2="{}"/>').format(
        kind, start, end, y, y
    )


def _dot(kind: str, x: float, y: str, size: float = 4.5) -> Markup:
    return Markup('<circle class="{}" cx="{:.2f}%" cy="{}" r="{:g}"/>').format(kind, x, y, size)


def _box(kind: str, start: float, share: float) -> Markup:
    return Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="100%"/>').format(
        kind, 100 * start, 100 * share
    )


def _text(text: str, x: float, y: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{:.2f}%" y="{}">{}</text>').format(kind, x, y, text)


def _row(kind: str, parts: Sequence[Markup]) -> Markup:
    """A drawing whose numbers stand beside it in the table."""
    return Markup('<svg class="{}" aria-hidden="true">{}</svg>').format(
        kind, Markup("").join(parts)
    )


def _plot(parts: Sequence[Markup], about: str) -> Markup:
    return Markup('<svg class="plot" role="img" aria-label="{}">{}</svg>').format(
        about, Markup("").join(parts)
    )


def _labels(points: Sequence[Point], x: Scale, y: Scale) -> list[str]:
    """For each point the side its name stands on, so that names and points cover no other one."""
    centres = [
        [(x.at(each.x) * width / 100, y.at(each.y) * height / 100) for each in points]
        for width, height in _SIZES
    ]
    taken = [[(cx - 6, cy - 6, cx + 6, cy + 6) for cx, cy in size] for size in centres]
    sides = []
    for number, point in enumerate(points):
        boxes = {
            side: [_around(size[number], side, len(point.name) * _LETTER) for size in centres]
            for side in ("right", "left", "above", "below")
        }
        side = min(boxes, key=lambda each: _crowd(boxes[each], taken))
        sides.append(side)
        for size, box in zip(taken, boxes[side], strict=True):
            size.append(box)
    return sides


Box = tuple[float, float, float, float]


def _around(centre: Span, side: str, width: float) -> Box:
    cx, cy = centre
    left, top = {
        "right": (cx + 8, cy - _LINE / 2),
        "left": (cx - 8 - width, cy - _LINE / 2),
        "above": (cx - width / 2, cy - 8 - _LINE),
        "below": (cx - width / 2, cy + 8),
    }[side]
    return left, top, left + width, top + _LINE


def _crowd(boxes: Sequence[Box], taken: Sequence[Sequence[Box]]) -> int:
    """How many others a label covers, over all sizes of the plot; to leave it is worse."""
    crowd = 0
    for box, others, (width, height) in zip(boxes, taken, _SIZES, strict=True):
        crowd += sum(_overlap(box, other) for other in others)
        bottom = height * _Y[0] / 100
        crowd += 3 * (box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > bottom + 8)
    return crowd


def _overlap(one: Box, other: Box) -> bool:
    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return not apart
