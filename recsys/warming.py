"""Requests of every shape, asked once so that none has to wait for its kernels later."""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys.features.errors import RecsysError

if TYPE_CHECKING:
    from recsys.engine import Engine

_LONG = 200  # items of a long list
_LONG_HISTORY = 300  # events of a session that is longer than what sources read
_MANY = 40  # users of one block who are more than a few, and more than one thread takes


def warm_up(engine: "Engine") -> int:
    """Ask everything that compiles or loads a kernel; how many requests were answered.

    Kernels are compiled for the types of what they are given, which hang on how many ask, on how
    long lists are, and on the rules of the final list: of these every shape is asked for, also with
    rules that the settings do not have. What this engine cannot answer is left out.
    """
    answered = 0
    for ask in _requests(engine):
        try:
            ask()
            answered += 1
        except RecsysError:  # no ranker, no price, no links
            continue
    return answered


def _first_items(engine: "Engine") -> list[Any]:
    """Enough items for every shape of request; a catalogue of millions is no list of them."""
    return engine.items[:_LONG_HISTORY].to_list()


def _requests(engine: "Engine") -> Iterator[Callable[[], object]]:
    yield from _of_one(engine)
    for settings in _finals(engine):
        yield lambda settings=settings: _ruled(engine, settings)  # type: ignore[misc]


def _of_one(engine: "Engine") -> Iterator[Callable[[], object]]:
    """Everything that this engine can be asked, with its own rules."""
    items, users = _first_items(engine), engine.users[:_MANY].to_list()
    askers = [users[:1], users[:3], (users * _MANY)[:_MANY], _nobody(engine), []]
    sessions: list[dict[str, list[Any]]] = [
        {"one": items[:1]},
        {"one": items[:1], "other": items[:2], "none": []},
        {"long": list(islice(cycle(items), _LONG_HISTORY))},
        {f"visit {n}": items[n % len(items) :][:3] for n in range(_MANY)},
    ]
    for k in (1, 10, min(len(engine.items), _LONG)):
        for asked in askers:
            yield lambda u=asked, k=k: engine.recommend(u, k=k)  # type: ignore[misc]
        for visits in sessions:
            yield lambda s=visits, k=k: engine.recommend(sessions=s, k=k)  # type: ignore[misc]
    yield from _of_few_items(engine, items, askers)
    yield from _of_probabilities(engine, askers)
    for asked in (users[:1], _nobody(engine)):
        yield lambda u=asked: engine.explain(u[0], k=3)  # type: ignore[misc]
        yield lambda u=asked: engine.explain(u[0], items=items[:2])  # type: ignore[misc]
    yield lambda: engine.explain(sessions=sessions[0], k=3)
    names = [member.name for member in engine.learnt.fitted.sources.members]
    for some in (items[:1], items[:_MANY]):
        for source in (None, *names):
            yield lambda i=some, s=source: engine.similar_items(i, 3, s)  # type: ignore[misc]


def _of_few_items(
    engine: "Engine", items: list[Any], askers: list[list[Any]]
) -> Iterator[Callable[[], object]]:
    """Lists of nothing, of one item and of a few, as conditions leave them."""
    visit = {"visit": items[:2]}
    for left in (0, 1, 3):
        where = _only(engine, items[:left])
        for asked in askers:
            yield lambda u=asked, w=where: engine.recommend(u, k=3, where=w)  # type: ignore[misc]
        yield lambda w=where: engine.recommend(sessions=visit, k=3, where=w)  # type: ignore[misc]
        yield lambda w=where: engine.explain(sessions=visit, k=3, where=w)  # type: ignore[misc]
    for asked in askers[:3:2]:
        yield lambda u=asked: engine.recommend(u, k=3, exclude=items[:2])  # type: ignore[misc]


def _only(engine: "Engine", items: list[Any]) -> "pl.Expr":
    """A condition that only these items meet."""
    column = pl.col(engine.learnt.catalog.columns.item)
    return column.is_in(items) if items else column.is_null()


def _nobody(engine: "Engine") -> list[Any]:
    """An id that no user has."""
    ids = engine.users
    return [int(str(ids.max() or 0)) + 1] if ids.dtype.is_integer() else ["nobody at all"]


def _of_probabilities(engine: "Engine", askers: list[list[Any]]) -> Iterator[Callable[[], object]]:
    catalog = engine.learnt.catalog
    worths = [*dict(catalog.numbers()), *filter(None, [catalog.columns.price])]
    for asked in askers:
        yield lambda u=asked: engine.recommend(u, k=3, probabilities=True)  # type: ignore[misc]
        for column in worths[:1]:
            yield lambda u=asked, c=column: engine.recommend(u, k=3, by_value=c)  # type: ignore[misc]


def _ruled(engine: "Engine", settings: dict[str, Any]) -> None:
    """The shapes of lists that rules of the final list see."""
    ruled = engine.with_final(settings)
    items, users = _first_items(engine), engine.users[:_MANY].to_list()
    conditions = [None, _only(engine, []), _only(engine, items[:1])]
    for asked in (users[:1], (users * _MANY)[:_MANY], _nobody(engine)):
        for where in conditions:
            try:
                ruled.recommend(asked, k=3, where=where)
            except RecsysError:
                continue
    if users:
        ruled.explain(users[0], k=3)


def _finals(engine: "Engine") -> Iterator[dict[str, Any]]:
    """The settings of the final list that have kernels of their own, each with what it needs."""
    items, catalog = _first_items(engine), engine.learnt.catalog
    if not items:
        return
    first = items[:1]
    rules: list[dict[str, Any]] = [
        {"kind": "block", "items": first},
        {"kind": "boost", "items": first, "factor": 2.0},
        {"kind": "pin", "items": first, "place": 1},
        {"kind": "new", "share": 0.4, "days": 1e4},
        {"kind": "price", "least": 0.0},
    ]
    rules += [{"kind": "cap", "column": name, "most": 2} for name in catalog.categories()]
    yield from ({"rules": [rule]} for rule in rules)
    yield {"rules": rules[1:4]}
    for draw in ("softmax", "uniform"):
        yield {"exploration": {"slots": 1, "depth": 5, "draw": draw}}
    for method in ("mmr", "dpp"):
        for on in ("categories", *catalog.vectors):
            yield {"diversity": {"method": method, "on": on}}
