"""Pairs of texts whose items the same people had one soon after the other."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
import scipy.sparse as sp

from recsys.features.arrays import Array, Floats, Mask, Rows
from recsys.features.interactions import Interactions


@dataclass(frozen=True)
class TextPairs:
    """How often two distinct texts stood within a window of one user's events."""

    texts: pl.Series  # (t,) distinct, none empty
    counts: sp.csr_matrix  # (t, t) symmetric, no diagonal; a pair at distance d adds 1 / d

    @classmethod
    def of(cls, log: Interactions, texts: pl.Series, window: int) -> Self:
        """The pairs of a log whose items have these texts (items,), "" where there is none."""
        distinct = texts.filter(texts != "").unique(maintain_order=True)
        number = texts.replace_strict(
            distinct, np.arange(len(distinct)), default=-1, return_dtype=pl.Int64
        ).to_numpy()
        text_of, users = number[log.item_rows], log.user_rows
        firsts, seconds, weights = [], [], []
        for distance in range(1, min(window, len(log) - 1) + 1):
            first, second = text_of[:-distance], text_of[distance:]
            told = (users[:-distance] == users[distance:]) & (first != second)
            told &= (first >= 0) & (second >= 0)
            firsts += [first[told], second[told]]
            seconds += [second[told], first[told]]
            weights.append(np.full(2 * int(told.sum()), 1 / distance, np.float32))
        if not firsts:
            return cls(distinct, sp.csr_matrix((len(distinct), len(distinct)), dtype=np.float32))
        cells = (np.concatenate(firsts), np.concatenate(seconds))
        shape = (len(distinct), len(distinct))
        return cls(distinct, sp.csr_matrix((np.concatenate(weights), cells), shape=shape))

    def __len__(self) -> int:
        return int(self.counts.nnz)

    def drawn(self, n: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """`n` pairs (first, second) by chance; a text that is in many pairs counts for less.

        The chance of a pair is its count over the root of both texts' totals, as co-visits are
        damped: without it the best sellers would be most of what is seen.
        """
        pairs = self.counts.tocoo()
        totals = np.sqrt(np.asarray(self.counts.sum(axis=1)).ravel())
        chances = pairs.data / (totals[pairs.row] * totals[pairs.col])
        places = rng.choice(len(chances), n, p=chances / chances.sum())
        return pairs.row[places].astype(np.int32), pairs.col[places].astype(np.int32)

    def related(self, texts: Rows, others: Rows) -> Mask:
        """(n, m) whether each of `texts` was ever had beside each of `others`, or is the same."""
        beside = self.counts[texts][:, others].toarray() > 0
        related: Mask = beside | (texts[:, None] == others)
        return related

    def strangers(self, texts: Rows, vectors: Floats, near: int, rng: np.random.Generator) -> Rows:
        """(n,) for each text one of the `near` texts most like it that it never stood beside.

        `vectors` (t, d) of length 1 say what is like what.
        """
        likeness: Array = vectors[texts] @ vectors.T
        beside = self.counts[texts]
        likeness[np.repeat(np.arange(len(texts)), np.diff(beside.indptr)), beside.indices] = -2
        likeness[np.arange(len(texts)), texts] = -2
        near = min(near, likeness.shape[1] - 1)
        found = np.argpartition(-likeness, near - 1, axis=1)[:, :near]
        place = rng.integers(near, size=len(texts))
        return found[np.arange(len(texts)), place].astype(np.int32)
