"""Orders of candidates that trade what is relevant against what is unlike the rest of the list."""

from typing import Literal

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows

Method = Literal["mmr", "dpp"]

_OWN = 0.01
"""The part of an item that is like no other, in a DPP: with it the kernel is positive definite, and
items that are alike in all that is known of them still have an order."""


def diversified(
    relevance: Floats,
    similarity: Floats,
    strength: float,
    method: Method = "mmr",
    steps: int | None = None,
) -> Array:
    """Places (b, p) of candidates in the order in which a greedy choice takes them.

    With `steps` it takes no more than so many, and the others follow in the order they came in.

    `relevance` (b, p) in [0, 1] and best first, -inf for what stays at the end; `similarity`
    (b, p, p) at most 1. At a strength of 0 the order is the one they came in, at 1 relevance counts
    for nothing. Of equals the first is taken.
    - "mmr": (1 - strength) relevance - strength x the largest similarity to what is taken already
      (Carbonell & Goldstein 1998).
    - "dpp": (1 - strength) relevance + strength x the logarithm of the volume that the item adds,
      the greedy MAP of a determinantal point process by incremental Cholesky factors (Chen, Zhang
      & Zhou 2018, algorithm 1 and equation 21). `similarity` must be positive semi-definite.
    """
    places = np.empty(relevance.shape, np.int64)
    kernel = _mmr if method == "mmr" else _dpp
    _, width = relevance.shape
    steps = width if steps is None else min(steps, width)
    over_rows(kernel, len(places), relevance, similarity, strength, steps, places)
    return places


def relevance(logits: Floats) -> Floats:
    """Logits (b, p) as [0, 1] within each list; -inf stays, and equals are all 0.

    A constant added to a list's logits changes nothing, nor does a factor on the weights whose
    logarithms they are: similarities meet the same relevance whatever the scale of scores.
    """
    known = np.isfinite(logits)
    least = np.where(known, logits, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    most = np.where(known, logits, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    span = np.where(most > least, most - least, 1)
    scaled = (np.where(known, logits, 0) - least) / span
    return np.asarray(np.where(known, scaled, -np.inf), np.float32)


def pairwise_cosines(vectors: Floats, items: Rows) -> Floats:
    """(b, p, p) of the items (b, p) with each other, 0 where one has no vector (items, d)."""
    own = np.where((items == PAD)[:, :, None], np.float32(0), vectors[items])
    lengths = np.sqrt(np.einsum("bpd,bpd->bp", own, own))
    own /= np.where(lengths > 0, lengths, 1)[:, :, None]
    return own @ own.transpose(0, 2, 1)


def shared_labels(codes: Rows, items: Rows) -> Floats:
    """(b, p, p) of the columns of `codes` (c, items) the share in which two items have one label.

    Where a label is missing (PAD) nothing is shared.
    """
    shares = np.zeros((*items.shape, items.shape[1]), np.float32)
    for column in codes:
        own = np.where(items == PAD, PAD, column[items])
        shares += (own[:, :, None] == own[:, None, :]) & (own != PAD)[:, :, None]
    shares /= len(codes)
    return shares


@compiled
def _rest(taken: Array, steps: int, places: Array) -> None:
    """What is not taken, in its order, behind the `steps` places that are."""
    place = steps
    for i in range(len(taken)):
        if not taken[i]:
            places[place] = i
            place += 1


@compiled
def _mmr(
    start: int,
    stop: int,
    relevance: Array,
    similarity: Array,
    strength: float,
    steps: int,
    places: Array,
) -> None:
    width = relevance.shape[1]
    for row in range(start, stop):
        taken = np.zeros(width, np.bool_)
        nearest = np.zeros(width)  # to what is taken; to nothing at first
        for step in range(steps):
            best, most = -1, -np.inf
            for i in range(width):
                if not taken[i]:
                    gain = (1 - strength) * relevance[row, i] - strength * nearest[i]
                    if best == -1 or gain > most:
                        best, most = i, gain
            taken[best] = True
            places[row, step] = best
            for i in range(width):
                near = np.float64(similarity[row, best, i])
                if step == 0 or near > nearest[i]:
                    nearest[i] = near
        _rest(taken, steps, places[row])


@compiled
def _dpp(
    start: int,
    stop: int,
    relevance: Array,
    similarity: Array,
    strength: float,
    steps: int,
    places: Array,
) -> None:
    width = relevance.shape[1]
    factors = np.zeros((steps, width))  # (step, i): rows of the Cholesky factor
    for row in range(start, stop):
        taken = np.zeros(width, np.bool_)
        left = np.ones(width)  # the squared volume that each item would add
        for step in range(steps):
            best, most = -1, -np.inf
            for i in range(width):
                if not taken[i]:
                    gain = (1 - strength) * relevance[row, i] + strength * np.log(left[i])
                    if best == -1 or gain > most:
                        best, most = i, gain
            taken[best] = True
            places[row, step] = best
            for i in range(width):
                if not taken[i]:
                    shared = (1 - _OWN) * similarity[row, best, i]
                    for before in range(step):
                        shared -= factors[before, best] * factors[before, i]
                    factors[step, i] = shared / np.sqrt(left[best])
                    left[i] = max(left[i] - factors[step, i] ** 2, 1e-12)  # rounding may pass 0
        _rest(taken, steps, places[row])
