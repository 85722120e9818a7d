"""Small logs, catalogues and sessions whose answers are known without the code."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.features.arrays import Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.columns import CatalogColumns
from recsys.features.histories import Histories, anonymous
from recsys.features.interactions import Clock, Interactions
from recsys.features.vocabulary import Vocabulary
from recsys.ranking.lists import Chosen
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates

DAY = 86_400_000_000  # microseconds

GROUPS, SIZE = 6, 10
"""The planted world has so many circles of so many items; item `SIZE * g + i` leads to the next."""

STRANGERS = 2
"""Items at the end of the planted world that nobody had and of which nothing is known."""

ITEMS = GROUPS * SIZE + STRANGERS


def vocabulary(n: int, noun: str) -> Vocabulary:
    """Ids that sort as they are numbered: i000, i001, ..."""
    return Vocabulary.of([f"{noun[0]}{row:03}" for row in range(n)], noun)


def log_of(
    *sequences: Sequence[int],
    items: int,
    times: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
    clock: Clock = "order",
) -> Interactions:
    """Each sequence is what one user had, oldest first; by default the n-th event is at time n."""
    lengths = [len(each) for each in sequences]
    n = sum(lengths)
    by_default = np.concatenate([np.zeros(0), *(np.arange(length) for length in lengths)])
    return Interactions(
        users=vocabulary(len(sequences), "user"),
        items=vocabulary(items, "item"),
        user_rows=np.repeat(np.arange(len(sequences), dtype=np.int32), lengths),
        item_rows=np.array([row for each in sequences for row in each], np.int32),
        event_codes=np.zeros(n, np.uint8),
        times=np.asarray(by_default if times is None else times, np.int64),
        weights=np.ones(n, np.float32) if weights is None else np.asarray(weights, np.float32),
        events=("view",),
        clock=clock,
    )


def sessions(*lists: Sequence[int]) -> Histories:
    """Anonymous histories of these items."""
    return anonymous(*_ragged(lists))


def leaving_out(
    *excluded: Sequence[int], items: int, mask: Sequence[bool] | None = None
) -> Allowed:
    """All items but those that the mask bars, and but those that each query leaves out."""
    rows, offsets = _ragged(excluded)
    return Allowed(np.ones(items, bool) if mask is None else np.array(mask, bool), offsets, rows)


def chosen_of(*lists: Sequence[int], weights: Sequence[float] | None = None) -> Chosen:
    """What each query chose."""
    rows, offsets = _ragged(lists)
    worth = np.ones(len(rows)) if weights is None else np.asarray(weights)
    return Chosen(offsets, rows, worth.astype(np.float32), np.zeros(len(rows), np.uint8))


def offered(
    items: Sequence[Sequence[int]], source: str = "one", scores: Sequence[Sequence[float]] = ()
) -> Candidates:
    """Lists of one source, PAD where they are short; by default scores fall from 1 by tenths."""
    rows = np.array(items, np.int32)
    worth = np.array(scores) if len(scores) else np.broadcast_to(falling(rows.shape[1]), rows.shape)
    shown = np.where(rows == -1, -np.inf, worth).astype(np.float32)
    return Candidates.of_one(np.full(len(rows), -1, np.int32), rows, shown, source)


def falling(n: int) -> Array:
    return 1 - np.arange(n) / 10


def _ragged(lists: Sequence[Sequence[int]]) -> tuple[Rows, Array]:
    flat = np.array([row for each in lists for row in each], np.int32)
    return flat, np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)


@dataclass(frozen=True)
class World:
    """A planted log, its catalogue, and what each user had next."""

    log: Interactions
    catalog: Catalog
    histories: Histories  # of all users, at the end of the log
    seen: Allowed  # all but what each user had
    next_items: Rows  # (users,)

    def recall(self, items: Rows) -> float:
        """The share of the users whose next item is in their list (users, k)."""
        return float((items == self.next_items[:, None]).any(axis=1).mean())


def planted(users: int = 90, length: int = 6, seed: int = 0) -> World:
    """Users walk along one circle each, now and then straying; vectors tell the circles apart."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, GROUPS, users)
    start = rng.integers(0, SIZE, users)[:, None]
    walks = groups[:, None] * SIZE + (start + np.arange(length + 1)) % SIZE
    strays = rng.random(walks.shape) < 0.1
    strays[:, -2:] = False
    walks = np.where(strays, rng.integers(0, GROUPS * SIZE, walks.shape), walks)
    log = log_of(
        *walks[:, :-1].tolist(),
        items=ITEMS,
        times=(rng.integers(0, 40, (users, 1)) * DAY + np.arange(length) * DAY).ravel().tolist(),
        clock="time",
    )
    return World(
        log=log,
        catalog=catalog_of(log.items, rng),
        histories=Histories.of(log, np.arange(users, dtype=np.int32)),
        seen=leaving_out(*(np.unique(walk).tolist() for walk in walks[:, :-1]), items=ITEMS),
        next_items=walks[:, -1].astype(np.int32),
    )


def catalog_of(items: Vocabulary, rng: np.random.Generator) -> Catalog:
    """The circle as category, the place in it as tag, a price per circle, and noisy vectors."""
    groups, places = np.divmod(np.arange(ITEMS), SIZE)
    stranger = groups == GROUPS
    columns = CatalogColumns(category="circle", tags="place", number="size", price="price")
    blank = pl.Series(stranger)
    frame = pl.DataFrame(
        {
            "circle": [f"circle {group}" for group in groups],
            "place": [f"place {place}|{'even' if place % 2 == 0 else 'odd'}" for place in places],
            "size": places.astype(np.float64),
            "price": 5.0 * (groups + 1),
        }
    ).select(pl.when(~blank).then(pl.all()))
    vectors: Floats = np.eye(GROUPS + 1, dtype=np.float32)[groups]
    vectors = vectors + rng.normal(0, 0.1, vectors.shape).astype(np.float32)
    vectors[stranger] = 0
    catalog = Catalog(items, frame, columns, {}, ~stranger)
    return catalog.with_vectors("text", vectors)
