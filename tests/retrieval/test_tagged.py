"""Tagged: links in dense numpy, and what no label tells."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.catalog import Catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError, SettingsError
from recsys.features.interactions import Interactions
from recsys.features.labels import labels_of
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.tagged import Tagged
from tests.retrieval.contract import RetrieverContract
from tests.worlds import log_of, sessions

A, B, C, D = range(4)


class TestTagged(RetrieverContract):
    make = staticmethod(Tagged)
    recall_floor = 0.15


def catalog_of(log: Interactions, tags: list[str], categories: list[str | None]) -> Catalog:
    frame = pl.DataFrame({"kind": tags, "shelf": categories}, schema_overrides={"shelf": pl.String})
    columns = CatalogColumns(tags="kind", category="shelf")
    return Catalog(log.items, frame, columns, {}, np.ones(len(frame), bool))


letters = st.sets(st.sampled_from("uvwxyz"), max_size=4)


@settings(deadline=None)
@given(st.lists(letters, min_size=4, max_size=4), st.lists(st.integers(0, 3), max_size=8))
def test_links_are_dense_cosines_times_popularity(own: list[set[str]], walk: list[int]) -> None:
    log = log_of([A, B, C, D], walk, items=4)
    catalog = catalog_of(log, ["|".join(sorted(each)) for each in own], [None] * 4)
    labels = np.array([[letter in each for letter in "uvwxyz"] for each in own], float)
    worth = labels * np.log(4 / np.maximum(labels.sum(axis=0), 1))
    units = worth / np.maximum(np.linalg.norm(worth, axis=1, keepdims=True), 1e-9)
    users = np.array([1 + (item in walk) for item in range(4)])  # who walks to and fro is one
    expected = units @ units.T * users**0.5
    np.fill_diagonal(expected, 0)
    rows = np.arange(4, dtype=np.int32)
    if not worth.any():
        with pytest.raises(DataError, match="'tagged' needs tags or categories that at most"):
            Tagged().fit(log, catalog)
        return
    fitted = Tagged(popularity=0.5).fit(log, catalog)
    links = fitted.links(rows[:, None], np.tile(rows, (4, 1)))[:, :, 0]
    np.testing.assert_allclose(links, expected, rtol=1e-5, atol=1e-6)


def test_a_category_is_a_label_beside_the_tags() -> None:
    log = log_of([A, B], items=4)
    labels = labels_of(catalog_of(log, ["u|v", "u", "", "v|v"], ["x", None, "x", "y"]))
    assert labels.toarray().tolist() == [[1, 0, 1, 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 1]]


def test_the_newest_items_count_most_and_unsold_ones_are_found() -> None:
    log = log_of([A, B], [A, B], items=4)
    catalog = catalog_of(log, ["u", "v", "u", "v"], [None] * 4)
    found = Tagged().fit(log, catalog).retrieve(sessions([A, B]), 2, Allowed.everything(1, 4))
    assert found.items[0].tolist() == [D, C]


def test_labels_of_too_many_items_link_nothing() -> None:
    log = log_of([A, B], items=4)
    catalog = catalog_of(log, ["u", "u", "u|v", "v"], [None] * 4)
    fitted = Tagged(common=2).fit(log, catalog)
    found = fitted.retrieve(sessions([A], [C]), 3, Allowed.everything(2, 4))
    assert found.filled.sum(axis=1).tolist() == [0, 1]
    assert found.items[1, 0] == D


@pytest.mark.parametrize("given", [{"last": 0}, {"decay": 0.0}, {"popularity": -1.0}])
def test_settings_out_of_range_are_refused(given: dict[str, float]) -> None:
    (name,) = given
    with pytest.raises(SettingsError, match=name):
        Tagged(**given)  # type: ignore[arg-type]
