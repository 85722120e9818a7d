"""Grades by hand: the weakest event is 1, equals share a grade, nothing is 0."""

import numpy as np

from recsys.ranking.grades import Grades, reached


def test_events_by_their_weight() -> None:
    grades = Grades.of(("purchase", "view", "cart"), (1.0, 0.3, 0.6))
    assert grades.names == ("view", "cart", "purchase")
    assert grades.graded(np.array([[0, 1], [2, -1]], np.int16)).tolist() == [[3, 1], [2, 0]]


def test_events_of_one_weight_are_one_grade() -> None:
    grades = Grades.of(("view", "purchase", "click"), (0.3, 1.0, 0.3))
    assert grades.names == ("view_or_click", "purchase")
    assert grades.of_event.tolist() == [1, 2, 1]


def test_a_stronger_event_reaches_the_weaker_grades() -> None:
    at_least = reached(np.array([0, 1, 3], np.uint8), 3)
    assert at_least.tolist() == [[False] * 3, [True, False, False], [True] * 3]
