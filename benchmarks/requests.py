"""How fast a fitted engine answers, all users or one request, beside others on the same factors."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Work, in_turn, latencies
from benchmarks.rivals import RIVALS, Find, Problem, gemm, implicit_model, retrieved
from recsys.engine import Engine
from recsys.features.arrays import Rows
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.retrieval.als import Als
from recsys.retrieval.sources import named

K = 10
WARM = 20  # requests before the clock starts

Figures = dict[str, dict[str, Any]]


def ask_all(engine: Engine, rounds: int) -> Figures:
    """Lists of 10 for all users: both stages, our ALS alone, and others with its factors."""
    problem, als = problem_of(engine), als_of(engine)
    everyone = histories_of(engine, len(engine.users))
    finders: dict[str, Find] = {
        "recsys als alone": retrieved(als, everyone, problem.allowed(), K),
        **{name: make(problem) for name, make in RIVALS.items()},
    }
    works: dict[str, Work] = {
        "two-stage": lambda: sum(1 for _ in engine.recommend_all(k=K)),
        **finders,
        "GEMM ceiling": gemm(problem),
    }
    costs = in_turn(works, rounds)
    figures = {name: cost.as_dict(len(problem.users)) for name, cost in costs.items()}
    agree = same_items(finders)
    for name, figure in figures.items():
        figure["cpu_to_gemm"] = figure["cpu_s"] / figures["GEMM ceiling"]["cpu_s"]
        if name in agree:
            figure["same_items"] = agree[name]
    figures["GEMM ceiling"] |= problem.rates(costs["GEMM ceiling"])
    return figures


def same_items(finders: dict[str, Find]) -> dict[str, float]:
    """How much of the first one's answer each one gives, place by place; ties may differ."""
    answers = {name: find() for name, find in finders.items()}
    first = next(iter(answers.values()))
    return {name: float((answer == first).mean()) for name, answer in answers.items()}


def ask_one(engine: Engine, requests: int, rounds: int) -> Figures:
    """Single requests in ms: alone, and while another thread asks without a pause."""
    sessions = sessions_of(engine, requests)
    asks: list[Work] = [lambda s=s: engine.recommend(sessions={0: s}, k=K) for s in sessions]
    problem = problem_of(engine)
    theirs = {"implicit, one stage": _implicit_one(problem, requests)}
    for work in [*asks[:WARM], *theirs["implicit, one stage"][:WARM]]:
        work()
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        rows.setdefault("two-stage", []).append(latencies(asks))
        with kept_asking(asks[::-1]):
            rows.setdefault("two-stage, while another asks", []).append(latencies(asks))
        for name, works in theirs.items():
            rows.setdefault(name, []).append(latencies(works))
    return {name: _medians(each) for name, each in rows.items()}


@contextmanager
def kept_asking(asks: Sequence[Work]) -> Iterator[None]:
    """Another thread goes round these requests for as long as the context lasts."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            for ask in asks:
                ask()
                if stop.is_set():
                    return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def problem_of(engine: Engine) -> Problem:
    """All users of an engine, with what its own ALS learnt of them and of the items."""
    als, everyone = als_of(engine), histories_of(engine, len(engine.users))
    allowed = engine.learnt.policy.allowed(everyone)
    with tempfile.TemporaryDirectory() as folder:
        als.save(Path(folder))
        with np.load(Path(folder) / "als.npz", allow_pickle=False) as arrays:
            items = arrays["item_factors"]
    return Problem(als.users_of(everyone), items, allowed.offsets, allowed.excluded, K)


def als_of(engine: Engine) -> Als:
    """The source of that name."""
    als = named(engine.learnt.fitted.sources.members, "als").retriever
    if not isinstance(als, Als):
        raise DataError(f"the source 'als' of this engine is a {type(als).__name__}")
    return als


def histories_of(engine: Engine, users: int) -> Histories:
    """The histories of the first users."""
    return Histories.of(engine.learnt.log, np.arange(users, dtype=np.int32))


def sessions_of(engine: Engine, requests: int) -> list[list[Any]]:
    """The histories of users, evenly drawn, as sessions of item ids."""
    known = engine.learnt.log.active_users()
    drawn = known[np.linspace(0, len(known) - 1, min(requests, len(known))).astype(int)]
    histories = Histories.of(engine.learnt.log, drawn)
    ids = engine.learnt.log.items.ids_at(histories.items)
    bounds = zip(histories.offsets[:-1], histories.offsets[1:], strict=True)
    return [ids[int(start) : int(end)].to_list() for start, end in bounds]


def candidates_per_request(engine: Engine, requests: int) -> float:
    """The median number of candidates that stage two scores."""
    histories = histories_of(engine, min(requests, len(engine.users)))
    allowed = engine.learnt.policy.allowed(histories)
    candidates, _ = engine.learnt.fitted.candidates(histories, allowed)
    return float(np.median(candidates.filled.sum(axis=1)))


def _implicit_one(problem: Problem, requests: int) -> list[Callable[[], Rows]]:
    """implicit's recommend for one user after the other, on one BLAS thread."""
    from threadpoolctl import threadpool_limits

    model, matrix = implicit_model(problem.users, problem.items), problem.matrix

    def ask(user: int) -> Rows:
        with threadpool_limits(1, user_api="blas"):
            items: Rows = model.recommend(user, matrix[user], N=problem.k)[0]
            return items

    drawn = np.linspace(0, len(problem.users) - 1, requests).astype(int)
    return [lambda user=user: ask(user) for user in drawn.tolist()]


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
