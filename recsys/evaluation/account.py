"""The account of each stage: what it found, what was lost there, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recsys.evaluation import metrics
from recsys.evaluation.held import Held
from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import PASSING, Source

DEEP = 500
"""How deep sources are asked for a positive that none of them had within its depth."""

LOST = (
    "on the list",
    "ranked below {k}",
    "cut by the quota",
    "deeper than every source's depth",
    "found by no source",
    "unknown at the cutoff",
    "had before",
    "unavailable",
    "not in the catalogue",
    "disliked later",
    "of users without a past",
)
"""What becomes of a positive, from the best to what nothing could have been done about."""

_LEFT_OUT = (
    "positives_had_before",
    "positives_unavailable",
    "positives_not_in_catalog",
    "positives_disliked_later",
    "positives_without_past",
)
"""The counts of those that are not scored: the last of LOST."""


@dataclass(frozen=True)
class Found:
    """What the stages found of the positives (n,) of some users (b,), by `s` sources."""

    names: tuple[str, ...]  # (s,) the sources
    by: Mask  # (n, s) which positive was among the candidates of which source
    cut: Mask  # (n,) offered by a source, and left out of the union by its width or quotas
    deep: Mask  # (n,) found by no source, and still within the first `DEEP` of one
    unknown: Mask  # (n,) of an item that had neither an event nor a row in the catalogue
    offered: Array  # (b, s) candidates of each source
    shared: Array  # (s, s) candidates of one source that another offered too, summed over users
    width: Array  # (b,) candidates after the union

    @classmethod
    def of(
        cls, held: Held, candidates: Candidates, kept: Candidates, sources: Sequence[Source]
    ) -> "Found":
        """The account of one block of users.

        `candidates` are those of all sources, `kept` what the ranker is given of them.
        """
        places = held.chosen.ranks(candidates.items)
        by = (candidates.ranks[held.owners, places] != PAD) & (places != PAD)[:, None]
        offers = candidates.ranks != PAD
        flat = offers.reshape(-1, offers.shape[2]).astype(np.float32)
        items = held.chosen.items
        unknown = (held.past.item_counts[items] == 0) & ~held.catalog.known[items]
        return cls(
            names=candidates.sources,
            by=by,
            cut=by.any(axis=1) & (held.chosen.ranks(kept.items) == PAD),
            deep=_deeper(held, ~by.any(axis=1) & ~unknown, sources),
            unknown=unknown & ~by.any(axis=1),
            offered=offers.sum(axis=1),
            shared=(flat.T @ flat).astype(np.int64),
            width=kept.filled.sum(axis=1),
        )

    def over(self, names: tuple[str, ...]) -> "Found":
        """The same over more sources, which found nothing."""
        own = [names.index(name) for name in self.names]
        shared = np.zeros((len(names), len(names)), np.int64)
        shared[np.ix_(own, own)] = self.shared
        return replace(
            self,
            names=names,
            by=_spread(self.by, own, len(names)),
            offered=_spread(self.offered, own, len(names)),
            shared=shared,
        )

    @classmethod
    def joined(cls, parts: Sequence["Found"]) -> "Found":
        """The accounts of several blocks, or windows, of the same sources as one."""
        return cls(
            names=parts[0].names,
            by=np.concatenate([part.by for part in parts]),
            cut=np.concatenate([part.cut for part in parts]),
            deep=np.concatenate([part.deep for part in parts]),
            unknown=np.concatenate([part.unknown for part in parts]),
            offered=np.concatenate([part.offered for part in parts]),
            shared=np.sum([part.shared for part in parts], axis=0),
            width=np.concatenate([part.width for part in parts]),
        )


def account(
    found: Found,
    owners: Array,
    ranks: Rows,
    ndcg: Array,
    counts: Mapping[str, int],
    k: int,
    about: Mapping[str, tuple[int, float]],
    seconds: Mapping[str, float],
    trained: bool = True,
) -> dict[str, Any]:
    """The account as a table for JSON.

    `owners` (n,) are the users of the positives, `ranks` (n,) the places of the positives in the
    final lists, `ndcg` (b,) what the final lists reach at `k`, `counts` what was left out, `about`
    depth and seconds of each source, `seconds` those of the union and of the ranker beyond it,
    `trained` whether a ranker orders the final lists at all, or a source in its place.
    """
    positives = np.bincount(owners, minlength=len(ndcg))
    on_list = (ranks != PAD) & (ranks < k)  # of a candidate, or from beyond the depths
    anywhere: Mask = np.asarray(found.by.any(axis=1)) & ~found.cut | on_list
    reachable = np.bincount(owners[anywhere], minlength=len(ndcg))
    best = _best(reachable, positives, k)
    return {
        "sources": _of_sources(found, owners, positives, about),
        "overlap": {"sources": list(found.names), "share": _overlap(found)},
        "union": {
            "recall": float((reachable / positives).mean()),
            "candidates": float(found.width.mean()),
            "seconds": seconds["union"],
        },
        "ranker": {
            f"ndcg@{k}": float(ndcg.mean()),
            f"best@{k}": float(best.mean()),
            f"given@{k}": float(ndcg.mean() / best.mean()) if best.any() else 0.0,
            "seconds": seconds["ranker"],
            "trained": trained,
        },
        **_lost(found, ranks, counts, k),
    }


def _of_sources(
    found: Found, owners: Array, positives: Array, about: Mapping[str, tuple[int, float]]
) -> dict[str, dict[str, float]]:
    alone = found.by & (found.by.sum(axis=1) == 1)[:, None]
    told = {}
    for place, name in enumerate(found.names):
        depth, seconds = about[name]
        hits = np.bincount(owners[found.by[:, place]], minlength=len(positives))
        only = int(alone[:, place].sum())
        told[name] = {
            "depth": depth,
            "recall": float((hits / positives).mean()),
            "only": only,
            "only_share": only / len(owners),
            "candidates": float(found.offered[:, place].mean()),
            "seconds": seconds,
        }
    return told


def _overlap(found: Found) -> list[list[float]]:
    """Of the candidates of each source (row) the share that another one (column) offered too."""
    own = np.maximum(np.diag(found.shared), 1)[:, None]
    shares: list[list[float]] = (found.shared / own).tolist()
    return shares


def _best(reachable: Array, positives: Array, k: int) -> Array:
    """(b,) the NDCG at k of the best order of the candidates, of which so many were chosen."""
    first = np.arange(k) < reachable[:, None]
    return metrics.ndcg(first, positives)


def stages(found: Found, ranks: Rows, k: int) -> Array:
    """(n,) what became of each positive, as its place in LOST; `ranks` (n,) are in final lists."""
    on_list = (ranks != PAD) & (ranks < k)
    became = (on_list, found.by.any(axis=1) & ~found.cut, found.cut, found.deep, ~found.unknown)
    return np.select(became, range(len(became)), len(became))


def _lost(found: Found, ranks: Rows, counts: Mapping[str, int], k: int) -> dict[str, Any]:
    """Where every positive went; the rows sum to all of them."""
    scored = np.bincount(stages(found, ranks, k), minlength=len(LOST) - len(_LEFT_OUT)).tolist()
    scored[-1] += counts["positives_of_unknown_items"]
    amounts = (*scored, *(counts[each] for each in _LEFT_OUT))
    total = sum(amounts)
    rows = [
        {"stage": stage.format(k=k), "positives": amount, "share": amount / total}
        for stage, amount in zip(LOST, amounts, strict=True)
    ]
    return {"lost": rows, "positives": total}


def _deeper(held: Held, missed: Mask, sources: Sequence[Source]) -> Mask:
    """(n,) which of the missed positives (n,) a source has among its first `DEEP`."""
    found = np.zeros(len(missed), bool)
    users = np.unique(held.owners[missed])
    if not len(users):
        return found
    few = held.take(users)
    allowed = few.policy.allowed(few.histories)
    within = np.zeros(len(few.chosen.items), bool)
    for source in sources:
        try:
            lists = source.retriever.retrieve(few.histories, min(DEEP, len(held.catalog)), allowed)
        except PASSING:  # it has failed before, and this was said then
            continue
        within |= few.chosen.ranks(lists.items) != PAD
    found[np.isin(held.owners, users)] = within
    return found & missed


def _spread(columns: Array, places: Sequence[int], width: int) -> Array:
    wide = np.zeros((len(columns), width), columns.dtype)
    wide[:, places] = columns
    return wide
