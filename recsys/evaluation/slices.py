"""Slices: groups of positives, each scored by itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.evaluation.certainty import Bootstrap, interval, per_user
from recsys.evaluation.repeats import had
from recsys.features import ragged
from recsys.features.arrays import DAY, PAD, Array, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.ranking.lists import Chosen

_SHOWN = 10  # categories that are slices of their own

_LENGTHS = {
    "no events": 0,
    "cold: 1-4 events": 1,
    "warm: 5-19 events": 5,
    "hot: 20-99 events": 20,
    "hot: 100 events and more": 100,
}
_POPULARITIES = {
    "no events": 0,
    "1-9 events": 1,
    "10-99 events": 10,
    "100 events and more": 100,
}
_AGES = {
    "new: no event by the user's moment": PAD,
    "under 7 days": 0,
    "7-30 days": 7,
    "31-180 days": 31,
    "more than 180 days": 181,
}
"""Bands by their least whole number."""

_REPEAT = ("new to the user", "had before")


@dataclass(frozen=True)
class Slicing:
    """One way to part the `n` positives of a `Chosen` into slices; some may be empty."""

    by: str
    names: tuple[str, ...]  # (slices,) in the order to show them
    codes: Array  # (n,) position in `names`, PAD for a positive in no slice


@dataclass(frozen=True)
class Slice:
    """The users who have positives in a slice, and each one's values with only these positives."""

    by: str
    name: str
    place: int  # among the slices of its slicing
    k: int
    users: Rows  # (u,) rows, PAD for nobody known; a user counts once in each window
    positives: int
    ndcg: Mapping[str, Array]  # per system (u,)
    recall: Mapping[str, Array]  # per system (u,)


def slicings(
    past: Interactions,
    catalog: Catalog,
    histories: Histories,
    chosen: Chosen,
    *,
    events: tuple[str, ...] | None = None,
    categories: Rows | None = None,
) -> list[Slicing]:
    """The ways to slice what was chosen (n positives) that the data allow.

    History length, item popularity (events in `past`), whether the user had the item before, by
    whatever event, item age (whole days from the item's first event in `past` to the user's
    moment, where the log has a clock; new where it comes after that moment, though the item may be
    popular later), category (the first column of categories) and event (where `events` are given,
    or the positives have several). `events` are
    the names that their codes stand for, by default those of `past`. `categories` are the codes to
    show, by default `most_chosen` here: give those of all windows where slices are to be pooled.
    """
    lengths = histories.lengths[ragged.owners(chosen.offsets)]
    popularity = past.item_counts[chosen.items]
    found = [
        _banded("history length", _LENGTHS, lengths),
        _banded("item popularity", _POPULARITIES, popularity),
    ]
    found.append(_by_repeat(histories, chosen))
    if past.clock == "time":
        found.append(_banded("item age", _AGES, _days(past, histories, chosen)))
    if (_categories(catalog)[chosen.items] != PAD).any():
        shown = most_chosen(catalog, chosen.items) if categories is None else categories
        found.append(_by_category(catalog, chosen, shown))
    if events is not None or len(np.unique(chosen.events)) > 1:
        names = past.events if events is None else events
        found.append(Slicing("event", names, chosen.events.astype(np.int64)))
    return found


def most_chosen(catalog: Catalog, items: Rows, n: int = _SHOWN) -> Rows:
    """The codes of the `n` categories, of the first column, that `items` most often have."""
    codes = _categories(catalog)[items]
    counts = np.bincount(codes[codes != PAD])
    return np.argsort(-counts, kind="stable")[: min(n, np.count_nonzero(counts))].astype(np.int32)


def sliced(
    slicing: Slicing,
    chosen: Chosen,
    ranks: Mapping[str, Rows],
    k: int,
    users: Rows | None = None,
) -> list[Slice]:
    """The slices that have positives; ranks (n,) per system are those of `Chosen.ranks`.

    A user's list stays as it is, and of the positives only those of the slice count: recall@k is
    over them, the best list of ndcg@k has them, up to k, on top. `users` (b,) says who was asked;
    without it everybody is somebody else.
    """
    owners = ragged.owners(chosen.offsets).astype(np.int64)
    kept = np.flatnonzero(slicing.codes != PAD)
    asked = len(chosen.offsets) - 1
    groups, member, positives = np.unique(
        slicing.codes[kept] * asked + owners[kept], return_inverse=True, return_counts=True
    )  # a group is a slice's user
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discounts)[np.minimum(positives, k) - 1]
    ndcg, recall = {}, {}
    for system, places in ranks.items():
        hit = (places[kept] != PAD) & (places[kept] < k)
        gains = np.where(hit, discounts[np.where(hit, places[kept], 0)], 0)
        ndcg[system] = np.bincount(member, gains, len(groups)) / best
        recall[system] = np.bincount(member, hit, len(groups)) / positives
    who = np.full(asked, PAD, np.int32) if users is None else users
    return [
        Slice(
            by=slicing.by,
            name=slicing.names[place],
            place=place,
            k=k,
            users=who[groups[part] % asked],
            positives=int(positives[part].sum()),
            ndcg={system: values[part] for system, values in ndcg.items()},
            recall={system: values[part] for system, values in recall.items()},
        )
        for place, part in _parts(groups // max(asked, 1))
    ]


def pooled(windows: Iterable[Sequence[Slice]]) -> list[Slice]:
    """The slices of several windows, those of one name as one, with the systems that all have."""
    same: dict[str, dict[str, list[Slice]]] = {}
    for window in windows:
        for each in window:
            same.setdefault(each.by, {}).setdefault(each.name, []).append(each)
    return [
        _joined(parts)
        for named in same.values()
        for parts in sorted(named.values(), key=lambda parts: parts[0].place)
    ]


def table(slices: Iterable[Slice], draws: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """A row per slice for JSON: users, positives, and per system means and a 95 % interval.

    The interval is that of ndcg, by a bootstrap over the users of the slice; a user of several
    windows is drawn with all of them. It is left out where there is only one user.
    """
    return [
        {
            "by": each.by,
            "slice": each.name,
            "users": len(each.users),
            "positives": each.positives,
            "systems": _scores(each, draws, seed),
        }
        for each in slices
    ]


def _scores(each: Slice, draws: int, seed: int) -> dict[str, dict[str, Any]]:
    sums, counts = per_user(each.users, np.stack(list(each.ndcg.values()), axis=1))
    low, high = interval(Bootstrap(len(sums), draws, seed).ratios(sums, counts))
    scores: dict[str, dict[str, Any]] = {}
    for place, system in enumerate(each.ndcg):
        scores[system] = {
            f"ndcg@{each.k}": float(each.ndcg[system].mean()),
            f"recall@{each.k}": float(each.recall[system].mean()),
        }
        if len(sums) > 1:
            scores[system]["interval"] = [float(low[place]), float(high[place])]
    return scores


def _joined(parts: Sequence[Slice]) -> Slice:
    first = parts[0]
    systems = [name for name in first.ndcg if all(name in part.ndcg for part in parts)]
    return Slice(
        by=first.by,
        name=first.name,
        place=first.place,
        k=first.k,
        users=np.concatenate([part.users for part in parts]),
        positives=sum(part.positives for part in parts),
        ndcg={name: np.concatenate([part.ndcg[name] for part in parts]) for name in systems},
        recall={name: np.concatenate([part.recall[name] for part in parts]) for name in systems},
    )


def _parts(places: Array) -> Iterator[tuple[int, slice]]:
    """Each distinct value of places (n,), which are sorted, and where it lies."""
    values, starts = np.unique(places, return_index=True)
    ends = np.append(starts, len(places))[1:]
    for value, start, end in zip(values, starts, ends, strict=True):
        yield int(value), slice(int(start), int(end))


def _banded(by: str, bands: Mapping[str, int], values: Array) -> Slicing:
    codes = np.searchsorted(np.array(list(bands.values())), values, side="right") - 1
    return Slicing(by, tuple(bands), codes)


def _by_repeat(histories: Histories, chosen: Chosen) -> Slicing:
    """Which items their users had before: how much of a result are repeats?"""
    repeats = had(histories, ragged.owners(chosen.offsets), chosen.items)
    return Slicing("repeat", _REPEAT, repeats.astype(np.int64))


def _days(past: Interactions, histories: Histories, chosen: Chosen) -> Array:
    """(n,) whole days since the first event of each item, PAD for one without an event yet."""
    never = np.iinfo(np.int64).max
    first = np.full(len(past.items), never)
    np.minimum.at(first, past.item_rows, past.times)
    now = histories.now[ragged.owners(chosen.offsets)]
    since = first[chosen.items]
    return np.where(since <= now, (now - np.minimum(since, now)) // DAY, PAD)


def _by_category(catalog: Catalog, chosen: Chosen, shown: Rows) -> Slicing:
    labels = next(iter(catalog.labels().values()))
    names = (*(str(labels[int(code)]) for code in shown), "all others", "no category")
    place = np.full(len(labels), len(shown))
    place[shown] = np.arange(len(shown))
    codes = _categories(catalog)[chosen.items]
    found = np.where(codes == PAD, len(names) - 1, place[np.maximum(codes, 0)])
    return Slicing("category", names, found)


def _categories(catalog: Catalog) -> Rows:
    """(items,) codes of the first column of categories, PAD where there is none."""
    unknown = np.full(len(catalog), PAD, np.int32)
    return next(iter(catalog.categories().values()), unknown)
