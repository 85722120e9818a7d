"""Bpr: what implicit fits, and histories folded in near it."""

from functools import partial

import numpy as np
import pytest
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError, TrainingError
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.bpr import Bpr
from recsys.retrieval.folding import happened
from tests.retrieval.contract import RetrieverContract
from tests.worlds import GROUPS, ITEMS, SIZE, World, log_of, planted, sessions

small = partial(Bpr, factors=12, iterations=100, learning_rate=0.1, seed=3, device="cpu")


class TestBpr(RetrieverContract):
    make = staticmethod(small)
    recall_floor = 0.7


@pytest.fixture(scope="module")
def world() -> World:
    return planted()


@pytest.fixture(scope="module")
def fitted(world: World) -> Bpr:
    return small().fit(world.log, world.catalog)


def by_implicit(bpr: Bpr, log: Interactions) -> BayesianPersonalizedRanking:
    with threadpool_limits(1, user_api="blas"):
        model = BayesianPersonalizedRanking(
            factors=bpr.factors,
            learning_rate=bpr.learning_rate,
            regularization=bpr.regularization,
            iterations=bpr.iterations,
            num_threads=1,
            random_state=bpr.seed,
        )
        model.fit(happened(log), show_progress=False)
    return model


def test_the_item_factors_and_biases_are_those_of_implicit(fitted: Bpr, world: World) -> None:
    model = by_implicit(fitted, world.log)
    own = slice(GROUPS * SIZE)
    np.testing.assert_array_equal(fitted._space.vectors[own], model.item_factors[own])
    assert (fitted._space.vectors[GROUPS * SIZE :] == 0).all()


def test_folded_in_users_are_near_the_fitted_ones(fitted: Bpr, world: World) -> None:
    theirs = by_implicit(fitted, world.log).user_factors[:, :-1]
    ours = fitted._space.users_of(world.histories)[:, :-1]
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    cosines = (theirs * ours).sum(axis=1) / lengths
    assert np.median(cosines) > 0.9
    assert cosines.min() > 0.5


def test_the_score_is_the_product_with_the_bias_added(fitted: Bpr) -> None:
    history = sessions([3, 8, 3])
    space = fitted._space
    user = space.contexts[[3, 8]].mean(axis=0)
    expected = space.vectors[5, :-1] @ user + space.vectors[5, -1]
    assert fitted.score(history, np.array([[5]], np.int32))[0, 0] == pytest.approx(
        expected, rel=1e-5
    )


def test_an_item_that_nobody_had_is_never_offered_and_changes_nothing(fitted: Bpr) -> None:
    found = fitted.retrieve(sessions([0]), ITEMS, Allowed.everything(1, ITEMS))
    assert set(found.items[found.filled].tolist()) == set(range(GROUPS * SIZE))
    both, known = fitted._space.users_of(sessions([7, ITEMS - 1], [7]))
    np.testing.assert_array_equal(both, known)


@pytest.mark.parametrize(
    "log", [log_of([0], items=1), log_of([0, 1, 2], items=3), log_of([0], [0], items=1)]
)
def test_one_user_or_one_item(log: Interactions) -> None:
    n = len(log.items)
    found = (
        Bpr(device="cpu")
        .fit(log, Catalog.empty(log.items))
        .retrieve(sessions([0]), n + 1, Allowed.everything(1, n))
    )
    assert sorted(found.items[0].tolist()) == [PAD, *range(n)]


def test_what_cannot_be_learnt_from(world: World) -> None:
    empty = log_of([], items=2)
    with pytest.raises(DataError, match="'bpr' needs events; the log has none"):
        Bpr().fit(empty, Catalog.empty(empty.items))
    with pytest.raises(TrainingError, match="'bpr' are not finite; choose a lower learning_rate"):
        small(learning_rate=1e30).fit(world.log, world.catalog)


@pytest.mark.parametrize("name", ["factors", "learning_rate", "regularization", "iterations"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be above 0; got 0"):
        Bpr(**{name: 0})  # type: ignore[arg-type]
