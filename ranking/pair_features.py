"""All that is known of (history, candidate) pairs: one function for training and for serving."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories
from recsys.features.ragged import offsets_of
from recsys.features.threads import over_rows
from recsys.ranking.item_statistics import ItemStatistics
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import LinkingRetriever, Retriever, links_items

RECENT = 8
"""How many of the newest items a candidate is compared with one by one."""

PROFILE = 20
"""How many of the newest items a user's category, tag and price profile rests on."""

_DECAY = 0.85  # how much each older item of the profile counts against the next newer one
_PLACES = 4  # of the newest items, how many give their link as a feature of their own


Codes = tuple[Offsets, Rows, int]
"""Lists of codes (categories or tags): offsets (items + 1,), flat codes, how many there are."""


@dataclass(frozen=True)
class Knowledge:
    """What the features are read from, as of one moment."""

    sources: Sequence[Retriever]
    statistics: ItemStatistics
    codes: Mapping[str, Codes]  # by column of categories or tags
    numbers: Mapping[str, Floats]  # by column, (items,), NaN where missing; prices as logarithms

    @classmethod
    def of(
        cls, sources: Sequence[Retriever], statistics: ItemStatistics, catalog: Catalog
    ) -> "Knowledge":
        codes = {name: _listed(values) for name, values in catalog.categories().items()}
        for name, (offsets, values, labels) in catalog.tags().items():
            codes[name] = (offsets, values, len(labels))
        numbers = dict(catalog.numbers())
        price = catalog.price()
        if price is not None:
            numbers["price"] = np.log1p(price)
        return cls(sources, statistics, codes, numbers)


def _listed(values: Rows) -> Codes:
    """One code per item as lists of none or one."""
    return offsets_of(values != PAD), values[values != PAD], int(values.max(initial=PAD)) + 1


Group = tuple[Mapping[str, str], Callable[[Array], None]]
"""Some features with the family of each, and what writes them into their columns (b, w, n)."""


def pair_features(
    histories: Histories, candidates: Candidates, knowledge: Knowledge
) -> tuple[Floats, tuple[str, ...]]:
    """The features (b, w, f) of each history with each of its candidates, and their names (f,).

    Rows of PAD items hold zeros. A feature depends on its own history and list only, never on the
    rest of the batch, and on nothing that happened after `knowledge` was fitted.
    """
    return _written(_groups(histories, candidates, knowledge), candidates)


def families(
    histories: Histories, candidates: Candidates, knowledge: Knowledge
) -> Mapping[str, str]:
    """What each feature of `pair_features` is about, in a word or two: a source, a column, ..."""
    groups = _groups(histories, candidates, knowledge)
    return {name: family for names, _ in groups for name, family in names.items()}


def _groups(histories: Histories, candidates: Candidates, knowledge: Knowledge) -> list[Group]:
    recent = histories.last(max(RECENT, PROFILE))
    groups: list[Group] = []
    for source in knowledge.sources:
        groups.append(_source_scores(source, histories, candidates))
        if links_items(source):
            groups.append(_source_links(source, recent[:, :RECENT], candidates.items))
    groups.append(_fused_rank(candidates))
    groups.append(_statistics(knowledge.statistics, histories, candidates.items))
    groups.append(_repeats(histories, candidates.items))
    groups.extend(_affinities(knowledge, recent, candidates.items))
    return groups


def _written(groups: list[Group], candidates: Candidates) -> tuple[Floats, tuple[str, ...]]:
    names = tuple(name for group_names, _ in groups for name in group_names)
    features = np.empty((*candidates.items.shape, len(names)), np.float32)
    start = 0
    for group_names, write in groups:
        write(features[:, :, start : start + len(group_names)])
        start += len(group_names)
    features[~candidates.filled] = 0
    return features, names


def _source_scores(source: Retriever, histories: Histories, candidates: Candidates) -> Group:
    """The score, its share of the list's best, and its rank in the list."""

    def write(columns: Array) -> None:
        scores = source.score(histories, candidates.items)
        over_rows(_in_list, len(scores), scores, candidates.items, columns)

    name = source.name
    names = [f"{name} score", f"{name} share of best", f"{name} rank"]
    return dict.fromkeys(names, f"source {name}"), write


def _source_links(source: LinkingRetriever, recent: Rows, items: Rows) -> Group:
    """The newest link and its share of the list's best, those of older items, the strongest."""

    def write(columns: Array) -> None:
        links = source.links(recent, items)
        over_rows(_links_in_list, len(items), links, _PLACES, columns)

    name = source.name
    names = [f"{name} from last", f"{name} from last, share of best"]
    names += [f"{name} from {place} back" for place in range(2, _PLACES + 1)]
    return dict.fromkeys([*names, f"{name} strongest link"], f"source {name}"), write


def _fused_rank(candidates: Candidates) -> Group:
    """Where the fused list has the item, and how many sources offered it."""

    def write(columns: Array) -> None:
        over_rows(_count_votes, len(candidates), candidates.ranks, columns)

    return dict.fromkeys(["fused rank", "sources that offer it"], "all sources together"), write


def _statistics(statistics: ItemStatistics, histories: Histories, items: Rows) -> Group:
    """Counts of the item, the length of the history, and how long ago it ended."""

    def write(columns: Array) -> None:
        silence = np.log1p(statistics.days(histories.pause()))
        of_history = np.stack([np.log1p(histories.lengths), silence], axis=1).astype(np.float32)
        over_rows(_look_up, len(items), statistics.table, of_history, items, columns)

    of_item = dict.fromkeys(statistics.columns, "popularity and age")
    return of_item | dict.fromkeys(["history length", "days of silence"], "the history"), write


def _repeats(histories: Histories, items: Rows) -> Group:
    """How often the history has the item already, and how few steps ago."""

    def write(columns: Array) -> None:
        over_rows(_count_repeats, len(items), histories.offsets, histories.items, items, columns)

    return dict.fromkeys(["times in history", "nearness of last time"], "had before"), write


def _affinities(knowledge: Knowledge, recent: Rows, items: Rows) -> list[Group]:
    """How the item's categories, tags and numbers suit what the history was about."""
    weights = (_DECAY ** np.arange(recent.shape[1])).astype(np.float32)
    of_codes = [_affinity(*each, recent, weights, items) for each in knowledge.codes.items()]
    of_numbers = [_distance(*each, recent, weights, items) for each in knowledge.numbers.items()]
    return of_codes + of_numbers


def _affinity(name: str, lists: Codes, recent: Rows, weights: Floats, items: Rows) -> Group:
    def write(columns: Array) -> None:
        offsets, codes, n_codes = lists
        over_rows(
            _match_codes, len(items), recent, weights, offsets, codes, n_codes, items, columns
        )

    return dict.fromkeys([f"{name} affinity", f"{name} of last item"], name), write


def _distance(name: str, values: Floats, recent: Rows, weights: Floats, items: Rows) -> Group:
    """The item's number, and how far it is from the history's mean."""

    def write(columns: Array) -> None:
        known = (recent != PAD) & np.isfinite(values[recent])
        worth = np.where(known, weights, 0)
        total = worth.sum(axis=1)
        mean = (np.where(known, values[recent], 0) * worth).sum(axis=1) / np.maximum(total, 1e-6)
        own = values[items]
        difference = own - mean[:, None]
        compared = np.isfinite(own) & (total > 0)[:, None]
        columns[:, :, 0] = np.where(np.isfinite(own), own, 0)
        columns[:, :, 1] = np.where(compared, difference, 0)
        columns[:, :, 2] = np.abs(columns[:, :, 1])

    names = [name, f"{name} against history", f"{name} distance"]
    return dict.fromkeys(names, name), write


@njit(nogil=True, cache=True, fastmath=True)
def _in_list(start: int, stop: int, scores: Array, items: Array, columns: Array) -> None:
    """Score, score over the list's best, and 1 / sqrt(1 + rank); ties share the better rank."""
    width = items.shape[1]
    lowest = np.finfo(np.float32).min  # not -inf, of which fastmath knows nothing
    for row in range(start, stop):
        own = scores[row].copy()
        best = np.float32(0)
        for place in range(width):
            if items[row, place] == PAD:  # its 0 would beat a score below 0, so that ranks would
                own[place] = lowest  # hang on how far a list is padded
            elif own[place] > best:
                best = own[place]
        scale = 1 / best if best > 0 else np.float32(0)
        for place in range(width):
            if items[row, place] == PAD:
                continue
            score = own[place]
            better = np.float32(0)  # of the width of a score, so that the loop is vectorised
            for other in range(width):
                better += np.float32(1) if own[other] > score else np.float32(0)
            columns[row, place, 0] = score
            columns[row, place, 1] = score * scale
            columns[row, place, 2] = 1 / np.sqrt(np.float32(1) + better)


@njit(nogil=True, cache=True)
def _count_votes(start: int, stop: int, ranks: Array, columns: Array) -> None:
    for row in range(start, stop):
        for place in range(ranks.shape[1]):
            votes = np.float32(0)
            for source in range(ranks.shape[2]):
                votes += ranks[row, place, source] != PAD
            columns[row, place, 0] = 1 / np.sqrt(np.float32(1 + place))
            columns[row, place, 1] = votes


@njit(nogil=True, cache=True)
def _look_up(
    start: int, stop: int, of_item: Array, of_history: Array, items: Array, columns: Array
) -> None:
    width = of_item.shape[1]
    for row in range(start, stop):
        for place in range(items.shape[1]):
            for column in range(width):
                columns[row, place, column] = of_item[items[row, place], column]
            for column in range(of_history.shape[1]):
                columns[row, place, width + column] = of_history[row, column]


@njit(nogil=True, cache=True)
def _links_in_list(start: int, stop: int, links: Array, places: int, columns: Array) -> None:
    """The newest link, over the list's best, those of the older places, the strongest of all."""
    for row in range(start, stop):
        top = np.float32(0)
        for place in range(links.shape[1]):
            top = max(top, links[row, place, 0])
        scale = 1 / top if top > 0 else np.float32(0)
        for place in range(links.shape[1]):
            best = links[row, place, 0]
            columns[row, place, 0] = best
            columns[row, place, 1] = best * scale
            for age in range(1, links.shape[2]):
                link = links[row, place, age]
                best = max(best, link)
                if age < places:
                    columns[row, place, 1 + age] = link
            columns[row, place, 1 + places] = best


@njit(nogil=True, cache=True)
def _count_repeats(
    start: int, stop: int, offsets: Array, history: Array, items: Array, columns: Array
) -> None:
    for row in range(start, stop):
        begin, end = offsets[row], offsets[row + 1]
        for place in range(items.shape[1]):
            times, steps = 0, 0
            for position in range(begin, end):
                if history[position] == items[row, place]:
                    times += 1
                    steps = end - position
            columns[row, place, 0] = np.log1p(np.float32(times))
            columns[row, place, 1] = 1 / np.sqrt(np.float32(steps)) if times > 0 else 0.0


@njit(nogil=True, cache=True)
def _match_codes(
    start: int, stop: int, recent: Array, weights: Array, offsets: Array, codes: Array,
    n_codes: int, items: Array, columns: Array,
) -> None:  # fmt: skip
    profile = np.zeros(n_codes, np.float32)
    newest = np.zeros(n_codes, np.float32)
    for row in range(start, stop):
        total = np.float32(0)
        for age in range(recent.shape[1]):
            item = recent[row, age]
            if item == PAD:
                break
            total += weights[age]
            for code in codes[offsets[item] : offsets[item + 1]]:
                profile[code] += weights[age]
                if age == 0:
                    newest[code] = 1
        for place in range(items.shape[1]):
            item = items[row, place]
            columns[row, place, 0] = columns[row, place, 1] = 0
            if item == PAD or total == 0:
                continue
            own = codes[offsets[item] : offsets[item + 1]]
            affinity, same = np.float32(0), np.float32(0)
            for code in own:
                affinity += profile[code]
                same += newest[code]
            size = np.float32(max(1, len(own)))
            columns[row, place, 0] = affinity / total / size
            columns[row, place, 1] = same / size
        for age in range(recent.shape[1]):
            item = recent[row, age]
            if item == PAD:
                break
            profile[codes[offsets[item] : offsets[item + 1]]] = 0
            newest[codes[offsets[item] : offsets[item + 1]]] = 0
