"""The final table, from candidates made by hand."""

import numpy as np
import polars as pl
import pytest

from recsys.engine import Engine
from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.vocabulary import Vocabulary
from recsys.ranked import Ranked
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.tables import Asked, Lists, as_table, no_table, single_lists
from tests.shops import ordered_engine

CHOICES = {"ann": "ab", "bob": "bc", "cat": "ca"}


@pytest.fixture
def engine() -> Engine:
    return ordered_engine(CHOICES)


def candidates(items: list[list[int]], ranks: list[list[list[int]]]) -> Candidates:
    """Of the sources next and popular, with scores that fall with the ranks."""
    places = np.array(ranks, np.int32)
    scores = np.where(places == PAD, -np.inf, -places).astype(np.float32)
    rows = np.array(items, np.int32)
    users = np.full(len(rows), PAD, np.int32)
    return Candidates(users, rows, scores, places, ("next", "popular"))


def asked(engine: Engine, *users: str) -> Asked:
    rows = engine.learnt.log.users.rows(users)
    remarks = pl.Series([None] * len(users), dtype=pl.String)
    return Asked(pl.Series(users), Histories.of(engine.learnt.log, rows), remarks)


def table(
    engine: Engine, who: Asked, own: Candidates, k: int, failed: tuple[str, ...] = ()
) -> pl.DataFrame:
    own = own.top(k)
    scores = np.where(own.filled, 1.0, -np.inf).astype(np.float32)
    ranked = Ranked(own, scores, np.zeros(len(own), bool), failed)
    two = np.arange(len(engine.items)) < 2
    nothing = np.zeros(len(own) + 1, np.int64), np.zeros(0, np.int32)
    retrievers = engine.learnt.fitted.sources.retrievers
    lists = Lists.of(who.histories, ranked, k, Allowed(two, *nothing).available(), retrievers)
    catalog = Catalog.empty(engine.learnt.log.items)
    return as_table(who, Lists.joined([lists]), k, own.sources, retrievers, catalog)


def test_a_row_per_item_and_one_for_who_has_none(engine: Engine) -> None:
    own = candidates([[2, PAD], [PAD, PAD]], [[[0, 1], [PAD, PAD]], [[PAD, PAD], [PAD, PAD]]])
    rows = table(engine, asked(engine, "ann", "bob"), own, 2)
    assert rows["user_id"].to_list() == ["ann", "bob"]
    assert rows["item_id"].to_list() == ["c", None]
    assert rows["rank"].to_list() == [1, None]
    assert rows["score"].to_list() == [1.0, None]
    assert rows["sources"].to_list() == [["next", "popular"], []]
    assert rows["reason"].to_list() == ["often chosen with b", None]
    assert rows["note"].to_list() == [
        "1 of 2 items: the sources found no more",
        "0 of 2 items: the sources found no more",
    ]


def test_item_0_is_no_padding(engine: Engine) -> None:
    own = candidates([[0, PAD]], [[[PAD, 0], [PAD, PAD]]])
    rows = table(engine, asked(engine, "bob"), own, 1)
    assert rows["item_id"].to_list() == ["a"]
    assert rows["sources"].to_list() == [["popular"]]
    assert rows["reason"].to_list() == ["popular now"]
    assert rows["note"].to_list() == [None]


def test_all_that_is_unusual_is_said_in_one_note(engine: Engine) -> None:
    own = candidates([[0, PAD]], [[[PAD, 0], [PAD, PAD]]])
    who = Asked(pl.Series(["new"]), asked(engine, "nobody").histories, pl.Series(["unknown user"]))
    (note,) = table(engine, who, own, 2, failed=("als", "content"))["note"]
    assert note == (
        "unknown user; 1 of 2 items: the sources found no more; failed sources: als, content"
    )


def test_an_empty_table_has_the_columns_of_a_full_one(engine: Engine) -> None:
    own = candidates([[2]], [[[0, PAD]]])
    full = table(engine, asked(engine, "ann"), own, 1)
    assert no_table(pl.String(), pl.String()).schema == full.schema


def test_asked_in_blocks_is_asked_in_order(engine: Engine) -> None:
    who = asked(engine, "ann", "bob", "cat")
    blocks = list(who.blocks(2))
    assert [len(block.histories) for block in blocks] == [2, 1]
    assert [block.ids.to_list() for block in blocks] == [["ann", "bob"], ["cat"]]
    assert blocks[1].histories.items.tolist() == who.histories.items[4:].tolist()


def test_the_lists_of_one_source() -> None:
    items = np.array([[1, 0], [2, PAD]], np.int32)
    scores = np.array([[2.0, 1.0], [3.0, -np.inf]], np.float32)
    own = Candidates.of_one(np.full(2, PAD, np.int32), items, scores, "next")
    catalog = Catalog.empty(Vocabulary.of(["a", "b", "c"], "item"))
    rows = single_lists(pl.Series(["x", "y"]), own, catalog)
    assert rows.rows() == [("x", "b", 1, 2.0), ("x", "a", 2, 1.0), ("y", "c", 1, 3.0)]
