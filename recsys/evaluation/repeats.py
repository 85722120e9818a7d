"""Items that users had before: how many are on lists, and a list of them alone."""

from collections.abc import Iterable

import numpy as np

from recsys.evaluation.held import Held
from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.histories import Histories


def may_repeat(held: Held) -> bool:
    """Does the log know an event after which an item may be offered again?"""
    return not held.policy.hides.all()


def had(histories: Histories, owners: Array, items: Rows) -> Mask:
    """Which of the items, of any shape, the history of their owner holds; PAD is in none."""
    span = 1 + int(max(histories.items.max(initial=0), items.max(initial=0)))
    own = _keys(ragged.owners(histories.offsets), histories.items, span)
    found: Mask = np.isin(_keys(owners, items, span), own) & (items != PAD)
    return found


def shares(held: Held, items: Rows, ks: Iterable[int]) -> dict[str, float]:
    """The share of the places, and that of the hits, on lists (b, w) of what users had, at each k.

    It is that of all lists together; NaN where there is no place, or hit. Of a list it is the
    repetition ratio of Li, Jullien, Ariannezhad & de Rijke 2023.
    """
    repeats = had(held.histories, np.arange(len(items))[:, None], items)
    hits, told = held.chosen.hits(items), {}
    for k in ks:
        told[f"repeat_share@{k}"] = _share(repeats[:, :k], items[:, :k] != PAD)
        told[f"repeat_hits@{k}"] = _share(repeats[:, :k], hits[:, :k])
    return told


def own_lists(held: Held, k: int) -> Rows:
    """(b, k) what each user had most often, of equals the latest first; PAD where that is less.

    The baseline of what may be offered again, P-TopFreq of Li et al. 2023: it knows nobody else.
    """
    histories, allowed = held.histories, held.policy.allowed(held.histories)
    span = len(allowed.mask)
    pairs = _keys(ragged.owners(histories.offsets), histories.items, span)
    keys, age, times = np.unique(pairs[::-1], return_index=True, return_counts=True)
    hidden = _keys(ragged.owners(allowed.offsets), allowed.excluded, span)
    kept = np.flatnonzero(allowed.mask[keys % span] & ~np.isin(keys, hidden))
    order = kept[np.lexsort((age[kept], -times[kept], keys[kept] // span))]
    owners, items = np.divmod(keys[order], span)
    places = np.arange(len(owners)) - np.searchsorted(owners, owners)
    within = places < k
    lists = np.full((len(histories), k), PAD, np.int32)
    lists[owners[within], places[within]] = items[within]
    return lists


def _keys(owners: Array, items: Rows, span: int) -> Array:
    """A number for each pair of a list and an item below `span`."""
    return owners.astype(np.int64) * span + items


def _share(part: Mask, whole: Mask) -> float:
    return float(part[whole].mean()) if whole.any() else np.nan
