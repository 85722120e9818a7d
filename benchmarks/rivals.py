"""Ways to find the best unseen items of many users by the same factors: ours and others."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.measure import Cost
from recsys.features import npz, ragged
from recsys.features.arrays import Array, Floats, Offsets, Rows
from recsys.features.histories import Histories, anonymous
from recsys.features.threads import cores, side_by_side
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.als import Als
from recsys.retrieval.factorization import Factors
from recsys.retrieval.index import VectorIndex

Find = Callable[[], Rows]
"""-> items (b, k), best first"""

BLOCK = 512
"""Users whose scores are held at once."""

FAISS_BLOCK = 4096
"""FAISS multiplies so many queries at a time itself; given 512 it takes 2.5 times the CPU time."""


@dataclass(frozen=True)
class Problem:
    """Find the `k` items with the largest product for each user, without those they have seen."""

    users: Floats  # (b, d)
    items: Floats  # (n, d)
    offsets: Offsets  # (b + 1,)
    seen: Rows  # (m,) ascending within a user
    k: int

    @property
    def flops(self) -> float:
        """Of all products: what no exact way can do without."""
        return 2.0 * self.users.size * len(self.items)

    def rates(self, cost: Cost) -> dict[str, float]:
        """What the products alone come to, in the time and on the cores that they had."""
        return {
            "gflops": self.flops / cost.wall / 1e9,
            "gflops_per_cpu_s": self.flops / cost.cpu / 1e9,
        }

    @property
    def matrix(self) -> sp.csr_matrix:
        """(b, n) 1 where a user has seen an item."""
        ones = np.ones(len(self.seen), np.float32)
        shape = (len(self.users), len(self.items))
        return sp.csr_matrix((ones, self.seen, self.offsets), shape=shape)

    def allowed(self) -> Allowed:
        return Allowed(np.ones(len(self.items), bool), self.offsets, self.seen)

    def blocks(self, size: int = BLOCK) -> Iterator[slice]:
        for start in range(0, len(self.users), size):
            yield slice(start, min(start + size, len(self.users)))

    def seen_of(self, block: slice) -> tuple[Array, Rows]:
        """(row within the block, item) of all that its users have seen."""
        bounds = self.offsets[block.start : block.stop + 1]
        return ragged.owners(bounds - bounds[0]), self.seen[bounds[0] : bounds[-1]]


def made_up(users: int, items: int, factors: int, per_user: int, k: int, seed: int = 0) -> Problem:
    """Random factors, and seen items by a power law, `per_user` or a few less each."""
    rng = np.random.default_rng(seed)
    drawn = (items * rng.random((users, per_user)) ** 3).astype(np.int32)
    drawn.sort(axis=1)
    new = np.ones(drawn.shape, bool)
    new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    return Problem(
        users=rng.normal(size=(users, factors)).astype(np.float32),
        items=rng.normal(size=(items, factors)).astype(np.float32),
        offsets=ragged.offsets_of(new.sum(axis=1)),
        seen=drawn[new],
        k=k,
    )


def our_index(problem: Problem) -> Find:
    """`VectorIndex.search`."""
    index = VectorIndex(problem.items.shape[1], device="cpu")
    index.add(np.arange(len(problem.items), dtype=np.int32), problem.items)
    allowed = problem.allowed()
    return lambda: index.search(problem.users, problem.k, allowed)[0]


def our_als(problem: Problem) -> Find:
    """`Als.retrieve` of those who have seen something: fold them in, then search the index."""
    histories = anonymous(problem.seen, problem.offsets)
    return retrieved(with_factors(problem.items), histories, problem.allowed(), problem.k)


def retrieved(als: Als, histories: Histories, allowed: Allowed, k: int) -> Find:
    """The lists of all histories, block by block as the engine asks."""
    every = np.arange(len(histories))
    blocks = [every[start : start + BLOCK] for start in range(0, len(every), BLOCK)]

    def found(block: Array) -> Rows:
        return als.retrieve(histories.take(block), k, allowed.take(block)).items

    return lambda: np.concatenate(list(side_by_side(found, blocks)))


def with_factors(items: Floats) -> Als:
    """The source `als` as if it had learnt these factors (n, d)."""
    factors, spectrum = Factors(items, items).along_items()
    size = items.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        npz.write(
            Path(folder) / "als.npz",
            item_factors=factors.items,
            user_gram=np.eye(size),
            spectrum=spectrum,
            unobserved=np.float64(1),
            ridges=np.array([[0.01, 0.0], [0.01, 0.0]]),
        )
        return Als(factors=size, device="cpu").load(Path(folder))


def implicit_model(users: Floats, items: Floats) -> Any:
    """implicit's ALS with factors that were learnt elsewhere."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # it warns otherwise
        model = AlternatingLeastSquares(factors=items.shape[1], num_threads=cores())
    model.user_factors, model.item_factors = users, items
    return model


def implicit_all(problem: Problem) -> Find:
    """implicit's recommend, on one BLAS thread as it asks, its own threads beside."""
    from threadpoolctl import threadpool_limits

    model, matrix = implicit_model(problem.users, problem.items), problem.matrix
    everyone = np.arange(len(problem.users))

    def find() -> Rows:
        with threadpool_limits(1, user_api="blas"):
            return model.recommend(everyone, matrix, N=problem.k)[0]

    return find


def faiss_flat(problem: Problem) -> Find:
    """IndexFlatIP alone: it knows no exclusions, so as many more are fetched as were seen."""
    import faiss

    index = faiss.IndexFlatIP(problem.items.shape[1])
    index.add(problem.items)
    few_first = np.argsort(np.diff(problem.offsets), kind="stable")
    sorted_problem = _reordered(problem, few_first)

    def find() -> Rows:
        found = np.empty((len(problem.users), problem.k), np.int64)
        for block in sorted_problem.blocks(FAISS_BLOCK):
            most = int(np.diff(sorted_problem.offsets)[block].max(initial=0))
            fetch = min(problem.k + most, len(problem.items))
            near = index.search(sorted_problem.users[block], fetch)[1]
            found[few_first[block]] = _unseen(near, sorted_problem, block)
        return found

    return find


def torch_topk(problem: Problem) -> Find:
    """A product, seen items at minus infinity, torch.topk; in blocks."""
    import torch

    users, items = torch.from_numpy(problem.users), torch.from_numpy(problem.items).T

    def find() -> Rows:
        found = []
        for block in problem.blocks():
            scores = users[block] @ items
            owners, seen = problem.seen_of(block)
            scores[torch.from_numpy(owners), torch.from_numpy(seen).long()] = -torch.inf
            found.append(torch.topk(scores, problem.k).indices)
        return torch.cat(found).numpy()

    return find


def numpy_argpartition(problem: Problem) -> Find:
    """A product, seen items at minus infinity, numpy.argpartition and a sort; in blocks."""

    def find() -> Rows:
        found = []
        for block in problem.blocks():
            scores = problem.users[block] @ problem.items.T
            scores[problem.seen_of(block)] = -np.inf
            top = np.argpartition(-scores, problem.k - 1, axis=1)[:, : problem.k]
            order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
            found.append(np.take_along_axis(top, order, axis=1))
        return np.concatenate(found)

    return find


def gemm(problem: Problem) -> Callable[[], None]:
    """The products alone, thrown away: the ceiling for every exact way."""
    import torch

    users, items = torch.from_numpy(problem.users), torch.from_numpy(problem.items).T
    scores = torch.empty(BLOCK, len(problem.items))

    def multiply() -> None:
        for block in problem.blocks():
            torch.mm(users[block], items, out=scores[: block.stop - block.start])

    return multiply


RIVALS: dict[str, Callable[[Problem], Find]] = {
    "implicit": implicit_all,
    "FAISS flat, over-fetch": faiss_flat,
    "torch topk": torch_topk,
}


def _reordered(problem: Problem, order: Array) -> Problem:
    offsets, flat = ragged.gather(problem.offsets, order)
    return Problem(problem.users[order], problem.items, offsets, problem.seen[flat], problem.k)


def _unseen(near: Array, problem: Problem, block: slice) -> Array:
    """The first k of each row of `near` (b, f) that its user has not seen."""
    owners, seen = problem.seen_of(block)
    keys = owners * np.int64(len(problem.items)) + seen
    own = np.arange(len(near))[:, None] * np.int64(len(problem.items)) + near
    place = np.argsort(np.isin(own, keys), axis=1, kind="stable")[:, : problem.k]
    return np.take_along_axis(near, place, axis=1)
