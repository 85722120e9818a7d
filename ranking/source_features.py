"""Features that sources give: scores, ranks and links, each against the best of the list."""

from collections.abc import Callable

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.histories import Histories
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows
from recsys.ranking.feature_group import Group, group
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import LikeningRetriever, LinkingRetriever, Retriever

RECENT = 8
"""How many of the newest items a candidate is compared with one by one."""

_PLACES = 4  # of the newest items, how many give their link as a feature of their own


def source_scores(source: Retriever, histories: Histories, candidates: Candidates) -> Group:
    """The score, its share of the list's best, and its rank in the list."""

    def write(columns: Array) -> None:
        scores = source.score(histories, candidates.items)
        over_rows(_in_list, len(scores), scores, candidates.items, columns)

    name = source.name
    names = [f"{name} score", f"{name} share of best", f"{name} rank"]
    return group(f"source {name}", names, write)


def source_links(source: LinkingRetriever, recent: Rows, items: Rows) -> Group:
    """The newest link and its share of the list's best, those of older items, the strongest.

    `recent` (b, r) are the newest items of each history, newest first.
    """
    return _with_newest(source.name, ("from", "strongest link"), source.links, recent, items)


def source_likeness(source: LikeningRetriever, recent: Rows, items: Rows) -> Group:
    """As `source_links`, of how alike the vectors of items are."""
    words = "likeness to", "greatest likeness"
    return _with_newest(source.name, words, source.likeness, recent, items)


def _with_newest(
    name: str, words: tuple[str, str], compared: Callable[[Rows, Rows], Floats], recent: Rows,
    items: Rows,
) -> Group:  # fmt: skip
    """What `compared` says of the newest items and the candidates, as (b, w, l)."""
    each, most = words

    def write(columns: Array) -> None:
        values = compared(np.ascontiguousarray(recent[:, :RECENT]), items)
        over_rows(_links_in_list, len(items), values, _PLACES, columns)

    names = [f"{name} {each} last", f"{name} {each} last, share of best"]
    names += [f"{name} {each} {place} back" for place in range(2, _PLACES + 1)]
    return group(f"source {name}", [*names, f"{name} {most}"], write)


def fused_rank(candidates: Candidates) -> Group:
    """Where the fused list has the item, and how many sources offered it."""

    def write(columns: Array) -> None:
        over_rows(_count_votes, len(candidates), candidates.ranks, columns)

    return group("all sources together", ["fused rank", "sources that offer it"], write)


@compiled(fastmath=True)
def _in_list(start: int, stop: int, scores: Array, items: Array, columns: Array) -> None:
    """Score, score over the list's best, and 1 / sqrt(1 + rank); ties share the better rank.

    Most scores of a source of links are 0, and all zeros have one rank: only others are compared.
    """
    width = items.shape[1]
    worths = _of_ranks(width + 1)
    told = np.empty(width, np.float32)  # the scores that are not 0, of items and not of PAD
    for row in range(start, stop):
        own = scores[row]
        n, zeros, positive, best = 0, np.float32(0), np.float32(0), np.float32(0)
        for place in range(width):
            if items[row, place] == PAD:
                continue
            if own[place] == 0:
                zeros += 1
                continue
            told[n] = own[place]
            n += 1
            positive += np.float32(1) if own[place] > 0 else np.float32(0)
            best = max(best, own[place])
        scale = 1 / best if best > 0 else np.float32(0)
        for place in range(width):
            if items[row, place] == PAD:
                continue
            score = own[place]
            better = np.float32(0)  # of the width of a score, so that the loop is vectorised
            for other in range(n if score != 0 else 0):
                better += np.float32(1) if told[other] > score else np.float32(0)
            better += zeros if score < 0 else np.float32(0)
            better += positive if score == 0 else np.float32(0)
            columns[row, place, 0] = score
            columns[row, place, 1] = score * scale
            # To fastmath a NaN may be worse than itself, and counted more than once.
            columns[row, place, 2] = worths[min(int(better), width)]


@compiled(fastmath=True, forceinline=True)
def _of_ranks(n: int) -> Array:
    """(n,) 1 / sqrt(1 + rank)"""
    worths = np.empty(n, np.float32)
    for rank in range(n):
        worths[rank] = 1 / np.sqrt(np.float32(1) + np.float32(rank))
    return worths


@compiled
def _count_votes(start: int, stop: int, ranks: Array, columns: Array) -> None:
    for row in range(start, stop):
        for place in range(ranks.shape[1]):
            votes = np.float32(0)
            for source in range(ranks.shape[2]):
                votes += ranks[row, place, source] != PAD
            columns[row, place, 0] = 1 / np.sqrt(np.float32(1 + place))
            columns[row, place, 1] = votes


@compiled
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
