"""Content: what is like the history is offered, be it known only by its text."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from recsys.features.arrays import PAD, Floats
from recsys.features.catalog import Catalog
from recsys.features.errors import ArtifactError, DataError, SettingsError, TrainingError
from recsys.features.histories import Histories, anonymous
from recsys.features.interactions import Interactions
from recsys.features.vocabulary import Vocabulary
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.content import Content
from recsys.retrieval.retriever import links_items
from tests.retrieval.contract import RetrieverContract

IDS = ["red tea", "green tea", "black tea", "desk", "chair", "gift card"]
VECTORS = np.array(
    [[3, 0.3, 0], [1, 0, 0.1], [0.9, 0.2, 0], [0, 1, 0.1], [0, 2, 0], [0, 0, 0]], np.float32
)
RED, GREEN, BLACK, DESK, CHAIR, CARD = range(6)


class TestContent(RetrieverContract):
    make = staticmethod(partial(Content, device="cpu"))
    recall_floor = 0.7


def catalog_of(vectors: Floats = VECTORS) -> Catalog:
    names = Vocabulary.of([f"{i} {name}" for i, name in enumerate(IDS[: len(vectors)])], "item")
    return Catalog.empty(names).with_vectors("text", vectors)


def log_of(*items: int) -> Interactions:
    """One user did these things, one after another."""
    n = len(items)
    return Interactions(
        users=Vocabulary.of(["ann"], "user"),
        items=catalog_of().items,
        user_rows=np.zeros(n, np.int32),
        item_rows=np.array(items, np.int32),
        event_codes=np.zeros(n, np.uint8),
        times=np.arange(n, dtype=np.int64),
        weights=np.ones(n, np.float32),
        events=("view",),
        clock="order",
    )


def sessions(*lists: list[int]) -> Histories:
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)
    return anonymous(np.array([row for each in lists for row in each], np.int32), offsets)


@pytest.fixture
def content() -> Content:
    return Content(device="cpu").fit(log_of(RED, DESK, CHAIR), catalog_of())


def test_substitutes_are_found(content: Content) -> None:
    found = content.retrieve(sessions([RED], [CHAIR]), 3, Allowed.everything(2, 6))
    assert found.items.tolist() == [[RED, BLACK, GREEN], [CHAIR, DESK, BLACK]]
    assert found.sources == ("content",)
    assert found.scores[:, 0, 0].tolist() == pytest.approx([1, 1])
    assert found.ranks[0, :, 0].tolist() == [0, 1, 2]


def test_an_item_known_only_by_its_text_reaches_those_who_buy_its_like(content: Content) -> None:
    assert GREEN not in log_of(RED, DESK, CHAIR).item_rows
    seen = Allowed(np.ones(6, bool), np.array([0, 2], np.int64), np.array([RED, BLACK]))
    assert content.retrieve(sessions([RED]), 1, seen).items.tolist() == [[GREEN]]


def test_a_history_without_vectors_offers_nothing(content: Content) -> None:
    found = content.retrieve(sessions([CARD], [], [DESK]), 2, Allowed.everything(3, 6))
    assert found.items.tolist() == [[PAD, PAD], [PAD, PAD], [DESK, CHAIR]]
    assert np.isneginf(found.scores[:2]).all()
    assert (found.ranks[:2] == PAD).all()


def test_an_item_without_vector_is_never_offered(content: Content) -> None:
    found = content.retrieve(sessions([DESK]), 6, Allowed.everything(1, 6))
    assert CARD not in found.items
    assert found.items[0, -1] == PAD


def test_the_newest_items_weigh_most() -> None:
    content = Content(decay=0.5, last=2, device="cpu").fit(log_of(RED), catalog_of())
    units = VECTORS / np.maximum(np.linalg.norm(VECTORS, axis=1, keepdims=True), 1e-9)
    expected = units[GREEN] + 0.5 * units[DESK]  # the third from the end is beyond `last`
    np.testing.assert_allclose(
        content.profiles(sessions([CHAIR, DESK, GREEN]))[0],
        expected / np.linalg.norm(expected),
        rtol=1e-5,
    )


def test_heavier_events_weigh_more(content: Content) -> None:
    light = sessions([RED, DESK])
    heavy = Histories(
        light.users, light.offsets, light.items, light.events, light.times,
        np.array([9, 1], np.float32), light.now,
    )  # fmt: skip
    assert content.retrieve(light, 1, Allowed.everything(1, 6)).items[0, 0] == DESK
    assert content.retrieve(heavy, 1, Allowed.everything(1, 6)).items[0, 0] in (RED, BLACK)


def test_score_is_what_retrieve_sorts_by(content: Content) -> None:
    histories = sessions([RED, CHAIR], [CARD], [GREEN])
    found = content.retrieve(histories, 5, Allowed.everything(3, 6))
    scores = content.score(histories, found.items)
    np.testing.assert_array_equal(scores[found.filled], found.scores[:, :, 0][found.filled])
    assert (scores[~found.filled] == 0).all()
    assert content.score(histories, np.full((3, 1), CARD, np.int32)).tolist() == [[0]] * 3


def test_links_are_cosines(content: Content) -> None:
    sources = np.array([[RED, PAD], [DESK, CARD]], np.int32)
    targets = np.array([[RED, GREEN, PAD], [CHAIR, CARD, DESK]], np.int32)
    links = content.links(sources, targets)
    assert links.shape == (2, 3, 2)
    assert links[0, 0, 0] == pytest.approx(1)
    cosine = VECTORS[RED] @ VECTORS[GREEN] / np.linalg.norm(VECTORS[RED])
    assert links[0, 1, 0] == pytest.approx(cosine / np.linalg.norm(VECTORS[GREEN]))
    assert (links[:, :, 1] == 0).all()
    assert (links[0, 2] == 0).all()
    assert links_items(content)


def test_similar_leaves_the_item_itself_out(content: Content) -> None:
    allowed = Allowed(np.ones(6, bool), np.array([0, 1, 1, 1], np.int64), np.array([BLACK]))
    found = content.similar(np.array([RED, CARD, PAD], np.int32), 2, allowed)
    assert found.items.tolist() == [[GREEN, CHAIR], [PAD, PAD], [PAD, PAD]]
    assert found.users.tolist() == [PAD, PAD, PAD]


def test_save_and_load(content: Content, tmp_path: Path) -> None:
    content.save(tmp_path)
    loaded = Content(device="cpu").load(tmp_path)
    histories, allowed = sessions([RED, DESK]), Allowed.everything(1, 6)
    found, again = (each.retrieve(histories, 5, allowed) for each in (content, loaded))
    assert found.items.tolist() == again.items.tolist()
    np.testing.assert_array_equal(found.scores, again.scores)


def test_a_missing_or_damaged_file_is_refused(content: Content, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"content\.npz"):
        Content().load(tmp_path)
    content.save(tmp_path)
    path = tmp_path / "content.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=r"content\.npz"):
        Content().load(tmp_path)


def test_a_refit_forgets_and_the_catalogue_is_not_edited(content: Content) -> None:
    before = VECTORS.copy()
    content.fit(log_of(RED), catalog_of(VECTORS[:, ::-1].copy()))
    np.testing.assert_array_equal(VECTORS, before)
    assert content.profiles(sessions([CHAIR]))[0].tolist() == [0, 1, 0]


def test_wrong_use_is_named() -> None:
    with pytest.raises(DataError, match=r"'content' needs catalogue vectors named 'image'"):
        Content(vectors="image").fit(log_of(RED), catalog_of())
    with pytest.raises(TrainingError, match="content is not fitted"):
        Content().retrieve(sessions([RED]), 1, Allowed.everything(1, 6))
    with pytest.raises(SettingsError, match="decay must be above 0"):
        Content(decay=0)
    with pytest.raises(SettingsError, match="last must be at least 1"):
        Content(last=0)


def test_vectors_of_zeros_alone_offer_nothing() -> None:
    content = Content(device="cpu").fit(log_of(RED), catalog_of(np.zeros((6, 3), np.float32)))
    found = content.retrieve(sessions([RED]), 2, Allowed.everything(1, 6))
    assert found.items.tolist() == [[PAD, PAD]]


def test_without_an_index_it_gives_the_same_scores_and_offers_nothing(content: Content) -> None:
    silent = Content(device="cpu", index=None).fit(log_of(RED, DESK, CHAIR), catalog_of())
    histories, items = sessions([RED, DESK]), np.array([[GREEN, BLACK, CARD]], np.int32)
    np.testing.assert_array_equal(silent.score(histories, items), content.score(histories, items))
    assert silent.index_ is None
    with pytest.raises(TrainingError, match="content has no index, it only gives scores"):
        silent.retrieve(histories, 2, Allowed.everything(1, len(IDS)))
