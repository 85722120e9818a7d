"""The customers of the demo shop: what they like, when they come, and what they do there."""

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Offsets, Rows
from recsys.shop_goods import DAY, TASTES, WEEK, Goods, Random, Shelf, category_shares
from recsys.shop_words import CATEGORIES, STYLES

PERSONAS = 12
"""How many kinds of customers there are; those of one kind like similar things."""

MOST_VIEWS = 12
"""How many items are opened in one visit at most."""

LOOKS = 4
"""Among how many items of a shelf a customer chooses the next one to open."""

_SLOT_SHARES = (0.55, 0.3, 0.15)
_CYCLE = np.array([words.cycle_days for words in CATEGORIES])


@dataclass(frozen=True, slots=True)
class Personas:
    """The kinds of customers, each with categories and a taste of its own."""

    interest: Floats  # (PERSONAS, categories) running sum of shares
    taste: Floats  # (PERSONAS, TASTES)


@dataclass(frozen=True, slots=True)
class Customers:
    """A block of customers; their interests and styles drift from early to late."""

    joined: Floats  # (n,) second of the first possible visit
    visits: Rows  # (n,) how often they come of their own accord, at least once
    interests: Rows  # (n, 2, 3) categories early and late, dearest first
    styles: Rows  # (n, 2, 2) styles early and late, dearest first
    price_level: Floats  # (n,) what they like to spend, as in `Goods.price_level`
    taste: Floats  # (n, TASTES) multiplies `Goods.character`

    def __len__(self) -> int:
        return len(self.visits)


@dataclass(frozen=True, slots=True)
class Visits:
    """Sessions in the shop, before it is known what happens there."""

    customer: Rows  # (n,)
    start: Offsets  # (n,) second
    category: Rows  # (n,) what it is about
    style: Rows  # (n,)
    first: Rows  # (n,) the item that is opened first, PAD if none is in mind
    urge: Floats  # (n,) how much likelier that item is bought, in log odds

    def __len__(self) -> int:
        return len(self.customer)

    def where(self, kept: Array) -> "Visits":
        """The visits that a mask (n,) or an index marks."""
        return replace(self, **{f.name: getattr(self, f.name)[kept] for f in fields(self)})


@dataclass(frozen=True, slots=True)
class Views:
    """Items opened, and what became of each."""

    customer: Rows  # (n,)
    item: Rows  # (n,)
    time: Offsets  # (n,) second it was opened
    checkout: Offsets  # (n,) second at which the visit paid for what it took
    carted: Mask  # (n,)
    bought: Mask  # (n,) never without being carted

    def __len__(self) -> int:
        return len(self.customer)


Table = TypeVar("Table", Visits, Views)


def invent_personas(rng: Random) -> Personas:
    """Each kind of customer cares for a handful of categories."""
    fame = category_shares() * rng.lognormal(0.0, 0.7, size=len(CATEGORIES))
    liking = rng.gamma(0.25, size=(PERSONAS, len(CATEGORIES))) * fame
    shares = np.cumsum(liking / liking.sum(axis=1, keepdims=True), axis=1)
    taste = rng.normal(size=(PERSONAS, TASTES))
    return Personas(shares.astype(np.float32), taste.astype(np.float32))


def meet_customers(
    n: int, personas: Personas, end: int, visits: float, drift: float, rng: Random
) -> Customers:
    """Meet `n` customers who come `visits` times on average until second `end`.

    Each interest and style of the late period is a new one with probability `drift`.
    """
    persona = rng.integers(PERSONAS, size=n)
    style = rng.integers(len(STYLES), size=(n, 2, 2))
    style[:, 1] = np.where(rng.random((n, 2)) < drift, style[:, 1], style[:, 0])
    interest = _interests(personas.interest[persona], rng)
    interest[:, 1] = np.where(rng.random((n, 3)) < drift, interest[:, 1], interest[:, 0])
    activity = visits * rng.lognormal(-0.32, 0.8, size=n)
    taste = 0.7 * personas.taste[persona] + 0.7 * rng.normal(size=(n, TASTES))
    return Customers(
        joined=(end * np.maximum(rng.random(n) * 1.5 - 0.6, 0.0)).astype(np.float32),
        visits=np.maximum(rng.poisson(activity), 1).astype(np.int32),
        interests=interest,
        styles=style.astype(np.int32),
        price_level=rng.normal(0.0, 0.7, size=n).astype(np.float32),
        taste=taste.astype(np.float32),
    )


def _interests(shares: Floats, rng: Random) -> Rows:
    """(n, 2, 3) categories drawn from running shares (n, categories)."""
    draws = rng.random((len(shares), 6), np.float32)
    rows = [(shares < draw[:, None]).sum(axis=1) for draw in draws.T]
    inside = np.minimum(np.stack(rows, axis=1), len(CATEGORIES) - 1)
    interests: Rows = inside.reshape(-1, 2, 3).astype(np.int32)
    return interests


def plan_visits(customers: Customers, end: int, rng: Random) -> Visits:
    """The visits that customers make of their own accord, led by what they like by then."""
    who = np.repeat(np.arange(len(customers), dtype=np.int32), customers.visits)
    start = _starts(customers.joined[who], end, rng)
    start = start[np.lexsort((start, who))]
    late = (rng.random(len(who)) < start / end).astype(np.int8)
    slot = rng.choice(3, size=len(who), p=_SLOT_SHARES)
    second = (rng.random(len(who)) < 0.25).astype(np.int8)
    anything = rng.choice(len(CATEGORIES), size=len(who), p=category_shares())
    curious = rng.random(len(who)) < 0.08
    category = np.where(curious, anything, customers.interests[who, late, slot])
    topic = _topics(who, rng)
    return Visits(
        customer=who,
        start=start,
        category=category[topic].astype(np.int32),
        style=customers.styles[who, late, second][topic],
        first=np.full(len(who), PAD, np.int32),
        urge=np.zeros(len(who), np.float32),
    )


def _starts(joined: Floats, end: int, rng: Random) -> Offsets:
    """(n,) seconds on any day after joining, mostly in the evening."""
    day = (joined + rng.random(len(joined)) * (end - joined)) // DAY
    hour = rng.normal(18.5, 3.5, size=len(joined)) % 24
    starts: Offsets = (day * DAY + hour * 3600).astype(np.int64)
    return starts


def _topics(who: Rows, rng: Random) -> Array:
    """For visits (n,) sorted by customer, the visit that first had the topic of each.

    One visit in three goes on looking for what the visit before was about.
    """
    visit = np.arange(len(who))
    fresh = (rng.random(len(who)) < 0.67) | (np.diff(who, prepend=-1) > 0)
    return np.maximum.accumulate(np.where(fresh, visit, 0))


def browse(visits: Visits, customers: Customers, shelf: Shelf, rng: Random) -> Views:
    """Let visits happen: open items one after another, put some in the cart, pay at the end."""
    length = np.minimum(rng.geometric(0.19, size=len(visits)), MOST_VIEWS)
    opened = np.full((len(visits), MOST_VIEWS), PAD, np.int32)
    opened[:, 0] = _or_choose(visits.first, visits, customers, shelf, rng)
    for position in range(1, MOST_VIEWS):
        on = np.flatnonzero(length > position)
        beside = _beside(opened[on, position - 1], shelf.goods, rng)
        opened[on, position] = _or_choose(beside, visits.where(on), customers, shelf, rng)
    return _outcome(visits, length, opened, customers, shelf.goods, rng)


def _or_choose(
    wanted: Rows, visits: Visits, customers: Customers, shelf: Shelf, rng: Random
) -> Rows:
    """The wanted items (n,), or what customers choose where none is or it is not on sale."""
    week = (visits.start // WEEK).astype(np.int32)
    undecided = np.flatnonzero((wanted == PAD) | ~shelf.on_sale(week, wanted))
    lost, week = visits.where(undecided), week[undecided]
    other = rng.integers(len(STYLES), size=len(lost))
    style = np.where(rng.random(len(lost)) < 0.25, other, lost.style)
    offers = [shelf.draw(week, lost.category, style, rng) for _ in range(LOOKS)]
    appeal = [
        _liking(customers, lost.customer, shelf.goods, offer) + rng.gumbel(0.0, 0.3, len(lost))
        for offer in offers
    ]
    chosen = wanted.copy()
    chosen[undecided] = np.stack(offers)[np.argmax(appeal, axis=0), np.arange(len(lost))]
    return chosen


def _beside(item: Rows, goods: Goods, rng: Random) -> Rows:
    """What stands beside items (n,), mostly the next dearer one; PAD for those who look on."""
    step = rng.choice([1, 2, -1], size=len(item), p=[0.55, 0.25, 0.2])
    place = np.clip(item + step, 0, len(goods) - 1)
    follows = (rng.random(len(item)) < 0.3) & (goods.category[place] == goods.category[item])
    beside: Rows = np.where(follows & (place != item), place, PAD).astype(np.int32)
    return beside


def _liking(customers: Customers, who: Rows, goods: Goods, item: Rows) -> Floats:
    """How much customers like items, both (n,): character against taste, less if the price is off.

    Mean about -0.8, spread about 1.
    """
    taste = np.einsum("nt,nt->n", customers.taste[who], goods.character[item])
    price = np.abs(customers.price_level[who] - goods.price_level[item])
    liking: Floats = (0.5 * taste - price).astype(np.float32)
    return liking


def _outcome(
    visits: Visits, length: Array, opened: Rows, customers: Customers, goods: Goods, rng: Random
) -> Views:
    """What was bought of the items opened (visits, MOST_VIEWS)."""
    visit, position = np.nonzero(opened != PAD)
    item = opened[visit, position]
    once = np.sort(np.unique(visit * len(goods) + item, return_index=True)[1])
    visit, position, item = visit[once], position[once], item[once]
    who, urge = visits.customer[visit], np.where(position == 0, visits.urge[visit], 0.0)
    liking = _liking(customers, who, goods, item)
    carted = _happens(-2.0 + 0.8 * liking + urge, rng)
    dear = goods.price_level[item] - customers.price_level[who]
    pace = rng.integers(20, 90, size=len(visits))
    pay = visits.start + length * pace + rng.integers(30, 240, size=len(visits))
    return Views(
        customer=who,
        item=item,
        time=visits.start[visit] + position * pace[visit] + rng.integers(0, 20, size=len(visit)),
        checkout=pay[visit],
        carted=carted,
        bought=carted & _happens(0.3 - 0.5 * dear + 0.5 * urge, rng),
    )


def _happens(log_odds: Array, rng: Random) -> Mask:
    return np.asarray(rng.random(len(log_odds)) < 1.0 / (1.0 + np.exp(-log_odds)))


def come_back(views: Views, shelf: Shelf, links: Rows, follow_up: float, rng: Random) -> Visits:
    """The visits that views lead to, each later than the checkout it follows.

    A purchase leads to one of its complements with probability `follow_up`, and to another of
    the same once it is used up; an item left in the cart is thought over.
    """
    partner = links[views.item, (rng.random(len(views)) < 0.35).astype(np.int8)]
    cycle = _CYCLE[shelf.goods.category[views.item]] * DAY
    chance = rng.random((3, len(views)))
    completes = np.flatnonzero(views.bought & (partner != PAD) & (chance[0] < follow_up))
    refills = np.flatnonzero(views.bought & (cycle > 0) & (chance[1] < 0.65))
    doubts = np.flatnonzero(views.carted & ~views.bought & (chance[2] < 0.3))

    days = rng.uniform(0.1, 3.0, size=len(views)) * DAY
    soon = np.where(rng.random(len(views)) < 0.6, rng.uniform(60, 600, size=len(views)), days)
    used_up = cycle * rng.lognormal(0.0, 0.15, size=len(views))
    return joined(
        _later(views, completes, partner, soon, 1.6, shelf.goods),
        _later(views, refills, views.item, used_up, 3.0, shelf.goods),
        _later(views, doubts, views.item, days, 1.5, shelf.goods),
    )


def _later(
    views: Views, which: Array, item: Rows, delay: Array, urge: float, goods: Goods
) -> Visits:
    """Visits for `item` (n,) that follow the views `which` marks after `delay` (n,) seconds."""
    first = item[which]
    return Visits(
        customer=views.customer[which],
        start=views.checkout[which] + delay[which].astype(np.int64),
        category=goods.category[first],
        style=goods.style[first],
        first=first,
        urge=np.full(len(first), urge, np.float32),
    )


def joined(*parts: Table) -> Table:
    """Several tables of visits or of views as one."""
    names = [field.name for field in fields(parts[0])]
    return replace(
        parts[0], **{name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    )
