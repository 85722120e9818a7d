"""Metrics by hand, and against trec_eval and torchmetrics over random and degenerate cases."""

import math

import numpy as np
import pytest
import pytrec_eval
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torchmetrics.functional import retrieval

from recsys.evaluation import metrics
from recsys.features.arrays import PAD

NAMES = ("ndcg", "recall", "hr", "precision", "f1", "map", "mrr")

ANSWERS = {"ndcg_cut": "ndcg", "map_cut": "map", "P": "precision", "recall": "recall"}
"""What trec_eval calls each metric that it cuts at k."""


@st.composite
def worlds(draw):
    """(number of items, k, per user a list without repeats and a set of positives)."""
    n, k = draw(st.integers(1, 8)), draw(st.integers(1, 10))
    items = st.permutations(range(n))
    lists = st.tuples(items, st.integers(0, min(n, k))).map(lambda pair: pair[0][: pair[1]])
    users = st.tuples(lists, st.sets(st.integers(0, n - 1)))
    return n, k, draw(st.lists(users, min_size=1, max_size=5))


degenerate = [
    example((1, 1, [([0], {0})])),  # one user, one item
    example((1, 1, [([0], set())])),  # no positives
    example((1, 10, [([], {0})])),  # an empty list
    example((2, 10, [([1, 0], {0, 1})])),  # k above the catalogue, all hits
    example((4, 4, [([3, 2, 1, 0], {0, 1, 2, 3})])),  # all hits
    example((8, 2, [([3, 2], set(range(8)))])),  # more positives than places
]


def with_degenerate(test):
    for case in degenerate:
        test = case(test)
    return test


def arrays(world):
    """Hits (b, k) and positives (b,), by a loop over the lists."""
    _, k, users = world
    hits = np.zeros((len(users), k), np.bool_)
    for row, (items, positives) in enumerate(users):
        for place, item in enumerate(items + [PAD] * (k - len(items))):
            hits[row, place] = item in positives
    return hits, np.array([len(positives) for _, positives in users])


def ours(world):
    hits, positives = arrays(world)
    return {
        name.split("@")[0]: values
        for name, values in metrics.scores(hits, positives, world[1]).items()
    }


def of_trec_eval(world):
    """Per user the measures of trec_eval, which judges lists by falling score."""
    n, k, users = world
    judged = {
        str(user): {str(item): int(item in positives) for item in range(n)}
        for user, (_, positives) in enumerate(users)
    }
    run = {
        str(user): {str(item): -float(place) for place, item in enumerate(items)}
        for user, (items, _) in enumerate(users)
    }
    cut = {f"{name}.{k}" for name in (*ANSWERS, "success")}
    answers = pytrec_eval.RelevanceEvaluator(judged, cut | {"recip_rank"}).evaluate(run)
    return [answers[str(user)] for user in range(len(users))]


def of_torchmetrics(metric, world, **options):
    """(b,) a retrieval functional: items beyond a user's list get lower scores, all above 0.

    An empty place stands between, as an item that nobody chose, so that it takes up a rank.
    """
    n, k, users = world
    values = []
    for items, positives in users:
        shown = items + [PAD] * (k - len(items))
        order = shown + [item for item in range(n) if item not in items]
        scores = torch.arange(len(order), 0, -1, dtype=torch.float32)
        target = torch.tensor([item in positives for item in order])
        values.append(float(metric(scores, target, **options)))
    return values


def test_values_by_hand():
    hits = np.array([[False, True, False], [True, False, True], [False, False, False]])
    positives = np.array([1, 4, 2])
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.precision(hits).tolist() == [1 / 3, 2 / 3, 0]
    assert metrics.recall(hits, positives).tolist() == [1, 0.5, 0]
    assert metrics.f1(hits, positives) == pytest.approx([1 / 2, 4 / 7, 0])
    assert metrics.hit_rate(hits).tolist() == [1, 1, 0]
    assert metrics.ndcg(hits, positives) == pytest.approx([1 / math.log2(3), 1.5 / best, 0])
    assert metrics.average_precision(hits, positives) == pytest.approx([1 / 2, (1 + 2 / 3) / 4, 0])
    assert metrics.reciprocal_rank(hits).tolist() == [1 / 2, 1, 0]


def test_a_perfect_list_scores_one():
    hits = np.array([[True, True]])
    values = metrics.scores(hits, np.array([2]), 2)
    assert {name: value.tolist() for name, value in values.items()} == {
        f"{name}@2": [1] for name in NAMES
    }
    assert metrics.ndcg(hits, np.array([9])).tolist() == [1]


def test_a_user_without_positives_scores_nothing():
    values = metrics.scores(np.zeros((1, 3), np.bool_), np.array([0]), 3)
    assert [value.tolist() for value in values.values()] == [[0.0]] * len(NAMES)


def test_k_above_the_width_of_the_lists_divides_by_k():
    hits, positives = np.array([[True, True]]), np.array([2])
    values = metrics.scores(hits, positives, 8)
    assert list(values) == [f"{name}@8" for name in NAMES]
    assert values["precision@8"].tolist() == [2 / 8]
    assert values["f1@8"].tolist() == [4 / 10]
    assert values["ndcg@8"].tolist() == values["recall@8"].tolist() == [1]


def test_scores_at_k_are_those_of_the_first_k_places():
    hits, positives = np.array([[False, True, True], [True, False, True]]), np.array([2, 5])
    cut = metrics.scores(hits, positives, 2)
    assert cut["ndcg@2"].tolist() == metrics.ndcg(hits[:, :2], positives).tolist()
    assert cut["precision@2"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_users_or_no_places_are_no_error(shape):
    for k in (1, 3):
        values = metrics.scores(np.zeros(shape, np.bool_), np.ones(shape[0], np.int64), k)
        assert all(value.tolist() == [0.0] * shape[0] for value in values.values())
    none = np.zeros((2, 0), np.bool_)
    assert metrics.precision(none).tolist() == metrics.reciprocal_rank(none).tolist() == [0, 0]


@with_degenerate
@given(worlds())
def test_equal_to_trec_eval(world):
    mine, theirs, k = ours(world), of_trec_eval(world), world[1]
    for measure, name in ANSWERS.items():
        assert mine[name] == pytest.approx([user[f"{measure}_{k}"] for user in theirs])
    assert mine["hr"] == pytest.approx([user[f"success_{k}"] for user in theirs])
    assert mine["mrr"] == pytest.approx([user["recip_rank"] for user in theirs])


@with_degenerate
@given(worlds())
def test_f1_is_the_harmonic_mean_of_trec_evals_precision_and_recall(world):
    for mine, user in zip(ours(world)["f1"], of_trec_eval(world), strict=True):
        precision, recall = user[f"P_{world[1]}"], user[f"recall_{world[1]}"]
        both = precision + recall
        assert mine == pytest.approx(2 * precision * recall / both if both else 0)


@with_degenerate
@given(worlds())
def test_equal_to_torchmetrics(world):
    theirs = {
        "precision": retrieval.retrieval_precision,
        "recall": retrieval.retrieval_recall,
        "hr": retrieval.retrieval_hit_rate,
        "ndcg": retrieval.retrieval_normalized_dcg,
        "mrr": retrieval.retrieval_reciprocal_rank,
    }
    mine = ours(world)
    for name, metric in theirs.items():
        expected = of_torchmetrics(metric, world, top_k=world[1])
        assert mine[name] == pytest.approx(expected, abs=1e-6)


@with_degenerate
@given(worlds())
def test_average_precision_is_that_of_torchmetrics_over_all_positives(world):
    hits, positives = arrays(world)
    theirs = of_torchmetrics(retrieval.retrieval_average_precision, world, top_k=world[1])
    found = hits.sum(axis=1) / np.maximum(positives, 1)
    assert ours(world)["map"] == pytest.approx(theirs * found, abs=1e-6)


@given(worlds())
def test_metrics_lie_between_none_and_all(world):
    mine = ours(world)
    for values in mine.values():
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all()
        assert ((values > 0) == mine["hr"].astype(bool)).all()
