"""Scales and plots: places that can be told without the code."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.reporting.charts import (
    Line,
    Mark,
    Point,
    axis,
    bar,
    lines,
    meter,
    reliability,
    scatter,
    stack,
    stair,
    track,
)
from recsys.reporting.scales import Scale, log_scale_of, scale_of

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=8)
POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8)


def drawn(svg: str) -> ElementTree.Element:
    """The drawing as XML, which it must be well-formed for."""
    return ElementTree.fromstring(svg)


def places(svg: str, name: str) -> list[float]:
    """All values in percent of one attribute."""
    found = [each.get(name) for each in drawn(svg).iter()]
    return [float(value.removesuffix("%")) for value in found if value and value.endswith("%")]


def test_a_scale_begins_at_zero_and_ends_at_a_round_value() -> None:
    scale = scale_of([0.0773, 0.0061])
    assert (scale.low, scale.high) == (0, pytest.approx(0.08))
    assert scale.ticks == (0, 0.02, 0.04, 0.06, 0.08)


def test_a_place_on_a_scale() -> None:
    scale = Scale(0, 10, (0, 100))
    assert [scale.at(value) for value in (0, 2.5, 10, 99, -1)] == [0, 25, 100, 100, 0]


def test_a_logarithmic_scale_puts_powers_at_even_distance() -> None:
    scale = Scale(1, 100, (0, 100), log=True)
    assert scale.ticks == (1, 10, 100)
    assert [scale.at(value) for value in (1, 10, 100)] == pytest.approx([0, 50, 100])


def test_a_short_logarithmic_scale_has_ticks_between_powers() -> None:
    assert Scale(1.5, 6, log=True).ticks == (2, 5)


@given(VALUES, st.booleans())
def test_a_scale_holds_what_it_is_made_of(values: list[float], zero: bool) -> None:
    scale = scale_of(values, (0, 100), zero=zero)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low <= min(values) + slack
    assert scale.high >= max(values) - slack
    assert not zero or scale.low <= 0 <= scale.high
    assert all(0 <= scale.at(value) <= 100 for value in values)
    assert 1 <= len(scale.ticks) <= 8


@given(POSITIVE)
def test_a_logarithmic_scale_does_too(values: list[float]) -> None:
    scale = log_scale_of(values, (0, 100))
    assert all(0 < scale.at(value) < 100 for value in values)
    assert sorted(scale.ticks) == list(scale.ticks)


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0], [3.0], [-2.0]])
def test_a_scale_of_one_value_or_none_has_a_length(values: list[float]) -> None:
    scale = scale_of(values)
    assert scale.low < scale.high
    assert drawn(axis(scale)).findall("text")


def test_a_track_has_a_dot_between_the_ends_of_its_whisker() -> None:
    svg = track(Scale(0, 1, (0, 100)), [Mark(0.5, (0.25, 0.75), "main")])
    whisker = next(each for each in drawn(svg).iter("line") if each.get("class") == "main")
    assert (whisker.get("x1"), whisker.get("x2")) == ("25.00%", "75.00%")
    assert places(svg, "cx") == [50]


def test_marks_of_one_track_stand_above_each_other() -> None:
    svg = track(Scale(0, 1), [Mark(0.5, None, "main"), Mark(0.5)])
    assert places(svg, "cy") == pytest.approx([33.3, 66.7])


def test_a_stack_fills_its_width_and_labels_what_is_wide_enough() -> None:
    svg = stack([(0.2, "main"), (0.75, "work"), (0.05, "other")])
    assert sum(places(svg, "width")) == pytest.approx(100)
    assert [text.text for text in drawn(svg).iter("text")] == ["20\u202f%", "75\u202f%"]
    assert drawn(svg).findall("rect")[-1].get("class") == "work"


def test_a_stair_stands_where_it_stands_in_the_stack() -> None:
    assert places(stair(0.2, 0.75, "work"), "x") == [0, 20]


@pytest.mark.parametrize(("share", "width"), [(0.25, 25), (1.5, 100), (-1.0, 0)])
def test_a_meter_never_leaves_its_bed(share: float, width: float) -> None:
    assert places(meter(share), "width") == [100, width]


def test_names_of_points_that_lie_close_are_apart() -> None:
    svg = scatter([Point("one", 1, 0.5), Point("other", 1.01, 0.5), Point("far", 9, 0.1)], "")
    sides = {t.text: t.get("class") for t in drawn(svg).iter("text") if t.text in ("one", "other")}
    assert sides["one"] != sides["other"]


def test_what_a_plot_shows_is_also_said() -> None:
    svg = drawn(scatter([Point("<b>", 1, 2)], 'about "it"', log=True))
    assert (svg.get("role"), svg.get("aria-label")) == ("img", 'about "it"')
    assert "<b>" in [text.text for text in svg.iter("text")]


def test_a_line_is_a_path_with_its_mark() -> None:
    svg = lines([Line([(1, 3.0), (2, 1.0), (3, 2.0)], "main", 1)], "losses")
    (path,) = drawn(svg).iter("polyline")
    assert len(str(path.get("points")).split()) == 3
    assert places(svg, "cx") == [50]


def test_a_line_of_one_point_is_a_dot() -> None:
    assert len(places(lines([Line([(1, 3.0)])], "losses"), "cx")) == 1


def test_a_calibrated_prediction_lies_on_the_diagonal() -> None:
    svg = reliability([Point("", 0.5, 0.5), Point("", 1.0, 1.0)], "calibration")
    (path,) = drawn(svg).iter("polyline")
    end = str(path.get("points")).split()[1].split(",")
    assert [places(svg, "cx")[1], places(svg, "cy")[1]] == pytest.approx([float(v) for v in end])


def test_a_bar_reaches_from_0_to_its_value_on_either_side() -> None:
    scale = Scale(-1, 1, (0, 100))
    right, left = (bar(scale, Mark(value, (value - 0.1, value + 0.1))) for value in (0.5, -0.5))
    assert places(right, "width") == places(left, "width") == [25]
    assert 'x="50.00%"' in right
    assert 'x="25.00%"' in left
    assert 'x1="70.00%" x2="80.00%"' in right
