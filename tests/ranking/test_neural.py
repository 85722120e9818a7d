"""NeuralRanker: learns a planted rule, the same from the same seed, and refuses NaN."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD, Floats
from recsys.features.errors import ArtifactError, SettingsError, TrainingError
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import softmax_loss
from recsys.ranking.neural import NeuralRanker, order

NAMES = ("nearness", "price", "noise", "constant")


def planted(n: int = 200, width: int = 8, seed: int = 0) -> TrainingLists:
    """The candidate with the largest nearness minus price was chosen; some lists are short."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, width, 4)).astype(np.float32)
    features[:, :, 3] = 7
    filled = np.arange(width) < rng.integers(3, width + 1, (n, 1))
    features[~filled] = 0
    worth = np.where(filled, features[:, :, 0] - features[:, :, 1], -np.inf)
    labels = np.zeros((n, width), np.float32)
    np.put_along_axis(labels, worth.argmax(axis=1)[:, None], 1, axis=1)
    return TrainingLists(features, labels, filled, np.arange(n, dtype=np.int32), NAMES, n, n, 0)


def ranker(**settings: Any) -> NeuralRanker:
    return NeuralRanker(
        **{
            "hidden": (16,), "epochs": 12, "batch": 16, "learning_rate": 1e-2, "dropout": 0.0,
            "device": "cpu", "seed": 3, **settings,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> NeuralRanker:
    return ranker().fit(planted())


def scores_of(fitted: NeuralRanker, lists: TrainingLists) -> Floats:
    return fitted.scores(lists.features, lists.names, lists.filled)


def ndcg(scores: Floats, labels: Floats) -> float:
    """Of lists with one chosen item each: 1 / log2(1 + its place), mean over lists."""
    ranked = np.take_along_axis(labels, order(scores), axis=1)
    return float((1 / np.log2(2 + ranked.argmax(axis=1))).mean())


def test_it_learns_a_planted_rule(fitted: NeuralRanker) -> None:
    unseen = planted(seed=9)
    assert ndcg(scores_of(fitted, unseen), unseen.labels) > 0.98
    assert ndcg(np.zeros(unseen.labels.shape, np.float32), unseen.labels) < 0.8
    assert fitted.curve_[-1]["held out"] < fitted.curve_[0]["held out"]


def test_the_same_seed_gives_the_same_scores() -> None:
    one, same, other = (ranker(epochs=2, seed=seed).fit(planted(60)) for seed in (3, 3, 4))
    lists = planted(60, seed=9)
    np.testing.assert_array_equal(scores_of(one, lists), scores_of(same, lists))
    assert not np.array_equal(scores_of(one, lists), scores_of(other, lists))


def test_the_random_numbers_of_others_are_left_alone() -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    ranker(epochs=1).fit(planted(20))
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


def test_the_state_of_anothers_numbers_changes_nothing() -> None:
    lists = planted(40)
    scores = []
    for state in (1, 2):
        torch.manual_seed(state)
        scores.append(scores_of(ranker(epochs=2, dropout=0.3).fit(lists), lists))
    np.testing.assert_array_equal(*scores)


def test_the_lists_are_not_edited() -> None:
    lists, fresh = planted(20), planted(20)
    ranker(epochs=2).fit(lists)
    for name in ("features", "labels", "filled"):
        np.testing.assert_array_equal(getattr(lists, name), getattr(fresh, name))


def at_random(lists: TrainingLists) -> TrainingLists:
    """The same lists with a candidate chosen that nothing speaks for."""
    labels = np.zeros_like(lists.labels)
    places = np.random.default_rng(0).integers(0, lists.filled.sum(axis=1))
    np.put_along_axis(labels, places[:, None], 1, axis=1)
    return replace(lists, labels=labels)


def test_it_stops_when_the_held_out_lists_stop_improving() -> None:
    learner = ranker(epochs=200, patience=2, hidden=(64,)).fit(at_random(planted(60)))
    curve = [epoch["held out"] for epoch in learner.curve_]
    assert len(curve) < 200
    assert len(curve) == int(np.argmin(curve)) + 3


def test_the_best_epoch_is_kept() -> None:
    lists = at_random(planted(60))
    learner = ranker(learning_rate=5e-2, hidden=(64,), held_out=0.5).fit(lists)
    curve = [epoch["held out"] for epoch in learner.curve_]
    assert curve[-1] > min(curve), "the last epoch is the best: nothing is shown"
    held = learner.holds_out(lists.users)
    scores = scores_of(learner, lists)[held]
    arrays = (torch.from_numpy(each[held]) for each in (lists.labels, lists.filled))
    loss = softmax_loss(torch.from_numpy(scores), *arrays).item()
    assert loss == pytest.approx(min(curve), rel=1e-5)


@given(
    st.lists(st.integers(-1, 30), min_size=1, max_size=40),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 5),
)
def test_users_are_held_out_whole_and_never_all(own: list[int], share: float, seed: int) -> None:
    users = np.array(own, np.int32)
    held = NeuralRanker(held_out=share, seed=seed).holds_out(users)
    different = len(set(own) - {PAD}) + own.count(PAD)
    assert held.any() == (different > 1)
    assert not held.all()
    assert not set(users[held & (users != PAD)]) & set(users[~held])


def test_who_is_held_out_does_not_depend_on_the_others() -> None:
    learner = ranker(held_out=0.3)
    users = np.arange(400, dtype=np.int32)
    held = learner.holds_out(users)
    assert held.mean() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal(learner.holds_out(users[350:20:-3]), held[350:20:-3])


def test_whom_a_fit_has_held_out_is_held_out_among_few_others() -> None:
    lists = planted(60)
    learner = ranker(epochs=1, held_out=0.02).fit(lists)
    held = learner.holds_out(lists.users)
    assert 1 <= held.sum() < 60
    for few in (lists.users[~held][:5], lists.users[held], lists.users[:7]):
        expected = held[np.isin(lists.users, few)]
        np.testing.assert_array_equal(learner.holds_out(few), expected)


def test_an_order_by_probabilities_is_not_compressed() -> None:
    with pytest.raises(SettingsError, match=r"event_weights order by probabilities, .* 'int8'"):
        NeuralRanker(event_weights={"buy": 1.0}, compression="int8")


def graded(n: int = 200, seed: int = 0) -> TrainingLists:
    """As planted, where what was chosen despite a high price was bought and all else was viewed."""
    lists = planted(n, seed=seed)
    chosen = lists.labels > 0
    bought = chosen & (lists.features[:, :, 1] > -1)
    grades = chosen.astype(np.uint8) + bought
    return replace(lists, grades=grades, events=("view", "purchase"))


def test_each_event_with_enough_outcomes_has_a_head() -> None:
    lists = graded()
    assert lists.grades is not None
    assert ranker(epochs=1).fit(lists).events_ == ("view", "purchase")
    none_bought = replace(lists, grades=np.minimum(lists.grades, 1))
    assert ranker(epochs=1).fit(none_bought).events_ == ("view",)
    all_bought = replace(lists, grades=np.full_like(lists.grades, 2))
    assert ranker(epochs=1).fit(all_bought).events_ == ()


def test_a_log_of_one_event_has_one_head(fitted: NeuralRanker) -> None:
    assert fitted.events_ == ("chosen",)


def test_without_their_loss_events_have_no_heads() -> None:
    learner = ranker(epochs=1, event_loss=0).fit(graded())
    assert learner.events_ == ()
    assert learner.network_.heads == 0


def test_heads_leave_the_order_as_good() -> None:
    lists, unseen = graded(), graded(seed=9)
    without, with_heads = (ranker(event_loss=loss).fit(lists) for loss in (0, 0.3))
    assert ndcg(scores_of(with_heads, unseen), unseen.labels) > 0.98
    assert ndcg(scores_of(without, unseen), unseen.labels) > 0.98


def odds_of(fitted: NeuralRanker, lists: TrainingLists) -> Floats:
    return fitted.probabilities(lists.features, lists.names, lists.filled)


@pytest.fixture(scope="module")
def foreteller() -> NeuralRanker:
    return ranker().fit(graded())


def test_probabilities_fall_with_the_strength_of_the_event(foreteller: NeuralRanker) -> None:
    lists = graded(seed=9)
    odds = odds_of(foreteller, lists)
    assert odds.shape == (*lists.filled.shape, 2)
    assert (np.isnan(odds).all(axis=2) == ~lists.filled).all()
    assert (odds[lists.filled][:, 1] <= odds[lists.filled][:, 0]).all()
    came = lists.outcomes(np.arange(len(lists)))[lists.filled]
    assert odds[lists.filled].mean(axis=0) == pytest.approx(came.mean(axis=0), rel=0.25)


def test_probabilities_depend_on_neither_batch_nor_order(foreteller: NeuralRanker) -> None:
    lists = graded(600, seed=9)
    odds = odds_of(foreteller, lists)
    one = slice(7, 8)
    alone = foreteller.probabilities(lists.features[one], NAMES, lists.filled[one])
    np.testing.assert_allclose(alone, odds[one], rtol=1e-4, atol=1e-6)
    backwards = foreteller.probabilities(lists.features[:, ::-1], NAMES, lists.filled[:, ::-1])
    np.testing.assert_allclose(backwards[:, ::-1], odds, rtol=1e-4, atol=1e-6)


def test_candidates_left_out_of_the_lists_are_made_up_for() -> None:
    """Of lists whose every other candidate was drawn, events are about half as probable."""
    lists = graded()
    others = int((lists.filled & (lists.labels == 0)).sum())
    whole = replace(lists, offered=others + 200)
    half = replace(lists, offered=2 * others + 200)
    one, other = (ranker().fit(each) for each in (whole, half))
    assert (one.shift_, other.shift_) == pytest.approx((0, np.log(0.5)))
    names = (lists.features, lists.names)
    np.testing.assert_allclose(
        other.log_odds(*names), one.log_odds(*names) + np.log(0.5), rtol=1e-5, atol=1e-5
    )


def test_what_came_true_calibrates() -> None:
    learner, lists = ranker().fit(graded()), graded(2_000, seed=9)
    before = odds_of(learner, lists)[lists.filled]
    log_odds = learner.log_odds(lists.features, lists.names)[lists.filled]
    half = np.random.default_rng(0).random(before.shape) < before / 2
    learner.calibrate(log_odds, half, lists=2_000, stretch=7)
    after = odds_of(learner, lists)[lists.filled]
    assert after.mean(axis=0) == pytest.approx(before.mean(axis=0) / 2, rel=0.2)
    assert learner.stretch_ == 7


def test_weights_of_events_order_by_their_probabilities(foreteller: NeuralRanker) -> None:
    lists = graded(seed=9)
    learner = ranker(event_weights={"purchase": 1.0, "view": 0.3}).fit(graded())
    odds = odds_of(foreteller, lists)
    expected = np.where(lists.filled, odds[..., 1] + np.float32(0.3) * odds[..., 0], -np.inf)
    np.testing.assert_allclose(scores_of(learner, lists), expected, rtol=1e-5)


def test_weights_of_events_that_cannot_be_foretold_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"name \['rent'\].*probabilities of \['view', 'pur"):
        ranker(event_weights={"rent": 1.0}).fit(graded())
    with pytest.raises(SettingsError, match="finite and 0 or more; got -1"):
        ranker(event_weights={"view": -1.0})
    with pytest.raises(SettingsError, match="need one above 0, and event_loss above 0"):
        ranker(event_weights={"view": 1.0}, event_loss=0.0)


def test_without_heads_there_are_no_probabilities() -> None:
    lists = graded(40)
    learner = ranker(epochs=1, event_loss=0).fit(lists)
    with pytest.raises(TrainingError, match="foretells no event"):
        odds_of(learner, lists)


def test_progress_is_told() -> None:
    shares: list[float] = []
    ranker(epochs=3, patience=9).fit(planted(40), shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_feature_that_is_not_finite_is_named() -> None:
    lists = planted(20)
    for value in (np.nan, np.inf):
        features = lists.features.copy()
        features[3, 1, 1] = value
        with pytest.raises(TrainingError, match=r"features are not finite: \['price'\]"):
            ranker().fit(replace(lists, features=features))


def test_a_loss_that_is_not_finite_is_refused() -> None:
    for settings in ({"learning_rate": 1e25}, {"event_loss": 1e300}):
        with pytest.raises(TrainingError, match=r"the loss of epoch \d+ is not finite"):
            ranker(**settings).fit(planted(200))


def test_lists_in_which_nothing_was_chosen_are_refused() -> None:
    lists = planted(20)
    labels = lists.labels.copy()
    labels[[3, 8]] = 0
    with pytest.raises(TrainingError, match="needs a chosen candidate; 2 of 20 have none"):
        ranker().fit(replace(lists, labels=labels))


def test_lists_in_which_all_was_chosen_teach_nothing_and_do_no_harm() -> None:
    lists = planted()
    learner = ranker(epochs=2).fit(replace(lists, labels=lists.filled.astype(np.float32)))
    assert np.isfinite(scores_of(learner, lists)[lists.filled]).all()
    assert learner.events_ == (), "one class only: there is nothing to tell apart"


def test_features_that_are_all_constant_leave_candidates_as_they_came() -> None:
    lists = planted()
    learner = ranker(epochs=2).fit(replace(lists, features=np.full_like(lists.features, 7)))
    scores = scores_of(learner, lists)
    assert (order(scores)[:, :3] == [0, 1, 2]).all()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_lists_are_refused(n: int) -> None:
    lists = planted(n) if n else TrainingLists.none()
    with pytest.raises(TrainingError, match=f"at least 2 lists.*got {n}"):
        ranker().fit(lists)


def test_two_lists_are_enough_to_go_on() -> None:
    lists = planted(2)
    assert np.isfinite(scores_of(ranker(epochs=1).fit(lists), lists)[lists.filled]).all()


def test_scores_end_where_lists_end(fitted: NeuralRanker) -> None:
    lists = planted(seed=9)
    scores = scores_of(fitted, lists)
    assert scores.dtype == np.float32
    assert (np.isneginf(scores) == ~lists.filled).all()


def test_scores_depend_on_neither_batch_nor_order(fitted: NeuralRanker) -> None:
    lists = planted(600, seed=9)  # more candidates than are scored at once
    scores = scores_of(fitted, lists)
    for query in range(0, 600, 37):
        one = slice(query, query + 1)
        alone = fitted.scores(lists.features[one], NAMES, lists.filled[one])
        np.testing.assert_allclose(alone, scores[one], rtol=1e-4, atol=1e-4)
    backwards = fitted.scores(lists.features[:, ::-1], NAMES, lists.filled[:, ::-1])
    np.testing.assert_allclose(backwards[:, ::-1], scores, rtol=1e-4, atol=1e-4)


def test_a_feature_that_was_constant_is_ignored_when_it_is_not(fitted: NeuralRanker) -> None:
    lists = planted(seed=9)
    features = lists.features.copy()
    features[:, :, 3] = 1e6
    np.testing.assert_array_equal(
        fitted.scores(features, NAMES, lists.filled), scores_of(fitted, lists)
    )


def test_candidates_that_cannot_be_scored_rank_last(fitted: NeuralRanker) -> None:
    lists = planted(4, seed=9)
    features = lists.features.copy()
    features[0, 0, 0] = np.nan
    scores = fitted.scores(features, NAMES, lists.filled)
    assert scores[0, 0] == -np.inf
    assert np.isfinite(scores[0, 1:3]).all()


def test_no_lists_have_no_scores(fitted: NeuralRanker) -> None:
    lists = planted(4)
    none = fitted.scores(lists.features[:0], NAMES, lists.filled[:0])
    assert none.shape == (0, 8)


def test_other_features_are_refused(fitted: NeuralRanker) -> None:
    lists = planted(4)
    names = ("nearness", "price", "noise", "colour")
    with pytest.raises(TrainingError, match=r"differ in \['colour', 'constant'\]"):
        fitted.scores(lists.features, names, lists.filled)
    with pytest.raises(TrainingError, match="other features"):
        fitted.scores(lists.features, NAMES[::-1], lists.filled)


def test_saved_and_loaded_it_scores_the_same(fitted: NeuralRanker, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = NeuralRanker(device="cpu").load(tmp_path)
    lists = planted(seed=9)
    np.testing.assert_array_equal(scores_of(loaded, lists), scores_of(fitted, lists))
    assert loaded.names_ == NAMES
    assert loaded.curve_ == fitted.curve_


def test_saved_and_loaded_it_foretells_the_same(tmp_path: Path) -> None:
    learner, lists = ranker(epochs=2).fit(replace(graded(), offered=5_000)), graded(seed=9)
    log_odds = learner.log_odds(lists.features, lists.names)[lists.filled]
    came = lists.outcomes(np.arange(len(lists)))[lists.filled]
    learner.calibrate(log_odds, came, len(lists), stretch=5)
    learner.save(tmp_path)
    loaded = NeuralRanker(device="cpu").load(tmp_path)
    np.testing.assert_array_equal(odds_of(loaded, lists), odds_of(learner, lists))
    assert (loaded.events_, loaded.stretch_) == (("view", "purchase"), 5)


def test_weights_of_another_network_are_refused(fitted: NeuralRanker, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    about = (tmp_path / "ranker.json").read_text()
    (tmp_path / "ranker.json").write_text(about.replace('"hidden": [16]', '"hidden": [17]'))
    with pytest.raises(ArtifactError, match="does not fit"):
        NeuralRanker(device="cpu").load(tmp_path)


def test_equal_scores_keep_their_order() -> None:
    scores = np.array([[1, 2, 1, -np.inf, 2]], np.float32)
    assert order(scores).tolist() == [[1, 4, 0, 2, 3]]


def products(n: int = 200, width: int = 8, seed: int = 0) -> TrainingLists:
    """As planted, but the candidate with the largest product of nearness and price was chosen."""
    lists = planted(n, width, seed)
    worth = np.where(lists.filled, lists.features[:, :, 0] * lists.features[:, :, 1], -np.inf)
    labels = np.zeros_like(lists.labels)
    np.put_along_axis(labels, worth.argmax(axis=1)[:, None], 1, axis=1)
    return replace(lists, labels=labels)


def test_a_cross_layer_learns_a_product() -> None:
    unseen = products(seed=9)
    plain, crossed = (ranker(hidden=(), cross_layers=layers).fit(products()) for layers in (0, 1))
    assert ndcg(scores_of(crossed, unseen), unseen.labels) > 0.9
    assert ndcg(scores_of(plain, unseen), unseen.labels) < 0.7


def test_the_mean_of_members_is_no_worse_than_they_are() -> None:
    unseen = planted(seed=9)
    learner = ranker(members=3, epochs=2).fit(planted())
    features, labels, filled = map(
        torch.from_numpy, (unseen.features, unseen.labels, unseen.filled)
    )
    each, _ = learner.network_.each(features)
    alone = [softmax_loss(own, labels, filled).item() for own in each.detach()]
    together = softmax_loss(each.detach().mean(dim=0), labels, filled).item()
    assert together < np.mean(alone), "the loss is convex in the scores"


@pytest.mark.parametrize(
    "shape",
    [{"members": 2}, {"cross_layers": 1}, {"members": 2, "cross_layers": 2, "cross_rank": 2}],
)
def test_every_shape_comes_back(shape: dict[str, Any], tmp_path: Path) -> None:
    saved, lists = ranker(epochs=1, **shape).fit(planted(60)), planted(40, seed=9)
    saved.save(tmp_path)
    loaded = ranker().load(tmp_path)
    np.testing.assert_array_equal(scores_of(loaded, lists), scores_of(saved, lists))
    np.testing.assert_array_equal(odds_of(loaded, lists), odds_of(saved, lists))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"members": 0}, "members must be above 0; got 0"),
        ({"cross_layers": -1}, "cross_layers must not be negative; got -1"),
        ({"cross_rank": 2}, "cross_rank = 2 and cross_layers = 0"),
        ({"cross_rank": 0, "cross_layers": 1}, "cross_rank = 0 and cross_layers = 1"),
        ({"cross_layers": 1, "compression": "int8"}, "cross_layers = 1 and compression = 'int8'"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        NeuralRanker(**settings)
