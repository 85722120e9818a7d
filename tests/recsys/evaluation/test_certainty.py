"""Certainty: by hand, against scipy and statsmodels, and on simulated systems."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.evaluation import certainty
from recsys.evaluation.certainty import (
    Bootstrap,
    Comparison,
    across_seeds,
    compare,
    corrected,
    holm,
    in_words,
    interval,
    p_value,
    per_user,
)
from recsys.features.errors import DataError, SettingsError

NAN = float("nan")


def one_column(values, **settings):
    """The draws of one metric."""
    return Bootstrap(len(values), **settings).means(np.array(values, float)[:, None])[:, 0]


def scores(users=400, seed=0, shift=0.0):
    """Values like those of ndcg: many zeros, the rest below 1; `shift` more where it is not 0."""
    rng = np.random.default_rng(seed)
    found = rng.random(users) < 0.4
    return np.where(found, 0.2 + 0.6 * rng.random(users) + shift, 0)


def test_two_users_have_three_draws() -> None:
    """Both, twice the one, or twice the other: half, a quarter and a quarter of the draws."""
    means, counts = np.unique(one_column([0, 1], draws=4000), return_counts=True)
    assert means.tolist() == [0, 0.5, 1]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_same_numbers_are_the_same_draws() -> None:
    values = scores()
    assert np.array_equal(one_column(values), one_column(values))
    assert not np.array_equal(one_column(values), one_column(values, seed=1))


def test_systems_are_drawn_together() -> None:
    """A system that is better for each user by .1 is better by .1 in each draw."""
    values = np.stack([scores(), scores() + 0.1], axis=1)
    both = Bootstrap(400)
    means = both.means(values)
    assert means[:, 1] - means[:, 0] == pytest.approx(0.1)
    assert both.means(values[:, :1]) == pytest.approx(means[:, :1])


def test_draws_that_are_not_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = scores()
    kept = one_column(values)
    monkeypatch.setattr(certainty, "_KEPT", 0)
    assert np.array_equal(one_column(values), kept)


def test_blocks_draw_every_user_as_often_as_there_are_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certainty, "_AT_ONCE", 1000)
    weights = np.concatenate(list(Bootstrap(300, draws=10)._weights()))
    assert weights.shape == (10, 300)
    assert (weights.sum(axis=1) == 300).all()
    assert len(np.unique(weights, axis=0)) == 10


def test_the_interval_of_scipy() -> None:
    values = scores(60)
    draws = one_column(values, draws=4000)
    low, high = interval(draws[:, None])
    settings = {"statistic": np.mean, "method": "percentile"}
    own_draws = stats.bootstrap(
        (values,), n_resamples=4000, rng=np.random.default_rng(1), **settings
    )
    our_draws = stats.bootstrap(
        (values,), n_resamples=0, bootstrap_result=replace(own_draws, bootstrap_distribution=draws),
        **settings,
    )  # fmt: skip
    assert (low[0], high[0]) == pytest.approx(tuple(our_draws.confidence_interval))
    width = high[0] - low[0]
    expected = tuple(own_draws.confidence_interval)
    assert (low[0], high[0]) == pytest.approx(expected, abs=0.06 * width)
    assert draws.std(ddof=1) == pytest.approx(own_draws.standard_error, rel=0.06)


def test_the_interval_holds_the_truth_19_times_of_20() -> None:
    """1,000 samples of 300 users from one distribution whose mean is known."""
    rng = np.random.default_rng(0)
    samples = np.where(rng.random((300, 1000)) < 0.4, rng.random((300, 1000)), 0)
    low, high = interval(Bootstrap(300, draws=500).means(samples))
    assert np.mean((low <= 0.2) & (high >= 0.2)) == pytest.approx(0.95, abs=0.02)


columns = st.lists(
    st.lists(st.one_of(st.just(NAN), st.floats(-1, 1)), min_size=3, max_size=3),
    min_size=1,
    max_size=30,
).map(np.array)


@given(columns, st.floats(0.5, 0.99))
def test_the_interval_is_that_of_numpy_over_the_draws_that_count(draws, level) -> None:
    low, high = interval(draws, level)
    for column in range(3):
        known = draws[:, column][~np.isnan(draws[:, column])]
        if not len(known):
            assert math.isnan(low[column])
            assert math.isnan(high[column])
            continue
        expected = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        assert [low[column], high[column]] == pytest.approx(expected, abs=1e-12)


@given(columns)
def test_users_without_a_value_count_in_no_draw(values) -> None:
    """By hand: the mean over the users drawn who have a value."""
    bootstrap = Bootstrap(len(values), draws=5)
    (weights,) = bootstrap._weights()
    means = bootstrap.means(values)
    for draw, column in np.ndindex(means.shape):
        known = ~np.isnan(values[:, column])
        drawn = np.repeat(values[:, column], weights[draw])
        drawn = drawn[~np.isnan(drawn)]
        if known.sum() < 2 or not len(drawn):
            assert math.isnan(means[draw, column])
        else:
            assert means[draw, column] == pytest.approx(drawn.mean(), abs=1e-12)


def test_ratios_weigh_users_by_their_counts() -> None:
    sums, counts = np.array([[4.0], [0.0]]), np.array([[4], [1]])
    assert set(np.unique(Bootstrap(2).ratios(sums, counts))) == {0, 0.8, 1}


def test_one_user_tells_nothing_of_others() -> None:
    low, high = interval(Bootstrap(1).means(np.array([[0.5]])))
    assert np.isnan([low[0], high[0]]).all()
    (comparison,) = compare({"a": np.ones(1), "b": np.zeros(1)}, "a", "hr@10", Bootstrap(1))
    assert comparison.as_dict() == {
        "metric": "hr@10",
        "system": "a",
        "against": "b",
        "difference": 1.0,
        "verdict": "inside the noise",
    }
    assert "cannot be told apart" in in_words(comparison)


@pytest.mark.parametrize(("users", "draws"), [(0, 10), (3, 0)])
def test_nobody_to_draw(users: int, draws: int) -> None:
    with pytest.raises(SettingsError, match=f"got {users} users and {draws} draws"):
        Bootstrap(users, draws)


def test_other_users_than_those_drawn() -> None:
    with pytest.raises(DataError, match=r"of 3 users .* values of 2"):
        Bootstrap(3).means(np.ones((2, 1)))


@given(st.integers(2, 30), st.integers(0, 2**31))
def test_the_paired_t_test_of_scipy(users: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.random(users), rng.random(users)
    expected = max(stats.ttest_rel(ours, theirs).pvalue, 2.0 ** (1 - users))
    assert p_value(ours - theirs) == pytest.approx(expected)
    assert p_value(np.append(ours - theirs, NAN)) == pytest.approx(expected)


def test_differences_without_spread() -> None:
    assert p_value(np.zeros(50)) == 1
    assert p_value(np.full(5, 0.1)) == 1 / 16
    assert p_value(scores(50) + 0.1 - scores(50)) == pytest.approx(2**-49)
    assert p_value(np.full(9000, -1.0)) == 0


@pytest.mark.parametrize("known", [[], [0.3]])
def test_too_few_users_to_test(known: list[float]) -> None:
    assert math.isnan(p_value(np.array([*known, NAN])))


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2, 0.001, 0.5, 0.02, 0.02, 0.9], [0.6, 0.006, 1.0, 0.1, 0.1, 1.0]),
        ([0.6, 0.7, 0.8], [1.0, 1.0, 1.0]),
        ([0.03], [0.03]),
        ([], []),
    ],
)
def test_holm_as_statsmodels(p: list[float], expected: list[float]) -> None:
    """Expected is multipletests(p, method="holm")[1] of statsmodels 0.15.0."""
    assert holm(np.array(p)) == pytest.approx(expected)
    with_gap = holm(np.array([NAN, *p]))
    assert math.isnan(with_gap[0])
    assert with_gap[1:] == pytest.approx(expected)


def test_clearly_better_worse_and_the_same() -> None:
    values = {
        "ours": scores(shift=0.1),
        "weaker": scores(),
        "stronger": scores(shift=0.15),
        "twin": scores(shift=0.1),
        "noise": scores(shift=0.1) + np.random.default_rng(1).normal(scale=0.2, size=400),
    }
    found = {each.against: each for each in compare(values, "ours", "ndcg@10", Bootstrap(400))}
    assert {name: each.verdict for name, each in found.items()} == {
        "weaker": "better",
        "stronger": "worse",
        "twin": "inside the noise",
        "noise": "inside the noise",
    }
    weaker = found["weaker"]
    assert weaker.difference == pytest.approx(np.mean(values["ours"] - values["weaker"]))
    assert weaker.interval[0] < weaker.difference < weaker.interval[1]
    assert weaker.p < weaker.p_corrected < 1e-6
    assert (found["twin"].p, found["twin"].p_corrected) == (1, 1)
    assert found["twin"].interval == (0, 0)
    assert found["noise"].interval[0] < 0 < found["noise"].interval[1]


def test_only_users_with_both_values_are_compared() -> None:
    ours, theirs = scores(shift=0.1), scores()
    theirs[:100] = NAN
    (found,) = compare({"ours": ours, "theirs": theirs}, "ours", "x@10", Bootstrap(400))
    assert found.difference == pytest.approx(np.mean(ours[100:] - theirs[100:]))
    nobody = {"ours": ours, "theirs": np.full(400, NAN)}
    (none,) = compare(nobody, "ours", "x@10", Bootstrap(400))
    assert set(none.as_dict()) == {"metric", "system", "against", "verdict"}


def test_a_single_system_has_nothing_to_be_compared_with() -> None:
    assert compare({"ours": scores()}, "ours", "ndcg@10", Bootstrap(400)) == []


def test_an_unknown_reference() -> None:
    with pytest.raises(SettingsError, match=r"\['ours'\]; got 'theirs'"):
        compare({"ours": scores()}, "theirs", "ndcg@10", Bootstrap(400))


def a_comparison(p: float, difference: float = 0.02) -> Comparison:
    return Comparison(
        "ndcg@10", "ours", "theirs", difference, (0.01, 0.03), p, p, "inside the noise"
    )


def test_a_longer_family_takes_more_to_convince() -> None:
    (alone,) = corrected([a_comparison(0.02)])
    assert alone.verdict == "better"
    among = corrected([a_comparison(0.02), a_comparison(0.5), a_comparison(0.6), a_comparison(NAN)])
    assert among[0].p_corrected == pytest.approx(0.06)
    assert {each.verdict for each in among} == {"inside the noise"}


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Of 200 evaluations of six systems of one quality at most one in twenty cries wolf."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        p = np.array([p_value(d) for d in rng.normal(size=(5, 100))])
        alarms += (holm(p) < 0.05).any()
    assert alarms / 200 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)


def test_what_is_said_of_a_difference() -> None:
    (better,) = corrected([a_comparison(0.002)])
    assert in_words(better) == (
        "ours is better than theirs: ndcg@10 differs by +0.0200 "
        "(95 % interval +0.0100 to +0.0300, corrected p = 0.002)"
    )
    (worse,) = corrected([a_comparison(0.002, -0.02)])
    assert in_words(worse).startswith("ours is worse than theirs: ndcg@10 differs by -0.0200 ")
    assert in_words(a_comparison(0.4)) == (
        "ndcg@10 of ours less that of theirs is +0.0200, which is inside the noise "
        "(95 % interval +0.0100 to +0.0300, corrected p = 0.4)"
    )


def test_a_comparison_for_json() -> None:
    (better,) = corrected([a_comparison(0.002)])
    assert json.loads(json.dumps(better.as_dict(), allow_nan=False)) == {
        "metric": "ndcg@10",
        "system": "ours",
        "against": "theirs",
        "difference": 0.02,
        "interval": [0.01, 0.03],
        "p": 0.002,
        "p_corrected": 0.002,
        "verdict": "better",
    }


def test_users_of_several_windows_count_once() -> None:
    users = np.array([7, 2, 7, -1, 7, -1], np.int32)
    values = np.array([[1.0], [0.5], [0.0], [0.25], [NAN], [0.75]])
    sums, counts = per_user(users, values)
    assert sorted(zip(sums[:, 0], counts[:, 0], strict=True)) == [
        (0.25, 1), (0.5, 1), (0.75, 1), (1.0, 2),
    ]  # fmt: skip


def test_seeds_by_hand() -> None:
    values = np.array([[0.0, 1.0, NAN], [0.5, 1.0, NAN], [NAN, 0.4, NAN]])
    means, spread = across_seeds(values)
    assert means[:2] == pytest.approx([0.25, 0.8])
    assert math.isnan(means[2])
    assert spread == pytest.approx(np.std([0.5, 0.75, 0.4], ddof=1))
    assert math.isnan(across_seeds(values[:1])[1])
