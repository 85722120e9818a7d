"""An iteration of ALS, ours against implicit's: its cost, and the loss that it comes to.

    python -m benchmarks als [--users 100000 --items 50000 --events 5200000] [--json FILE]

Both begin with the same factors and make the same objective small, that of Hu, Koren & Volinsky
2008, with one thread, an iteration of each in turn, on a log that is made up by a power law.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.machine import machine
from benchmarks.measure import timed, write_results
from benchmarks.rivals import implicit_model
from recsys.features.arrays import Array
from recsys.retrieval.factorization import Factors, Objective, factorize
from recsys.retrieval.least_squares import Ridge

ALPHA, REGULARIZATION = 10.0, 1.0  # in implicit's terms
CIRCLES = 50
"""Groups of users with a taste of their own for half of what they have."""

Iterate = Callable[[Factors], Factors]


def main() -> None:
    options = _options()
    matrix = made_up(options.users, options.items, options.events)
    print(f"{matrix.shape[0]:,} users, {matrix.shape[1]:,} items, {matrix.nnz:,} pairs", flush=True)
    with threadpool_limits(1, user_api="blas"):
        systems = compared(matrix, options.factors, options.iterations)
    last = {name: steps[-1] for name, steps in systems.items()}
    cpu = {name: sum(step["cpu_s"] for step in steps) for name, steps in systems.items()}
    ratios = {
        "cpu_to_implicit": cpu["recsys"] / cpu["implicit"],
        "loss_to_implicit": last["recsys"]["loss"] / last["implicit"]["loss"],
    }
    print("  ".join(f"{name} {ratio:.4f}" for name, ratio in ratios.items()))
    if options.json is not None:
        shape = {"users": options.users, "items": options.items, "pairs": matrix.nnz}
        shape |= {"factors": options.factors, "alpha": ALPHA, "regularization": REGULARIZATION}
        write_results(options.json, {**machine(), "shape": shape, "systems": systems, **ratios})


def compared(matrix: sp.csr_matrix, size: int, iterations: int) -> dict[str, list[dict[str, Any]]]:
    """By system what each iteration took and the loss after it."""
    ridge = Ridge(REGULARIZATION / ALPHA, 0.0)
    objective = Objective(1 / ALPHA, ridge, ridge)
    ways = {"recsys": ours(matrix, objective), "implicit": by_implicit(matrix)}
    begun = Factors.drawn(matrix, size, seed=0)
    ours(matrix[:64], objective)(Factors(begun.users[:64], begun.items))  # compiles
    at = dict.fromkeys(ways, begun)
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for number in range(1, iterations + 1):
        for name, iterate in ways.items():
            came: list[Factors] = []
            cost = timed(lambda i=iterate, n=name, c=came: c.append(i(at[n])))  # type: ignore[misc]
            at[name] = came[0]
            loss = objective.loss(matrix, at[name])
            told[name].append({**cost.as_dict(), "loss": loss})
            print(f"{number} {name:10} {cost.cpu:6.2f} CPU-s  loss {loss:,.0f}", flush=True)
    return told


def ours(matrix: sp.csr_matrix, objective: Objective) -> Iterate:
    return lambda factors: factorize(matrix, objective, factors, 1, "cpu")


def by_implicit(matrix: sp.csr_matrix) -> Iterate:
    """Its conjugate gradients, its own cost of an iteration's preparations included."""
    confidences = matrix.copy()
    confidences.data = 1 + np.float32(ALPHA) * confidences.data

    def iterate(factors: Factors) -> Factors:
        model = implicit_model(factors.users.copy(), factors.items.copy())
        model.alpha, model.iterations, model.regularization = 1.0, 1, REGULARIZATION
        model.fit(confidences, show_progress=False)
        return Factors(model.user_factors, model.item_factors)

    return iterate


def made_up(users: int, items: int, events: int, seed: int = 0) -> sp.csr_matrix:
    """(users, items) 1 where a user had an item: both ends by a power law, half from a circle."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(users), _lengths(users, events, rng))
    popularity = np.cumsum((np.arange(items) + 20.0) ** -0.8)
    drawn = np.searchsorted(popularity / popularity[-1], rng.random(len(owners)))
    circles = rng.integers(0, CIRCLES, users)[owners]
    own = np.minimum(drawn // CIRCLES * CIRCLES + circles, items - 1)
    chosen = np.where(rng.random(len(owners)) < 0.5, own, np.minimum(drawn, items - 1))
    ones = np.ones(len(owners), np.float32)
    matrix = sp.csr_matrix((ones, (owners, chosen)), shape=(users, items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _lengths(users: int, events: int, rng: np.random.Generator) -> Array:
    """(users,) Pareto with a = 1.5, a tenth more than the pairs wanted: some are drawn twice."""
    drawn = np.minimum(rng.pareto(1.5, users) + 1, 40)
    return np.ceil(drawn * 1.1 * events / drawn.sum()).astype(np.int64)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=5_200_000)
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
