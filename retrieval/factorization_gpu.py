"""The iterations of a factorization in torch, for a GPU: the steps of `factorization` in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys.features.arrays import Array
from recsys.retrieval.factorization import STEPS, Factors, Objective
from recsys.retrieval.opposites import turned, wanted

_EVENTS = 1 << 20  # of a block; their vectors are held twice


@dataclass(frozen=True, slots=True)
class _Block:
    """Consecutive rows and their events."""

    rows: slice
    lengths: Tensor  # (b,) events of each row
    owners: Tensor  # (n,) the row within the block
    columns: Tensor  # (n,)
    weights: Tensor  # (n, 1)


def factorize_there(
    matrix: sp.csr_matrix, objective: Objective, factors: Factors, iterations: int, device: str
) -> Factors:
    """As `factorize` does on a CPU, on any torch device; the sums are in another order there."""
    users, items = (torch.tensor(each, device=device) for each in (factors.users, factors.items))
    by_item = turned(matrix, len(items))
    ridges = [
        torch.tensor(ridge.at(wanted(each, n, np.float32)), device=device)[:, None]
        for ridge, each, n in (
            (objective.users, matrix, len(items)),
            (objective.items, by_item, len(users)),
        )
    ]
    for _ in range(iterations):
        users, items = _bettered(matrix, objective.unobserved, ridges[0], users, items)
        items, users = _bettered(by_item, objective.unobserved, ridges[1], items, users)
    return Factors(users.cpu().numpy(), items.cpu().numpy())


def _bettered(
    matrix: sp.csr_matrix, unobserved: float, ridges: Tensor, moving: Tensor, fixed: Tensor
) -> tuple[Tensor, Tensor]:
    """(rows bettered, the others in the same axes)."""
    exact = fixed.double()
    spectrum, axes = torch.linalg.eigh(exact.T @ exact)
    moving, fixed = moving @ axes.float(), (exact @ axes).float()
    held = (unobserved * spectrum.clamp(min=0)).float()
    facing = fixed if matrix.shape[1] == len(fixed) else torch.cat([fixed, -fixed])
    for block in _blocks(matrix, moving.device):
        _better(block, facing, held + ridges[block.rows], unobserved, moving[block.rows])
    return moving, fixed


def _better(
    block: _Block, fixed: Tensor, diagonal: Tensor, unobserved: float, rows: Tensor
) -> None:
    """Preconditioned conjugate gradients for the rows (b, d) of a block, in place."""
    met = fixed[block.columns]  # (n, d)

    def image(vectors: Tensor) -> Tensor:  # (b, d) -> (b, d)
        products = (met * vectors[block.owners]).sum(dim=1, keepdim=True)
        return diagonal * vectors + _summed(block, block.weights * products * met)

    rest = _summed(block, (block.weights + unobserved) * met) - image(rows)
    toward = rest / diagonal
    before = (rest * toward).sum(dim=1, keepdim=True)
    for _ in range(STEPS):
        forward = image(toward)
        curvature = (toward * forward).sum(dim=1, keepdim=True)
        length = torch.where(curvature > 0, before / curvature, 0)
        rows += length * toward
        rest = rest - length * forward
        after = (rest * rest / diagonal).sum(dim=1, keepdim=True)
        ratio = torch.where(before > 0, after / before, 0)
        toward, before = rest / diagonal + ratio * toward, after


def _summed(block: _Block, values: Tensor) -> Tensor:
    """(b, d) the sum of each row's events (n, d), always in the same order."""
    sums: Tensor = torch.segment_reduce(values, "sum", lengths=block.lengths, axis=0, initial=0)
    return sums


def _blocks(matrix: sp.csr_matrix, device: torch.device) -> Iterator[_Block]:
    """All rows in order, about `_EVENTS` events at a time."""
    offsets, start = matrix.indptr, 0
    while start < matrix.shape[0]:
        stop = int(np.searchsorted(offsets, offsets[start] + _EVENTS, side="right")) - 1
        stop = min(max(stop, start + 1), matrix.shape[0])
        events = slice(offsets[start], offsets[stop])
        lengths = np.diff(offsets[start : stop + 1])

        def there(values: Array) -> Tensor:
            return torch.as_tensor(values, device=device)

        yield _Block(
            slice(start, stop),
            there(lengths.astype(np.int64)),
            there(np.repeat(np.arange(stop - start), lengths)),
            there(matrix.indices[events].astype(np.int64)),
            there(matrix.data[events])[:, None],
        )
        start = stop
