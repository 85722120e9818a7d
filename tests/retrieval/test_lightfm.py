"""LightFm: items as means of their features, those without events by their features alone."""

import sys
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest

from recsys.features.catalog import Catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError, MissingDependency, SettingsError
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.folding import happened
from recsys.retrieval.lightfm import LightFm, item_features
from tests.retrieval.contract import RetrieverContract
from tests.worlds import GROUPS, ITEMS, SIZE, World, log_of, planted, sessions

pytest.importorskip("lightfm")

small = partial(LightFm, factors=12, epochs=20, seed=3, device="cpu")


class TestLightFm(RetrieverContract):
    make = staticmethod(small)
    recall_floor = 0.7


class TestLightFmWithoutFeatures(RetrieverContract):
    make = staticmethod(partial(small, least_items=1000))
    recall_floor = 0.6


@pytest.fixture(scope="module")
def world() -> World:
    return planted()


def catalog_of(log: Interactions, shelves: list[str | None], tags: list[str | None]) -> Catalog:
    frame = pl.DataFrame({"shelf": shelves, "tags": tags})
    columns = CatalogColumns(category="shelf", tags="tags")
    return Catalog(log.items, frame, columns, {}, np.ones(len(log.items), bool))


def test_features_by_hand() -> None:
    log = log_of([0, 1, 2], items=5)
    catalog = catalog_of(log, ["a", "a", "b", "a", None], ["x|y", "x", None, "x|y", "y"])
    features = item_features(catalog, log.item_counts > 0, least=2).toarray()
    # ids of 0, 1, 2; shelf a; tag x: shelf b and tag y have only one item that somebody had
    third = 1 / 3
    expected = [
        [third, 0, 0, third, third],
        [0, third, 0, third, third],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0.5, 0.5],
        [0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(features, expected, rtol=1e-6)


def test_an_item_without_events_stands_with_its_like(world: World) -> None:
    own = np.arange(GROUPS) * SIZE + 4  # one item of each circle is taken out of the log
    log = world.log.where(~np.isin(world.log.item_rows, own))
    lightfm = small().fit(log, world.catalog)
    histories = sessions(*[[SIZE * group + 2, SIZE * group + 3] for group in range(GROUPS)])
    allowed = replace(Allowed.everything(GROUPS, ITEMS), mask=np.isin(np.arange(ITEMS), own))
    found = lightfm.retrieve(histories, 1, allowed)
    assert (found.items[:, 0] == own).mean() >= 0.8
    from_them = lightfm.retrieve(sessions(*own[:, None].tolist()), 3, Allowed.everything(6, ITEMS))
    assert (from_them.items // SIZE == np.arange(GROUPS)[:, None]).mean() >= 0.8


def test_folded_in_users_are_near_the_fitted_ones(world: World) -> None:
    from lightfm import LightFM

    lightfm = small().fit(world.log, world.catalog)
    had = world.log.item_counts > 0
    model = LightFM(no_components=12, loss="warp", random_state=3)
    features = item_features(world.catalog, had, 2)
    model.fit(happened(world.log)[:, had].tocoo(), item_features=features[had], epochs=20)
    ours = lightfm._space.users_of(world.histories)[:, :-1]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(model.user_embeddings, axis=1)
    assert np.median((ours * model.user_embeddings).sum(axis=1) / lengths) > 0.9


def test_a_catalogue_that_knows_nothing(world: World) -> None:
    lightfm = small().fit(world.log, Catalog.empty(world.log.items))
    assert world.recall(lightfm.retrieve(world.histories, 5, world.seen).items) > 0.6


def test_a_log_without_events() -> None:
    empty = log_of([], items=2)
    with pytest.raises(DataError, match="'lightfm' needs events; the log has none"):
        LightFm().fit(empty, Catalog.empty(empty.items))


def test_without_the_package_it_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightfm", None)
    with pytest.raises(MissingDependency, match=r"needs LightFM: pip install 'recsys\[lightfm\]'"):
        LightFm().fit(world.log, world.catalog)


@pytest.mark.parametrize(
    "name", ["factors", "learning_rate", "epochs", "most_tries", "least_items"]
)
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be above 0; got 0"):
        LightFm(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="regularization must be 0 or more; got -1"):
        LightFm(regularization=-1)
