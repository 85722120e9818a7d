"""A demo shop that is made up: customers, goods and a log with the structure of real ones."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from numbers import Integral
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.features.arrays import Array, Rows
from recsys.features.errors import SettingsError
from recsys.features.forks import check_process
from recsys.features.outputs import draft_of, writing
from recsys.shop_customers import (
    Customers,
    Views,
    browse,
    come_back,
    invent_personas,
    joined,
    meet_customers,
    plan_visits,
)
from recsys.shop_goods import (
    DAY,
    Goods,
    Random,
    Shelf,
    fill_shelf,
    item_table,
    labels,
    link_complements,
    make_goods,
)
from recsys.shop_words import CATEGORIES

CLOSING = datetime(2026, 1, 31)
"""When every log ends, so that one seed gives one log on any day."""

EVENTS = ("view", "cart", "purchase")
VIEW, CART, PURCHASE = range(3)

FILES = ("events.parquet", "items.parquet")
"""What `Shop.write` writes."""

_MARK = "recsys.shop"  # the key of the metadata of both
_BLOCK = 100_000
"""Customers that are simulated at once; bounds the memory, not the result's size."""

_LASTING = np.array([words.cycle_days == 0 for words in CATEGORIES])


@dataclass(frozen=True, slots=True)
class Shop:
    """What a shop has to offer a recommender: a log in time order, and a catalogue.

    `events`: user_id, item_id, event (view, cart, purchase), time, quantity.
    `items`: item_id, title, description, category, brand, tags, price, available,
    variant_group, listed_at. Times are UTC without a zone, in whole seconds.
    """

    events: pl.DataFrame
    items: pl.DataFrame

    def write(self, folder: str | Path) -> None:
        """Write events.parquet and items.parquet into `folder`, which is made if need be."""
        folder = Path(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for name, table in zip(FILES, (self.events, self.items), strict=True):
            with draft_of(folder / name) as draft:
                table.write_parquet(draft, metadata={_MARK: "a made-up shop"})


def is_of_shop(file: Path) -> bool:
    """Whether `Shop.write` wrote a file."""
    try:
        return _MARK in pl.read_parquet_metadata(file)
    except (pl.exceptions.PolarsError, OSError):
        return False


@dataclass(frozen=True, slots=True)
class _Log:
    """Events in rows, before they get their ids."""

    user: Rows  # (n,)
    item: Rows  # (n,)
    event: NDArray[np.int8]  # (n,) position in EVENTS
    second: Rows  # (n,) from the opening
    quantity: NDArray[np.int16]  # (n,)


def make_shop(
    users: int = 3_000,
    items: int = 1_500,
    days: int = 120,
    sessions_per_user: float = 8.0,
    seed: int = 0,
    *,
    drift: float = 0.4,
    follow_up: float = 0.3,
) -> Shop:
    """Make up a shop and let `users` customers live in it for `days` days, until `CLOSING`.

    `sessions_per_user` counts the visits of a customer's own accord; visits that follow from
    purchases and full carts come on top, 10 to 25 %. `drift` is the share of a customer's
    interests that is new by the end, `follow_up` the probability that a purchase leads to a
    visit for what goes with it. Four to six events come of each planned visit.

    Raises SettingsError for counts below 1, more than ten years, shares outside 0..1 and a
    negative seed.
    """
    check_process()
    _check_whole(1, users=users, items=items)
    _check_whole(1, days=days, most=3_650)
    _check_whole(0, seed=seed)
    _check_shares(drift=drift, follow_up=follow_up)
    if not 0.0 < sessions_per_user < math.inf:
        raise SettingsError(f"sessions_per_user must be above 0, not {sessions_per_user!r}")
    rng = np.random.default_rng(seed)
    weeks, end = math.ceil(days / 7), days * DAY

    goods = make_goods(items, weeks, rng)
    shelf = fill_shelf(goods, weeks, rng)
    links = link_complements(goods, rng)
    personas = invent_personas(rng)
    logs = []
    for first in range(0, users, _BLOCK):
        n = min(_BLOCK, users - first)
        customers = meet_customers(n, personas, end, sessions_per_user, drift, rng)
        views = _live(customers, shelf, links, end, follow_up, rng)
        logs.append(_log_of(views, first, goods, end, rng))

    ids = labels("sku-", items).gather(rng.permutation(items))
    opening = CLOSING - timedelta(days=days)
    return Shop(
        events=_event_table(logs, users, ids, opening),
        items=item_table(goods, ids, opening, rng),
    )


def make_log(events: int, users: int, items: int, seed: int = 0) -> pl.DataFrame:
    """A log without a story, with the columns and the order of `Shop.events`, quick to make.

    Users and items follow power laws; times are distinct, so that no event is there twice.
    Raises SettingsError for counts below 1 and a negative seed.
    """
    _check_whole(1, events=events, users=users, items=items)
    _check_whole(0, seed=seed)
    rng = np.random.default_rng(seed)
    step = 120 * DAY * 1_000_000 // events
    time = CLOSING - timedelta(microseconds=step * events)
    event = rng.choice(len(EVENTS), size=events, p=[0.85, 0.1, 0.05])
    return pl.DataFrame(
        {
            "user_id": labels("u", users).gather(_power_law(events, users, 2.0, rng)),
            "item_id": labels("sku-", items).gather(_power_law(events, items, 3.0, rng)),
            "event": pl.Series(EVENTS).gather(event),
            "time": pl.Series(np.arange(events) * step).cast(pl.Duration("us")) + time,
            "quantity": pl.Series(np.ones(events, np.int16)),
        }
    )


def make_catalog(items: int, seed: int = 0) -> pl.DataFrame:
    """A catalogue for the items of `make_log`: 100 categories drawn evenly, prices around 20."""
    _check_whole(1, items=items)
    _check_whole(0, seed=seed)
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "item_id": labels("sku-", items),
            "category": labels("category-", 100).gather(rng.integers(0, 100, items)),
            "price": rng.lognormal(3, 1, items).round(2),
        }
    )


def _power_law(draws: int, n: int, steepness: float, rng: Random) -> Rows:
    """(draws,) numbers below `n`; number x has a density of about x ** (1 / steepness - 1)."""
    numbers: Rows = (n * rng.random(draws) ** steepness).astype(np.int32)
    return numbers


def _check_whole(least: int, most: int | None = None, **values: int) -> None:
    upper = "" if most is None else f" to {most}"
    for name, value in values.items():
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            raise SettingsError(f"{name} must be a whole number from {least}{upper}, not {value!r}")


def _check_shares(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise SettingsError(f"{name} must lie in 0..1, not {value!r}")


def _live(
    customers: Customers, shelf: Shelf, links: Rows, end: int, follow_up: float, rng: Random
) -> list[Views]:
    """All that a block of customers looks at: planned visits, then those that follow from them."""
    rounds = []
    visits = plan_visits(customers, end, rng)
    while len(visits):
        views = browse(visits, customers, shelf, rng)
        rounds.append(views)
        visits = come_back(views, shelf, links, follow_up, rng)
        visits = visits.where(visits.start < end)
    return rounds


def _log_of(rounds: list[Views], first: int, goods: Goods, end: int, rng: Random) -> _Log:
    """Views, carts and purchases of a block of customers whose rows begin at `first`."""
    views = joined(*rounds)
    carted, bought = np.flatnonzero(views.carted), _purchases(views, goods)
    rows = np.concatenate([np.arange(len(views)), carted, bought])
    event = np.repeat(np.arange(3, dtype=np.int8), [len(views), len(carted), len(bought)])
    second = np.concatenate([views.time, views.time[carted] + 7, views.checkout[bought]])
    item = views.item[rows]
    several = (event == PURCHASE) & ~_LASTING[goods.category[item]]
    quantity = np.where(several, np.minimum(rng.geometric(0.75, size=len(rows)), 6), 1)
    kept = second < end
    return _Log(
        user=views.customer[rows][kept] + first,
        item=item[kept],
        event=event[kept],
        second=second[kept].astype(np.int32),
        quantity=quantity[kept].astype(np.int16),
    )


def _purchases(views: Views, goods: Goods) -> Rows:
    """Which views (n,) end in a purchase; what lasts is bought once by each customer."""
    bought = np.flatnonzero(views.bought)
    bought = bought[np.argsort(views.checkout[bought], kind="stable")]
    item = views.item[bought]
    pair = views.customer[bought].astype(np.int64) * len(goods) + item
    again = np.ones(len(bought), np.bool_)
    again[np.unique(pair, return_index=True)[1]] = False
    made: Rows = bought[~(again & _LASTING[goods.category[item]])]
    return made


def _event_table(
    logs: list[_Log], users: int, item_ids: pl.Series, opening: datetime
) -> pl.DataFrame:
    """All events in time order, with the ids they go by."""
    second = np.concatenate([log.second for log in logs])
    order = np.argsort(second, kind="stable")

    def in_order(name: str) -> Array:
        return np.concatenate([getattr(log, name) for log in logs])[order]

    return pl.DataFrame(
        {
            "user_id": labels("u", users).gather(in_order("user")),
            "item_id": item_ids.gather(in_order("item")),
            "event": pl.Series(EVENTS).gather(in_order("event")),
            "time": pl.Series(second[order].astype(np.int64) * 1_000_000).cast(pl.Duration("us"))
            + opening,
            "quantity": in_order("quantity"),
        }
    )
