"""Items ordered by worth: one order for everybody, or one for each segment of the histories."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np

from recsys.features import npz, ragged
from recsys.features.arrays import DAY, PAD, Array, Floats, Offsets, Rows, Times
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.kernels import compiled
from recsys.features.schema import (
    NO_SIZES,
    NUMBER,
    ArraySchema,
    Mismatch,
    Sizes,
    floats,
    offsets,
    rows,
)
from recsys.features.stored import reading
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import first_k, offer, unheap

By = Literal["everybody", "category", "weekday", "month"]
"""Whose worth it is: everybody's, that of people who like a category, or that of a season."""

_SEASONS = {"weekday": 7, "month": 12}
_LAST = 20  # newest events that say which categories a history is about


class Board(Protocol):
    """What the lists and scores of a segment are read from; its fields are arrays."""

    def best(self, histories: Histories, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """The `k` best allowed items (b, k) of each history and their worth; PAD / -inf behind."""
        ...

    def score(self, histories: Histories, items: Rows) -> Floats:
        """The worth (b, w) of given items; 0 for PAD."""
        ...


def check_segments(by: By, prior: float) -> None:
    """Raise SettingsError where there can be no such segments."""
    if by not in get_args(By):
        raise SettingsError(f"by must be one of {', '.join(get_args(By))}; got {by!r}")
    if not prior > 0:
        raise SettingsError(f"prior must be above 0 events; got {prior}")


def make_board(
    by: By, category: str | None, prior: float, worth: Floats, log: Interactions, catalog: Catalog
) -> Board:
    """The board of `worth` (items,), laid out by segments.

    A segment needs `prior` events of its own to count as much as everybody does. Raises DataError
    where the data know no such segments.
    """
    if by == "everybody":
        return Everybody(worth, _descending(worth))
    if by == "category":
        return ByCategory.of(worth, category_codes(catalog, category), prior)
    if log.clock != "time":
        raise DataError(f"worth by {by} needs a log with a clock; this one has none")
    return BySeason.of(worth, log, by, prior)


def write_board(board: Any, path: Path) -> None:
    """Write a board's arrays to one npz file."""
    npz.write(path, **{each.name: np.asarray(getattr(board, each.name)) for each in fields(board)})


def read_board(by: By, path: Path, sizes: Sizes = NO_SIZES) -> Board:
    """The board that `write_board` wrote; raises ArtifactError where the file is damaged."""
    make: Any = {"everybody": Everybody, "category": ByCategory}.get(by, BySeason)
    own = {**sizes, "seasons": _SEASONS.get(by, 0)}
    arrays = npz.read(path, _SCHEMAS[make], own)
    if make is ByCategory:
        with reading(path):
            lifts, worth, order, codes, members, starts, prior = arrays
            if len(members) != starts[-1] or (np.diff(codes[members]) < 0).any():
                raise Mismatch("'members' must be by category, and 'offsets' end where they do")
            return ByCategory(worth, order, codes, members, starts, lifts, prior)
    board: Board = make(*arrays)
    return board


def category_codes(catalog: Catalog, name: str | None) -> Rows:
    """(items,) codes of a category column, the first by default, PAD where an item has none.

    Raises DataError where the catalogue has no such column.
    """
    categories = catalog.categories()
    if not categories or (name is not None and name not in categories):
        wanted = "a category" if name is None else f"the category {name!r}"
        raise DataError(f"{wanted} of the catalogue is needed; there are {sorted(categories)}")
    return categories[name] if name is not None else next(iter(categories.values()))


@dataclass(frozen=True)
class Everybody:
    """One order for all."""

    scores: Floats  # (items,)
    order: Rows  # (items,) best first

    def best(self, histories: Histories, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        return first_k(self.order, self.scores, k, allowed)

    def score(self, histories: Histories, items: Rows) -> Floats:
        return np.where(items == PAD, np.float32(0), self.scores[items])


@dataclass(frozen=True)
class BySeason:
    """One order for each day of the week or month of the year, as of each history's `now` (UTC)."""

    scores: Floats  # (seasons, items) worth times how much more the item is chosen in the season
    orders: Rows  # (seasons, items)

    @classmethod
    def of(cls, worth: Floats, log: Interactions, by: By, prior: float) -> Self:
        """Of an item with n of a season's events where e are expected: worth (n + m) / (e + m).

        The events of one user and kind with an item count as one, spread over their seasons.
        """
        seasons, items = _SEASONS[by], len(worth)
        own = np.bincount(
            _season(log.times, seasons) * items + log.item_rows,
            log.repeats.shares,
            minlength=seasons * items,
        ).reshape(seasons, items)
        shares = own.sum(axis=1, keepdims=True) / max(1.0, own.sum())
        scores = (worth * (own + prior) / (own.sum(axis=0) * shares + prior)).astype(np.float32)
        return cls(scores, np.stack([_descending(each) for each in scores]))

    def best(self, histories: Histories, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        season = _season(histories.now, len(self.scores))
        items = np.full((len(histories), k), PAD, np.int32)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        for each in np.unique(season):
            asked = np.flatnonzero(season == each)
            items[asked], scores[asked] = first_k(
                self.orders[each], self.scores[each], k, allowed.take(asked)
            )
        return items, scores

    def score(self, histories: Histories, items: Rows) -> Floats:
        season = _season(histories.now, len(self.scores))[:, None]
        return np.where(items == PAD, np.float32(0), self.scores[season, items])


@dataclass(frozen=True)
class ByCategory:
    """Worth times how much more a history is about the item's category than everybody is.

    With n newest events, c of them in the category, and a share s of all worth in it, the factor is
    (c / s + m) / (n + m): the posterior of a multinomial with a Dirichlet prior of m events, over
    its mean. An empty history has everybody's order.
    """

    worth: Floats  # (items,)
    order: Rows  # (items,) best first
    codes: Rows  # (items,) category; items without one have one of their own
    members: Rows  # (items,) by category, best first
    offsets: Offsets  # (categories + 1,)
    lifts: Floats  # (categories,) 1 / s, 0 where nothing is worth anything
    prior: Array  # ()

    @classmethod
    def of(cls, worth: Floats, codes: Rows, prior: float) -> Self:
        count = int(codes.max(initial=PAD)) + 2
        codes = np.where(codes == PAD, count - 1, codes).astype(np.int32)
        sums = np.bincount(codes, worth, minlength=count)
        lifts = np.where(sums > 0, sums.sum() / np.where(sums > 0, sums, 1), 0)
        order = _descending(worth)
        members = order[np.argsort(codes[order], kind="stable")]
        offsets = ragged.offsets_of(np.bincount(codes, minlength=count))
        return cls(worth, order, codes, members, offsets, lifts.astype(np.float32), np.array(prior))

    def best(self, histories: Histories, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        items = np.full((len(histories), k), PAD, np.int32)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        if k:
            over_rows(
                _best_of_categories, len(items), histories.last(_LAST), self.worth, self.order,
                self.codes, self.members, self.offsets, self.lifts, float(self.prior),
                allowed.mask, allowed.offsets, allowed.excluded, items, scores,
            )  # fmt: skip
        return items, scores

    def score(self, histories: Histories, items: Rows) -> Floats:
        scores = np.zeros(items.shape, np.float32)
        over_rows(
            _scores_by_category, len(items), histories.last(_LAST), self.worth, self.codes,
            self.lifts, float(self.prior), items, scores,
        )  # fmt: skip
        return scores


_ORDER = ArraySchema("int32", ("items",), each="order")

_SCHEMAS: Mapping[type, Mapping[str, ArraySchema]] = {
    Everybody: {"scores": floats("items"), "order": _ORDER},
    BySeason: {
        "scores": floats("seasons", "items"),
        "orders": ArraySchema("int32", ("seasons", "items"), each="order"),
    },
    ByCategory: {
        "lifts": floats("categories", least=0),
        "worth": floats("items"),
        "order": _ORDER,
        "codes": rows("categories", "items"),
        "members": _ORDER,
        "offsets": offsets("categories"),
        "prior": ArraySchema(NUMBER, (), least=0.0),
    },
}


def _descending(scores: Floats) -> Rows:
    return np.argsort(-scores, kind="stable").astype(np.int32)


def _season(times: Times, seasons: int) -> Array:
    """(n,) the day of the week (Monday is 0) or the month of the year (January is 0)."""
    if seasons == 7:
        return (times // DAY + 3) % 7  # 1970 began on a Thursday
    months: Array = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
    return months


@compiled
def _count(recent: Array, codes: Array, counts: Array) -> int:
    """Count the categories of the recent items (l,) into `counts`; returns how many there are."""
    n = 0
    for item in recent:
        if item != PAD:
            counts[codes[item]] += 1
            n += 1
    return n


@compiled
def _lifted(worth: float, count: float, lift: float, n: int, prior: float) -> float:
    return np.float32(worth * ((count * lift + prior) / (n + prior)))  # type: ignore[return-value]


@compiled
def _scores_by_category(
    start: int, stop: int, recent: Array, worth: Array, codes: Array, lifts: Array, prior: float,
    items: Array, scores: Array,
) -> None:  # fmt: skip
    counts = np.zeros(len(lifts), np.float64)
    for row in range(start, stop):
        n = _count(recent[row], codes, counts)
        for place in range(items.shape[1]):
            item = items[row, place]
            if item != PAD:
                code = codes[item]
                scores[row, place] = _lifted(worth[item], counts[code], lifts[code], n, prior)
        for item in recent[row]:
            if item != PAD:
                counts[codes[item]] = 0


@compiled
def _best_of_categories(
    start: int, stop: int, recent: Array, worth: Array, order: Array, codes: Array,
    members: Array, offsets: Array, lifts: Array, prior: float, mask: Array, of_query: Array,
    excluded: Array, items: Array, scores: Array,
) -> None:  # fmt: skip
    """The categories of a history one by one, then all others in everybody's order."""
    counts = np.zeros(len(lifts), np.float64)
    done = np.zeros(len(lifts), np.bool_)
    barred = ~mask
    for row in range(start, stop):
        own = excluded[of_query[row] : of_query[row + 1]]
        barred[own] = True
        own_items, own_scores = items[row], scores[row]
        n, filled = _count(recent[row], codes, counts), 0
        for past in recent[row]:
            if past == PAD or done[codes[past]]:
                continue
            code = codes[past]
            done[code] = True
            for item in members[offsets[code] : offsets[code + 1]]:
                score = _lifted(worth[item], counts[code], lifts[code], n, prior)
                if filled == len(own_items) and score < own_scores[0]:
                    break
                if not barred[item]:
                    filled = offer(own_items, own_scores, filled, item, score)
        for item in order:
            score = _lifted(worth[item], 0.0, 0.0, n, prior)
            if filled == len(own_items) and score < own_scores[0]:
                break
            if not barred[item] and not done[codes[item]]:
                filled = offer(own_items, own_scores, filled, item, score)
        unheap(own_items, own_scores, filled)
        for past in recent[row]:
            if past != PAD:
                counts[codes[past]], done[codes[past]] = 0, False
        barred[own] = ~mask[own]
