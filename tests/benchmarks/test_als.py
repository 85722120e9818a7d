"""ALS against implicit's: the same start, the same objective, the figures of both."""

from benchmarks.als import compared, made_up
from benchmarks.tables import als


def test_ours_comes_no_less_far_than_implicit() -> None:
    matrix = made_up(400, 120, 6000)
    systems = compared(matrix, 8, 3)
    ours, theirs = ([step["loss"] for step in systems[name]] for name in ("recsys", "implicit"))
    assert ours == sorted(ours, reverse=True)
    assert all(own <= 1.001 * other for own, other in zip(ours, theirs, strict=True))
    lines = als([{"systems": systems}]).splitlines()
    assert len(lines) == 2 + 2 * 3


def test_the_log_that_is_made_up_has_about_as_many_pairs() -> None:
    matrix = made_up(2000, 5000, 40_000)
    assert 0.7 < matrix.nnz / 40_000 <= 1.3
    lengths = matrix.getnnz(axis=1)
    assert lengths.min() >= 1
    assert lengths.max() > 8 * lengths.mean()
