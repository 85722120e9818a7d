"""Als: folded-in histories equal what implicit itself would solve."""

from dataclasses import replace

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recsys.features.arrays import PAD, Floats
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.als import Als
from tests.retrieval.contract import RetrieverContract
from tests.worlds import GROUPS, ITEMS, SIZE, World, log_of, planted, sessions


def small() -> Als:
    return Als(factors=12, iterations=10, seed=3, device="cpu")


class TestAls(RetrieverContract):
    make = staticmethod(small)
    recall_floor = 0.8


@pytest.fixture(scope="module")
def world() -> World:
    return planted()


def fitted_by_implicit(als: Als, histories: Histories) -> AlternatingLeastSquares:
    """The model of the paper: confidences 1 + alpha x weight."""
    confidences = histories.matrix(ITEMS)
    confidences.data = 1 + np.float32(als.alpha) * confidences.data
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=als.factors,
            regularization=als.regularization,
            alpha=1.0,
            iterations=als.iterations,
            random_state=als.seed,
        )
        model.fit(confidences, show_progress=False)
    return model


def recalculated(model: AlternatingLeastSquares, als: Als, histories: Histories) -> Floats:
    confidences = histories.matrix(ITEMS)
    confidences.data = 1 + np.float32(als.alpha) * confidences.data
    with threadpool_limits(1, user_api="blas"):
        return model.recalculate_user(np.arange(len(histories)), confidences)


@pytest.mark.parametrize("weight", [1.0, 0.05])
@pytest.mark.parametrize("length", [1, 6, 12, 13, 40])  # below, at and above the factors
def test_a_folded_in_history_is_what_implicit_solves(
    world: World, weight: float, length: int
) -> None:
    als = small().fit(world.log, world.catalog)
    model = fitted_by_implicit(als, world.histories)
    model.item_factors, model._YtY = als._items, None
    rng = np.random.default_rng(length)
    plain = sessions(*(rng.permutation(GROUPS * SIZE)[:length].tolist() for _ in range(40)))
    weights = weight * rng.uniform(0.5, 2, 40 * length).astype(np.float32)
    histories = replace(plain, weights=weights.astype(np.float32))
    expected = recalculated(model, als, histories)
    np.testing.assert_allclose(als.users_of(histories), expected, atol=1e-3)


def test_repeats_add_their_weights_up(world: World) -> None:
    als = small().fit(world.log, world.catalog)
    twice, heavy = (
        sessions([3, 8, 3]),
        replace(sessions([3, 8]), weights=np.array([2, 1], np.float32)),
    )
    np.testing.assert_allclose(als.users_of(twice), als.users_of(heavy), rtol=1e-5)


def test_the_fit_is_that_of_the_paper(world: World) -> None:
    als = small().fit(world.log, world.catalog)
    model = fitted_by_implicit(als, world.histories)
    np.testing.assert_allclose(als._items, model.item_factors, atol=1e-5)


def test_folded_in_users_are_near_the_fitted_ones(world: World) -> None:
    als = small().fit(world.log, world.catalog)
    fitted = fitted_by_implicit(als, world.histories).user_factors
    folded = als.users_of(world.histories)
    lengths = np.linalg.norm(fitted, axis=1) * np.linalg.norm(folded, axis=1)
    assert ((fitted * folded).sum(axis=1) / lengths).min() > 0.97


def test_one_click_is_enough_for_a_personal_list(world: World) -> None:
    als = small().fit(world.log, world.catalog)
    histories = sessions(*[[SIZE * group + 4] for group in range(GROUPS)])
    found = als.retrieve(histories, 5, Allowed.everything(GROUPS, ITEMS))
    own = found.items // SIZE == np.arange(GROUPS)[:, None]
    assert (own.mean(axis=1) > 0.5).all(), found.items.tolist()


def test_an_item_that_nobody_had_is_never_offered(world: World) -> None:
    als = small().fit(world.log, world.catalog)
    found = als.retrieve(sessions([0]), ITEMS, Allowed.everything(1, ITEMS))
    assert set(found.items[found.filled].tolist()) == set(range(GROUPS * SIZE))


def test_an_item_that_nobody_had_changes_nothing(world: World) -> None:
    als = small().fit(world.log, world.catalog)
    both, known = als.users_of(sessions([7, ITEMS - 1], [7]))
    np.testing.assert_array_equal(both, known)


def only(*sequences: list[int], items: int) -> Interactions:
    return log_of(*sequences, items=items)


@pytest.mark.parametrize(
    "log", [only([0], items=1), only([0, 1, 2], items=3), only([0], [0], items=1)]
)
def test_one_user_or_one_item(log: Interactions) -> None:
    als = Als(device="cpu").fit(log, Catalog.empty(log.items))
    n = len(log.items)
    found = als.retrieve(sessions([0]), n + 1, Allowed.everything(1, n))
    assert sorted(found.items[0].tolist()) == [PAD, *range(n)]
    assert np.isfinite(found.scores[found.filled]).all()


@pytest.mark.parametrize("name", ["factors", "regularization", "alpha", "iterations"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be above 0; got 0"):
        Als(**{name: 0})
