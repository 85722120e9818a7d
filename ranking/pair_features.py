"""All that is known of (history, candidate) pairs: one function for training and for serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.histories import Histories, anonymous
from recsys.features.interactions import Interactions
from recsys.ranking.affinity_features import Codes, code_affinity, listed, number_distance
from recsys.ranking.day_features import DayTimes, Told, of_day
from recsys.ranking.dislike_features import Refused, newest_dislikes, of_disliked, refusals
from recsys.ranking.feature_group import Group
from recsys.ranking.history_features import of_history
from recsys.ranking.item_statistics import ItemStatistics
from recsys.ranking.past import Past
from recsys.ranking.popularity_features import of_category, of_items
from recsys.ranking.recent import Recent
from recsys.ranking.repeat_features import repeats
from recsys.ranking.source_features import fused_rank, source_likeness, source_links, source_scores
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever, likens_items, links_items


@dataclass(frozen=True)
class Knowledge:
    """What the features are read from, as of one moment."""

    sources: Sequence[Retriever]
    events: tuple[str, ...]  # of the log
    statistics: ItemStatistics
    day_times: DayTimes
    of_categories: Mapping[str, ItemStatistics]  # of the items of each category, by column
    codes: Mapping[str, Codes]  # by column of categories or tags
    numbers: Mapping[str, Floats]  # by column, (items,), NaN where missing; prices as logarithms
    refused: Refused | None = None  # where users say no

    @classmethod
    def of(
        cls, sources: Sequence[Retriever], log: Interactions, catalog: Catalog, told: Told
    ) -> Self:
        """Of fitted sources and the log that they were fitted on; `catalog` is over its items.

        `told` is what the times tell of the whole log that `log` may be but the past of.
        """
        categories = catalog.categories()
        codes = {name: listed(values) for name, values in categories.items()}
        for name, (offsets, values, _) in catalog.tags().items():
            codes[name] = (offsets, values)
        numbers = dict(catalog.numbers())
        price = catalog.price()
        if price is not None:
            numbers["price"] = np.log1p(price)
        whole = Past.of_all(log)
        return cls(
            sources=sources,
            events=log.events,
            statistics=ItemStatistics.of(whole),
            day_times=DayTimes.of(log, told),
            of_categories={
                name: ItemStatistics.of_groups(whole, each) for name, each in categories.items()
            },
            codes=codes,
            numbers=numbers,
            refused=Refused.of(log),
        )


def pair_features(
    histories: Histories, candidates: Candidates, knowledge: Knowledge
) -> tuple[Floats, tuple[str, ...]]:
    """The features (b, w, f) of each history with each of its candidates, and their names (f,).

    Rows of PAD items hold zeros. A feature depends on its own history and list only, never on the
    rest of the batch, and on nothing that happened after `knowledge` was fitted.
    """
    candidates = candidates.laid_out()
    return _written(_groups(histories, candidates, knowledge), candidates)


def families(
    histories: Histories, candidates: Candidates, knowledge: Knowledge
) -> Mapping[str, str]:
    """What each feature of `pair_features` is about, in a word or two: a source, a column, ..."""
    groups = _groups(histories, candidates, knowledge)
    return {name: family for names, _ in groups for name, family in names.items()}


def feature_names(knowledge: Knowledge) -> tuple[str, ...]:
    """(f,) the names that `pair_features` gives, whatever it is asked about."""
    nobody = anonymous(np.zeros(0, np.int32), np.zeros(2, np.int64))
    nothing = np.full((1, 1), PAD, np.int32)
    candidates = Candidates.of_one(nobody.users, nothing, np.zeros((1, 1), np.float32), "none")
    return _names(_groups(nobody, candidates, knowledge))


def _groups(histories: Histories, candidates: Candidates, knowledge: Knowledge) -> list[Group]:
    recent, items = Recent.of(histories), candidates.items
    events, has_clock = knowledge.events, knowledge.statistics.has_clock
    groups: list[Group] = []
    for source in knowledge.sources:
        groups.append(source_scores(source, histories, candidates))
        if links_items(source):
            groups.append(source_links(source, recent.items, items))
        if likens_items(source):
            groups.append(source_likeness(source, recent.items, items))
    groups.append(fused_rank(candidates))
    groups.append(of_items(knowledge.statistics, histories, recent, items))
    for name, statistics in knowledge.of_categories.items():
        groups.append(of_category(name, statistics, histories, items))
    groups.append(of_history(histories, recent, events, has_clock))
    groups.append(of_day(knowledge.day_times, histories, items))
    groups.append(repeats(histories, recent, items, events, has_clock))
    for name, codes in knowledge.codes.items():
        groups.append(code_affinity(name, codes, recent, items, events, has_clock))
    for name, values in knowledge.numbers.items():
        groups.append(number_distance(name, values, recent, items))
    if knowledge.refused is not None:
        groups += _of_dislikes(knowledge.refused, histories, items, knowledge)
    return groups


def _of_dislikes(
    refused: Refused, histories: Histories, items: Rows, knowledge: Knowledge
) -> list[Group]:
    """How often items were disliked, and how near they are to what the user disliked last."""
    newest = newest_dislikes(histories)
    near = [
        source_likeness(source, newest.items, items)
        for source in knowledge.sources
        if likens_items(source)
    ]
    of_codes = [
        code_affinity(name, codes, newest, items, ("no",), False)
        for name, codes in knowledge.codes.items()
    ]
    own = refusals(refused, newest, items)
    return [own, *(of_disliked(each) for each in (*near, *of_codes))]


def _names(groups: list[Group]) -> tuple[str, ...]:
    return tuple(name for names, _ in groups for name in names)


def _written(groups: list[Group], candidates: Candidates) -> tuple[Floats, tuple[str, ...]]:
    names = _names(groups)
    lists, width = candidates.items.shape
    # Of 2 candidates at least: a view of fewer may be in one piece, which is another type for numba
    features = np.empty((lists, max(width, 2), len(names)), np.float32)
    start = 0
    for group_names, write in groups:
        write(features[:, :, start : start + len(group_names)])
        start += len(group_names)
    features = features[:, :width]
    features[~candidates.filled] = 0
    return features, names
