"""Features of dislikes: how often an item had them, and how like those of the user it is."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.dislikes import Dislikes
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.ranking.feature_group import Group, group
from recsys.ranking.recent import DECAY, PROFILE, Recent

_PRIOR = 20.0  # customers, with the usual share of dislikes, that an item is thought to begin with


@dataclass(frozen=True)
class Refused:
    """By how many customers each item was said no to, each of whom counts once."""

    table: Floats  # (items + 1, 2) logarithms: users, and their share over the usual; the last is 0

    @classmethod
    def of(cls, log: Interactions) -> Self | None:
        """None where the log has no dislikes."""
        if log.dislikes is None:
            return None
        no, yes = log.dislikes.counts(len(log.items)), log.item_users
        usual = (no.sum() + 1) / (no.sum() + yes.sum() + 2)
        share = (no + _PRIOR * usual) / (no + yes + _PRIOR)
        table = np.zeros((len(no) + 1, 2), np.float32)
        table[:-1, 0], table[:-1, 1] = np.log1p(no), np.log(share / usual)
        return cls(table)


def newest_dislikes(histories: Histories) -> Recent:
    """The newest dislikes of each history in the shape of its newest events."""
    known = histories.dislikes
    dislikes = Dislikes.none(len(histories)) if known is None else known
    items = ragged.last(dislikes.offsets, dislikes.items, PROFILE)
    return Recent(
        items=items,
        events=np.zeros(items.shape, np.uint8),
        weights=(DECAY ** np.arange(PROFILE)).astype(np.float32),
        session=np.zeros(len(items), np.int64),
        begun=histories.now,
    )


def refusals(refused: Refused, newest: Recent, items: Rows) -> Group:
    """(b, w, 3) how often and how rather than others the item was disliked, and how much the user
    dislikes at all."""
    own = np.log1p((newest.items != PAD).sum(axis=1)).astype(np.float32)

    def write(columns: Array) -> None:
        columns[:, :, :2] = refused.table[items]
        columns[:, :, 2] = own[:, None]

    return group("dislikes", ["dislikes", "share of dislikes", "dislikes of user"], write)


def of_disliked(found: Group) -> Group:
    """Features of newest events, which were dislikes this time, under names that say so."""
    names, write = found
    return group("dislikes", [f"disliked: {name}" for name in names], write)
