"""A sparse matrix of how strongly each item leads to others, and what follows from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp

from recsys.features import npz, ragged
from recsys.features.arrays import PAD, Array, Floats, Offsets, Rows
from recsys.features.histories import Histories
from recsys.features.kernels import compiled
from recsys.features.schema import NO_SIZES, Sizes, check_lists, floats, offsets, rows
from recsys.features.stored import reading
from recsys.features.threads import over_rows
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.topk import offer, unheap


@dataclass(frozen=True, slots=True)
class Steps:
    """The items that lists set out from, and what each of them weighs."""

    offsets: Offsets  # (b + 1,)
    items: Rows  # (n,) in the order in which their links are summed
    weights: Floats  # (n,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def newest(cls, histories: Histories, weights: Floats) -> Self:
        """The last items of each history, newest first, weighing by age as `weights` (ages,)."""
        recent = histories.last(len(weights))
        owner, age = np.nonzero(recent != PAD)
        lengths = np.bincount(owner, minlength=len(histories))
        return cls(ragged.offsets_of(lengths), recent[owner, age], weights[age])

    @classmethod
    def distinct(cls, histories: Histories, n_items: int) -> Self:
        """Every item of each history once, all of one weight."""
        matrix = histories.matrix(n_items)
        weights = np.ones(matrix.nnz, np.float32)
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), weights)

    @classmethod
    def single(cls, items: Rows) -> Self:
        """One item (b,) each; from PAD there is no step."""
        filled = items != PAD
        weights = np.ones(int(filled.sum()), np.float32)
        return cls(ragged.offsets_of(filled.astype(np.int64)), items[filled], weights)


@dataclass(frozen=True, slots=True)
class Links:
    """A sparse (items, items) matrix: how strongly each item leads to others."""

    offsets: Offsets  # (items + 1,)
    targets: Rows  # (n,) ascending within an item
    strengths: Floats  # (n,) never 0

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> Self:
        """The links that a matrix (items, items) holds; what is 0 is no link."""
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return cls(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32),
            matrix.data.astype(np.float32),
        )

    def best(self, steps: Steps, k: int, allowed: Allowed) -> tuple[Rows, Floats]:
        """The `k` allowed items (b, k) with the largest sums above 0, and these; PAD / -inf."""
        items = np.full((len(steps), k), PAD, np.int32)
        scores = np.full((len(steps), k), -np.inf, np.float32)
        over_rows(
            _best, len(steps), self.offsets, self.targets, self.strengths, steps.offsets,
            steps.items, steps.weights, allowed.mask, allowed.offsets, allowed.excluded, items,
            scores,
        )  # fmt: skip
        return items, scores

    def score(self, steps: Steps, items: Rows) -> Floats:
        """The sums (b, w) of given items (b, w); 0 for PAD and where nothing leads."""
        scores = np.zeros(items.shape, np.float32)
        over_rows(
            _scores, len(items), self.offsets, self.targets, self.strengths, steps.offsets,
            steps.items, steps.weights, items, scores,
        )  # fmt: skip
        return scores

    def between(self, sources: Rows, targets: Rows) -> Floats:
        """Strength from each source (b, l) to each target (b, w), as (b, w, l); 0 for PAD."""
        strengths = np.zeros((*targets.shape, sources.shape[1]), np.float32)
        over_rows(
            _pairs, len(targets), self.offsets, self.targets, self.strengths, sources, targets,
            strengths,
        )  # fmt: skip
        return strengths

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        npz.write(
            folder / "links.npz",
            offsets=self.offsets, targets=self.targets, strengths=self.strengths,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        """Read what `save` wrote; raises ArtifactError where it is damaged or of other items."""
        path = folder / "links.npz"
        links = cls(*npz.read(path, _SCHEMAS, sizes))
        with reading(path):
            check_lists(("offsets", "targets"), links.offsets, links.targets)
        return links


_SCHEMAS = {"offsets": offsets("items"), "targets": rows("items", "n"), "strengths": floats("n")}


@compiled
def _gather(
    from_items: Array, weights: Array, offsets: Array, targets: Array, strengths: Array,
    sums: Array, is_touched: Array, touched: Array,
) -> int:  # fmt: skip
    """Sum what the items lead to into `sums`; returns how many items it touched."""
    found = 0
    for step in range(len(from_items)):
        source = from_items[step]
        for place in range(offsets[source], offsets[source + 1]):
            other = targets[place]
            if not is_touched[other]:
                is_touched[other] = True
                touched[found] = other
                found += 1
            sums[other] += weights[step] * strengths[place]
    return found


@compiled
def _best(
    start: int, stop: int, offsets: Array, targets: Array, strengths: Array, of_step: Array,
    from_items: Array, weights: Array, mask: Array, of_query: Array, excluded: Array,
    items: Array, scores: Array,
) -> None:  # fmt: skip
    sums = np.zeros(len(mask), np.float32)
    is_touched = np.zeros(len(mask), np.bool_)
    touched = np.zeros(len(mask), np.int32)
    if items.shape[1] == 0:
        return
    for row in range(start, stop):
        own = slice(of_step[row], of_step[row + 1])
        found = _gather(
            from_items[own], weights[own], offsets, targets, strengths, sums, is_touched, touched
        )
        sums[excluded[of_query[row] : of_query[row + 1]]] = 0
        own_items, own_scores = items[row], scores[row]  # a view in the loop would cost more
        filled, worst = 0, np.float32(0)
        for place in range(found):
            other = touched[place]
            score = sums[other]
            sums[other], is_touched[other] = 0, False
            if score > worst and mask[other]:
                filled = offer(own_items, own_scores, filled, other, score)
                if filled == len(own_items):
                    worst = np.nextafter(own_scores[0], np.float32(0))  # ties are for the heap
        unheap(own_items, own_scores, filled)


@compiled
def _scores(
    start: int, stop: int, offsets: Array, targets: Array, strengths: Array, of_step: Array,
    from_items: Array, weights: Array, items: Array, scores: Array,
) -> None:  # fmt: skip
    sums = np.zeros(len(offsets) - 1, np.float32)
    is_touched = np.zeros(len(offsets) - 1, np.bool_)
    touched = np.zeros(len(offsets) - 1, np.int32)
    for row in range(start, stop):
        own = slice(of_step[row], of_step[row + 1])
        found = _gather(
            from_items[own], weights[own], offsets, targets, strengths, sums, is_touched, touched
        )
        for place in range(items.shape[1]):
            if items[row, place] != PAD:
                scores[row, place] = sums[items[row, place]]
        for place in range(found):
            sums[touched[place]], is_touched[touched[place]] = 0, False


@compiled
def _pairs(
    start: int, stop: int, offsets: Array, targets: Array, strengths: Array, sources: Array,
    items: Array, pairs: Array,
) -> None:  # fmt: skip
    row_of = np.zeros(len(offsets) - 1, np.float32)
    for row in range(start, stop):
        for age in range(sources.shape[1]):
            source = sources[row, age]
            if source == PAD:
                continue
            own = slice(offsets[source], offsets[source + 1])
            row_of[targets[own]] = strengths[own]
            for place in range(items.shape[1]):
                if items[row, place] != PAD:
                    pairs[row, place, age] = row_of[items[row, place]]
            row_of[targets[own]] = 0
