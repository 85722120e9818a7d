"""Als: it minimises what implicit does, and folds in exactly what a fit would solve."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recsys.features.arrays import PAD, Array, Floats
from recsys.features.catalog import Catalog
from recsys.features.dislikes import Dislikes
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.als import Als
from recsys.retrieval.factorization import Factors, Objective, bettered, factorize
from recsys.retrieval.least_squares import Ridge, solved
from recsys.retrieval.opposites import turned, with_opposites
from tests.retrieval.contract import RetrieverContract
from tests.worlds import DAY, GROUPS, ITEMS, SIZE, World, log_of, planted, sessions, vocabulary

ALPHA = 3.0


def small(**settings: Any) -> Als:
    # A tenth of all pairs of the planted world are observed, far more than of any shop's.
    return Als(**{"factors": 12, "unobserved": 10.0, "seed": 3, "device": "cpu", **settings})


class TestAls(RetrieverContract):
    make = staticmethod(small)
    recall_floor = 0.8


@pytest.fixture(scope="module")
def world() -> World:
    return planted()


@pytest.fixture(scope="module")
def matrix(world: World) -> sp.csr_matrix:
    return world.histories.matrix(ITEMS)


@pytest.fixture(scope="module")
def fitted(world: World) -> Als:
    return small(iterations=40).fit(world.log, world.catalog)


def of_the_paper(regularization: float = 0.01) -> Objective:
    """That of implicit with confidences 1 + ALPHA x weight, divided by ALPHA."""
    ridge = Ridge(regularization / ALPHA, 0.0)
    return Objective(1 / ALPHA, ridge, ridge)


def by_implicit(
    matrix: sp.csr_matrix, begun: Factors, iterations: int, regularization: float = 0.01
) -> Factors:
    confidences = matrix.copy()
    confidences.data = 1 + np.float32(ALPHA) * confidences.data
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=begun.users.shape[1],
            regularization=regularization,
            alpha=1.0,
            iterations=iterations,
            num_threads=1,
        )
        model.user_factors, model.item_factors = begun.users.copy(), begun.items.copy()
        model.fit(confidences, show_progress=False)
    return Factors(model.user_factors, model.item_factors)


def by_hand(matrix: sp.csr_matrix, items: Floats, unobserved: float, ridge: Ridge) -> Array:
    """The normal equations of every row, in float64."""
    weights, exact = matrix.toarray().astype(np.float64), items.astype(np.float64)
    ridges = ridge.at(weights.sum(axis=1)).astype(np.float64)
    left = unobserved * exact.T @ exact + ridges[:, None, None] * np.eye(items.shape[1])
    left = left + np.einsum("bn,ni,nj->bij", weights, exact, exact)
    right = np.where(weights > 0, weights + unobserved, 0) @ exact
    return np.linalg.solve(left, right[:, :, None])[:, :, 0]


def test_no_iteration_is_further_from_the_goal_than_implicits(matrix: sp.csr_matrix) -> None:
    objective, begun = of_the_paper(), Factors.drawn(matrix, 12, seed=0)
    ours = [objective.loss(matrix, factorize(matrix, objective, begun, n, "cpu")) for n in range(6)]
    theirs = [objective.loss(matrix, by_implicit(matrix, begun, n)) for n in range(1, 6)]
    assert all(before > after for before, after in pairwise(ours))
    assert all(own <= other * 1.001 for own, other in zip(ours[1:], theirs, strict=True))


def test_without_frequency_the_scores_are_implicits(matrix: sp.csr_matrix) -> None:
    objective, begun = of_the_paper(1.0), Factors.drawn(matrix, 4, seed=0)
    ours = factorize(matrix, objective, begun, 60, "cpu")
    theirs = by_implicit(matrix, begun, 60, 1.0)
    products = [each.users @ each.items.T for each in (ours, theirs)]
    np.testing.assert_allclose(*products, atol=0.01)


def test_the_loss_is_the_sum_over_all_pairs() -> None:
    matrix = sp.csr_matrix(np.array([[2, 0], [0, 1], [1, 0]], np.float32))
    users, items = np.array([[1], [2], [0]], np.float32), np.array([[0.5], [1]], np.float32)
    objective = Objective(0.5, Ridge(0.1, 1.0), Ridge(0.2, 0.0))
    observed = 2.5 * (1 - 0.5) ** 2 + 1.5 * (1 - 2) ** 2 + 1.5 * (1 - 0) ** 2
    others = 0.5 * (1**2 + 1**2 + 0)
    ridges = 0.1 * (2 * 1 + 1 * 4 + 0) + 0.2 * (0.25 + 1)
    assert objective.loss(matrix, Factors(users, items)) == pytest.approx(
        observed + others + ridges
    )


def test_torch_takes_the_same_steps(matrix: sp.csr_matrix) -> None:
    from recsys.retrieval.factorization_gpu import factorize_there

    objective, begun = Objective.of(matrix, 10, 0.1, 1.0), Factors.drawn(matrix, 12, seed=0)
    ours, theirs = (
        each(matrix, objective, begun, 3, "cpu") for each in (factorize, factorize_there)
    )
    np.testing.assert_allclose(ours.users @ ours.items.T, theirs.users @ theirs.items.T, atol=1e-4)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weight", [1e-6, 0.05, 1.0, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("length", [1, 6, 12, 13, 40])  # below, at and above the factors
def test_folding_in_is_exact(length: int, weight: float, exponent: float) -> None:
    rng = np.random.default_rng(length)
    drawn = Factors(*(rng.normal(size=(60, 12)).astype(np.float32) for _ in range(2)))
    factors, spectrum = drawn.along_items()
    weights = np.zeros((9, 60), np.float32)
    for row in weights:
        row[rng.permutation(60)[:length]] = weight * rng.uniform(0.5, 2, length)
    matrix, ridge = sp.csr_matrix(weights), Ridge(0.1, exponent)
    found = solved(matrix, factors.items, spectrum, 0.3, ridge)
    expected = by_hand(matrix, factors.items, 0.3, ridge)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_folding_in_is_exact_for_many_factors() -> None:
    rng = np.random.default_rng(0)
    drawn = Factors(*(rng.normal(size=(400, 150)).astype(np.float32) for _ in range(2)))
    factors, spectrum = drawn.along_items()
    matrix = sp.random(6, 400, 0.5, "csr", np.float32, rng, data_rvs=lambda n: rng.random(n) + 0.5)
    found = solved(matrix, factors.items, spectrum, 0.02, Ridge(0.1, 1.0))
    expected = by_hand(matrix, factors.items, 0.02, Ridge(0.1, 1.0))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_folding_in_is_where_the_steps_of_the_fit_lead(matrix: sp.csr_matrix) -> None:
    objective = Objective.of(matrix, 10, 0.1, 1.0)
    factors = factorize(matrix, objective, Factors.drawn(matrix, 12, seed=0), 2, "cpu")
    stepped = bettered(matrix, objective, factors, steps=30)
    factors, spectrum = stepped.along_items()
    found = solved(matrix, factors.items, spectrum, objective.unobserved, objective.users)
    np.testing.assert_allclose(found, factors.users, atol=1e-4)


def test_a_refit_gives_the_users_that_are_folded_in(world: World, fitted: Als) -> None:
    matrix = world.histories.matrix(ITEMS)
    objective = Objective.of(matrix, 10.0, 0.1, 1.0)
    begun = Factors.drawn(matrix, 12, seed=3)
    refit = factorize(matrix, objective, begun, 40, "cpu")
    folded = fitted.users_of(world.histories) @ fitted._learnt.items.T
    np.testing.assert_allclose(folded, refit.users @ refit.items.T, atol=0.01)


def test_items_fold_in_to_what_the_fit_found(world: World, fitted: Als) -> None:
    rows = np.arange(GROUPS * SIZE, dtype=np.int32)
    found = fitted.items_of(world.log, rows)
    np.testing.assert_allclose(found, fitted._learnt.items[rows], atol=0.02)


def test_a_new_item_is_offered_to_those_like_its_users(world: World, fitted: Als) -> None:
    log = replace(world.log, items=vocabulary(ITEMS + 1, "item"))
    circle = np.flatnonzero(
        np.bincount(log.user_rows[log.item_rows // SIZE == 2], minlength=90) > 3
    )
    firsts = log.offsets[circle]
    rows = log.item_rows.copy()
    rows[firsts] = ITEMS  # what each of them had first is now the new item
    log = replace(log, item_rows=rows)
    other = fitted.with_items(log, np.array([ITEMS], np.int32))
    histories = sessions([2 * SIZE + 1, 2 * SIZE + 2], [4 * SIZE + 1, 4 * SIZE + 2])
    own, foreign = other.score(histories, np.array([[ITEMS], [ITEMS]], np.int32))[:, 0]
    assert own > 5 * abs(foreign)
    found = other.retrieve(histories, ITEMS + 1, Allowed.everything(2, ITEMS + 1)).items
    assert ITEMS in found[0]
    assert ITEMS not in fitted.retrieve(histories, ITEMS, Allowed.everything(2, ITEMS)).items


def test_a_new_item_that_only_strangers_had_is_not_offered(world: World, fitted: Als) -> None:
    log = log_of([ITEMS], items=ITEMS + 1)
    assert not fitted.items_of(log, np.array([ITEMS], np.int32)).any()


def test_a_log_with_fewer_items_is_refused(fitted: Als) -> None:
    with pytest.raises(DataError, match=f"knew {ITEMS} items; this log has 3"):
        fitted.with_items(log_of([0], items=3), np.array([0], np.int32))


def test_repeats_add_their_weights_up(fitted: Als) -> None:
    heavy = replace(sessions([3, 8]), weights=np.array([2, 1], np.float32))
    twice = sessions([3, 8, 3])
    np.testing.assert_allclose(fitted.users_of(twice), fitted.users_of(heavy), rtol=1e-5)


def test_the_unit_of_weights_changes_nothing(world: World) -> None:
    heavy = replace(world.log, weights=8 * world.log.weights)
    own = [small().fit(log, world.catalog)._learnt.items for log in (world.log, heavy)]
    np.testing.assert_allclose(*own, atol=1e-5)


def test_an_old_event_weighs_half_after_each_half_life(world: World) -> None:
    als = small(half_life=5.0).fit(world.log, world.catalog)
    aged = replace(sessions([3, 8]), times=np.array([0, 10 * DAY]), now=np.array([10 * DAY]))
    plain = replace(sessions([3, 8]), weights=np.array([0.25, 1], np.float32))
    np.testing.assert_allclose(als.users_of(aged), als.users_of(plain), rtol=1e-5)


def test_an_event_of_another_age_of_the_world_is_no_trouble(world: World) -> None:
    als = small(half_life=0.001).fit(world.log, world.catalog)
    assert np.isfinite(als.users_of(world.histories)).all()


def test_a_half_life_needs_a_clock(world: World) -> None:
    with pytest.raises(SettingsError, match=r"half_life needs a log with times.* clock 'order'"):
        small(half_life=5.0).fit(log_of([0, 1], items=2), world.catalog)


def test_another_seed_begins_elsewhere(world: World) -> None:
    own = [small(seed=seed).fit(world.log, world.catalog)._learnt.items for seed in (0, 0, 1)]
    np.testing.assert_array_equal(own[0], own[1])
    assert not np.allclose(own[0], own[2], atol=1e-3)


def test_one_click_is_enough_for_a_personal_list(fitted: Als) -> None:
    histories = sessions(*[[SIZE * group + 4] for group in range(GROUPS)])
    found = fitted.retrieve(histories, 5, Allowed.everything(GROUPS, ITEMS))
    own = found.items // SIZE == np.arange(GROUPS)[:, None]
    assert (own.mean(axis=1) > 0.5).all(), found.items.tolist()


def test_an_item_that_nobody_had_is_never_offered(fitted: Als) -> None:
    found = fitted.retrieve(sessions([0]), ITEMS, Allowed.everything(1, ITEMS))
    assert set(found.items[found.filled].tolist()) == set(range(GROUPS * SIZE))


def test_an_item_that_nobody_had_changes_nothing(fitted: Als) -> None:
    both, known = fitted.users_of(sessions([7, ITEMS - 1], [7]))
    np.testing.assert_array_equal(both, known)


@pytest.mark.parametrize(
    "log", [log_of([0], items=1), log_of([0, 1, 2], items=3), log_of([0], [0], items=1)]
)
def test_one_user_or_one_item(log: Interactions) -> None:
    als = Als(device="cpu").fit(log, Catalog.empty(log.items))
    n = len(log.items)
    found = als.retrieve(sessions([0]), n + 1, Allowed.everything(1, n))
    assert sorted(found.items[0].tolist()) == [PAD, *range(n)]
    assert np.isfinite(found.scores[found.filled]).all()


@pytest.mark.parametrize("name", ["factors", "regularization", "unobserved", "iterations"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be above 0; got 0"):
        Als(**{name: 0})


def test_other_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="frequency_exponent must be between 0 and 2; got 3"):
        Als(frequency_exponent=3)
    with pytest.raises(SettingsError, match="half_life must be above 0 days; got 0"):
        Als(half_life=0)
    with pytest.raises(SettingsError, match=r"device must be one of .* got 'gpu'"):
        Als(device="gpu")


def test_a_gpu_that_is_not_there_is_an_error(matrix: sp.csr_matrix) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    begun = Factors.drawn(matrix, 4, seed=0)
    with pytest.raises(SettingsError, match="torch finds no CUDA device"):
        factorize(matrix, of_the_paper(), begun, 1, "cuda")


def test_a_gpu_finds_what_a_cpu_and_implicits_gpu_find(matrix: sp.csr_matrix) -> None:
    torch, gpu = pytest.importorskip("torch"), pytest.importorskip("implicit.gpu")
    if not (torch.cuda.is_available() and gpu.HAS_CUDA):
        pytest.skip("needs a GPU")
    from implicit.gpu.als import AlternatingLeastSquares as OnGpu

    objective, begun = of_the_paper(1.0), Factors.drawn(matrix, 4, seed=0)
    ours, there = (factorize(matrix, objective, begun, 150, at) for at in ("cpu", "cuda"))
    confidences = matrix.copy()
    confidences.data = 1 + np.float32(ALPHA) * confidences.data
    model = OnGpu(factors=4, regularization=1.0, alpha=1.0, iterations=150, random_state=0)
    model.fit(confidences, show_progress=False)
    theirs = Factors(model.user_factors.to_numpy(), model.item_factors.to_numpy())
    scores = [each.users @ each.items.T for each in (ours, there, theirs)]
    np.testing.assert_allclose(scores[0], scores[1], atol=0.01)
    loss = [objective.loss(matrix, each) for each in (ours, theirs)]
    assert loss[0] == pytest.approx(loss[1], rel=0.01)


def disliking(histories: Histories, *lists: list[int]) -> Histories:
    """These histories of users who said no to these items, at time 0."""
    owners = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    items = np.array([item for each in lists for item in each], np.int32)
    return replace(
        histories, dislikes=Dislikes.of(owners, items, np.zeros(len(items), np.int64), len(lists))
    )


def with_dislikes(log: Interactions, *said: tuple[int, int]) -> Interactions:
    """The log with these users saying no to these items before all of it."""
    users, items = (np.array(each, np.int32) for each in zip(*said, strict=True))
    times = np.full(len(said), int(log.times.min()) - 1)
    return replace(log, dislikes=Dislikes.of(users, items, times, len(log.users)))


@pytest.mark.parametrize("n", [3, 40, 400])  # few events and many, of short rows and long
@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_dislike_is_a_target_of_0_of_more_confidence(n: int, exponent: float) -> None:
    """The normal equations by hand, where W has the dislikes and what is wanted has not."""
    rng = np.random.default_rng(n)
    drawn = Factors(*(rng.normal(size=(60, 12)).astype(np.float32) for _ in range(2)))
    factors, spectrum = drawn.along_items()
    weights, no = np.zeros((9, 60), np.float32), np.zeros((9, 60), np.float32)
    places = rng.integers(0, 540, n)
    weights.flat[places[: n // 2 + 1]], no.flat[places[n // 2 + 1 :]] = 1.5, 2.5
    no[(weights > 0) | ~weights.any(axis=1)[:, None]] = 0
    owners, items = np.nonzero(no)
    said = Dislikes.of(owners, items.astype(np.int32), np.zeros(len(items), np.int64), 9)
    matrix = with_opposites(sp.csr_matrix(weights), said, 2.5, np.ones(60, np.bool_))
    ridge = Ridge(0.1, exponent)
    found = solved(matrix, factors.items, spectrum, 0.3, ridge)
    exact = factors.items.astype(np.float64)
    inside, ridges = weights + no, ridge.at(weights.sum(axis=1))
    for row in np.flatnonzero(weights.any(axis=1)):
        left = 0.3 * exact.T @ exact + ridges[row] * np.eye(12) + (exact.T * inside[row]) @ exact
        right = np.where(weights[row] > 0, weights[row] + 0.3, 0) @ exact
        np.testing.assert_allclose(found[row], np.linalg.solve(left, right), atol=1e-4)
    assert not found[~weights.any(axis=1)].any()
    begun = Factors(np.zeros((9, 12), np.float32), factors.items)
    objective = Objective(0.3, ridge, ridge)
    stepped = bettered(matrix, objective, begun, steps=60)
    np.testing.assert_allclose(stepped.users @ stepped.items.T, found @ factors.items.T, atol=1e-3)


def test_of_what_was_disliked_a_matrix_has_both_halves() -> None:
    """What was had since, what nobody had, a stranger to the fit and who had nothing have none."""
    weights = sp.csr_matrix(np.array([[2, 0, 0], [0, 0, 0]], np.float32))
    owners, items = np.array([0, 0, 0, 0, 0, 1]), np.array([0, 1, 1, 2, 9, 1], np.int32)
    said = Dislikes.of(owners, items, np.arange(6), 2)
    known = np.array([True, True, False])
    both = with_opposites(weights, said, 3.0, known)
    assert both.toarray().tolist() == [[2, 1.5, 0, 0, 1.5, 0], [0] * 6]
    assert turned(both, 3).toarray().tolist() == [
        [2, 0, 0, 0], [1.5, 0, 1.5, 0], [0, 0, 0, 0],
    ]  # fmt: skip
    assert with_opposites(weights, said, 0.0, known) is weights
    assert with_opposites(weights, None, 3.0, known) is weights
    assert with_opposites(weights, said, 3.0, np.array([True, False, False])) is weights


def test_a_no_lowers_what_is_like_it(world: World, fitted: Als) -> None:
    """Of a mixed history the circle in which an item is disliked loses to the other."""
    als = small(dislike_weight=5.0).fit(world.log, world.catalog)
    plain = sessions([1, 2, SIZE + 1, SIZE + 2])
    said = disliking(plain, [4, 5])
    others = np.array([[*range(6, 10), *range(SIZE + 5, SIZE + 10)]], np.int32)
    before, after = als.score(plain, others)[0], als.score(said, others)[0]
    assert before[:4].mean() == pytest.approx(before[4:].mean(), rel=0.5)
    assert after[:4].mean() < 0.75 * before[:4].mean()
    assert after[4:].mean() > 0.8 * before[4:].mean()
    assert not als.score(disliking(sessions([]), [4]), others).any()


def test_a_fit_learns_from_dislikes(world: World) -> None:
    """Half of those of a circle say no to its last item: it is less theirs, and of the others'."""
    said = [(int(u), SIZE - 1) for u in np.unique(world.log.user_rows[world.log.item_rows < SIZE])]
    log = with_dislikes(world.log, *said)
    plain, taught = (small(dislike_weight=w).fit(log, world.catalog) for w in (0.0, 20.0))
    asked, target = sessions([1, 2, 3]), np.array([[SIZE - 1]], np.int32)
    assert taught.score(asked, target)[0, 0] < plain.score(asked, target)[0, 0]
    without = small(dislike_weight=20.0).fit(world.log, world.catalog)
    np.testing.assert_array_equal(
        without._learnt.items, small(dislike_weight=0.0).fit(log, world.catalog)._learnt.items
    )


def test_torch_takes_the_same_steps_with_dislikes(matrix: sp.csr_matrix) -> None:
    from recsys.retrieval.factorization_gpu import factorize_there

    rng = np.random.default_rng(0)
    owners = np.sort(rng.integers(0, matrix.shape[0], 200))
    items = rng.integers(0, GROUPS * SIZE, 200).astype(np.int32)
    said = Dislikes.of(owners, items, np.zeros(200, np.int64), matrix.shape[0])
    begun = Factors.drawn(matrix, 12, seed=0)
    both = with_opposites(matrix, said, 4.0, begun.items.any(axis=1))
    assert both.shape[1] == 2 * matrix.shape[1]
    objective = Objective.of(matrix, 10, 0.1, 1.0)
    ours, theirs = (each(both, objective, begun, 3, "cpu") for each in (factorize, factorize_there))
    np.testing.assert_allclose(ours.users @ ours.items.T, theirs.users @ theirs.items.T, atol=1e-4)


def test_items_fold_in_with_what_said_no_to_them(world: World) -> None:
    rows = np.arange(GROUPS * SIZE, dtype=np.int32)
    said = [(int(user), int(user) * 7 % (GROUPS * SIZE)) for user in range(len(world.log.users))]
    log = with_dislikes(world.log, *said)
    als = small(dislike_weight=4.0, iterations=40).fit(log, world.catalog)
    np.testing.assert_allclose(als.items_of(log, rows), als._learnt.items[rows], atol=0.02)


def test_events_sum_to_the_score_beside_dislikes(world: World) -> None:
    als = small(dislike_weight=4.0).fit(world.log, world.catalog)
    said = disliking(sessions([1, 2, SIZE + 1], [], [7, 7]), [4, 5], [3], [SIZE])
    items = np.tile(np.arange(ITEMS, dtype=np.int32), (3, 1))
    shares = als.contributions(said, items)
    np.testing.assert_allclose(shares[:3].sum(axis=0), als.score(said, items)[0], atol=1e-4)
    np.testing.assert_allclose(shares[3:].sum(axis=0), als.score(said, items)[2], atol=1e-4)


@pytest.mark.parametrize("weight", [-1.0, np.nan, 1e10])
def test_a_dislike_weighs_nothing_or_more(weight: float) -> None:
    with pytest.raises(SettingsError, match="dislike_weight must be"):
        Als(dislike_weight=weight)
