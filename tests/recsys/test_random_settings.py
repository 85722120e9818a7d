"""Settings drawn at random: each is refused by SettingsError, or makes an engine that fits."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from recsys.engine import Engine
from recsys.features.errors import RecsysError, SettingsError
from recsys.parts import KINDS
from recsys.ranking.neural import NeuralRanker
from recsys.retrieval.fusion import Fusion
from recsys.settings import DEFAULT_SOURCES, EngineSettings
from recsys.shop import make_shop
from tests.shops import QUICK

Values = st.SearchStrategy[Any]

ODD_INTEGERS = (0, -1, True, 10**9, 2**63, 10**30)
ODD_NUMBERS = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e300, 1e-300)
ODD_TEXTS = ("", " ", "nope", "\x00", "\ud800", "a" * 100_000, "../x", "price > 1 AND (")
ODD = (None, [], {}, [None], {"": 1}, "1", b"x", object)
"""What nobody should write, and somebody does."""

INTEGERS, NUMBERS = (1, 2, 3, 8, 20), (0.05, 0.3, 0.5, 1.0, 7.0)
COLUMNS = ("user_id", "item_id", "time", "event", "quantity", "price", "category", "title")

LEFT_ALONE = frozenset(
    {"path", "format", "encoding", "cache", "model", "tuning", "checkpoint", "processes"}
)
"""What a small shop in memory has no use for, or what starts processes and downloads."""


def _values(annotation: Any, odd: bool) -> Values:
    """Values of a type; where `odd`, also those that no rule should let through."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(inner[0], odd)
    if origin in (Union, UnionType):
        return st.one_of([st.none() if each is NoneType else _values(each, odd) for each in inner])
    if origin is Literal:
        return st.sampled_from([*inner, *(ODD_TEXTS if odd else ())])
    if origin is tuple:
        return st.lists(_values(inner[0], odd), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _table(annotation, odd)
    simple: dict[Any, tuple[Any, ...]] = {
        bool: (True, False),
        int: INTEGERS + (ODD_INTEGERS if odd else ()),
        float: NUMBERS + (ODD_NUMBERS if odd else ()),
        str: COLUMNS + (ODD_TEXTS if odd else ()),
    }
    usual = st.sampled_from(simple.get(annotation, COLUMNS))
    return st.one_of(usual, st.sampled_from(ODD)) if odd else usual


def _table(model: type[BaseModel], odd: bool) -> Values:
    """Some of a model's settings."""
    known = {n: _values(f.annotation, odd) for n, f in model.model_fields.items()}
    return _some({n: values for n, values in known.items() if n not in LEFT_ALONE})


def _part(make: Any, odd: bool) -> Values:
    """Some arguments of a part's constructor."""
    known = {f.name: _values(f.type, odd) for f in fields(make) if f.init}
    return _some({n: v for n, v in known.items() if n not in {*LEFT_ALONE, "name", "index"}})


def _some(known: dict[str, Values]) -> Values:
    names = st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({n: known[n] for n in chosen}))


def _sources(odd: bool) -> Values:
    def named(name: str, kind: str) -> Values:
        uses = st.sampled_from([True, "auto", *((0, "yes") if odd else ())])
        depths = st.sampled_from([0, 1, 5, 20, "auto", *((-1, 10**9, 1.5) if odd else ())])
        about = st.fixed_dictionaries({}, optional={"use": uses, "depth": depths})
        kinds = st.just({} if name in DEFAULT_SOURCES else {"kind": kind})
        return st.tuples(_part(KINDS[kind], odd), about, kinds).map(
            lambda parts: (name, parts[0] | parts[1] | parts[2])
        )

    known = [named(name, str(table["kind"])) for name, table in DEFAULT_SOURCES.items()]
    own = [named(f"own-{kind}", kind) for kind in sorted(KINDS)]
    return st.lists(st.one_of(known + own), max_size=3).map(dict)


def _engines(odd: bool) -> Values:
    special: dict[str, Values] = {
        "sources": _sources(odd),
        "ranker": _part(NeuralRanker, odd),
        "fusion": _part(Fusion, odd),
        "interactions": st.just({"time": "time", "event": "event", "quantity": "quantity"}),
        "catalog": st.just({"price": "price", "category": "category", "available": "available"}),
    }
    if odd:
        special.pop("interactions"), special.pop("catalog")
    known = {n: _values(f.annotation, odd) for n, f in EngineSettings.model_fields.items()}
    left = {"device", "tracking", "evaluation", "text"} if not odd else set()
    return _some({n: v for n, v in {**known, **special}.items() if n not in left})


@settings(max_examples=1_000, suppress_health_check=list(HealthCheck))
@given(_engines(odd=True))
def test_a_thousand_settings_are_refused_by_name_or_make_an_engine(values: dict[str, Any]) -> None:
    with suppress(SettingsError):
        Engine(EngineSettings.parse(values))


@pytest.fixture(scope="module")
def fitted_with() -> Callable[[dict[str, Any]], int]:
    """Fits a small shop by some settings, and counts the rows of everybody's lists."""
    shop = make_shop(users=60, items=40, days=60, sessions_per_user=4, seed=0)

    def rows(values: dict[str, Any]) -> int:
        base = {name: QUICK[name] for name in ("ranker", "training")}
        quick = {n: {**base.get(n, {}), **t} if n in base else t for n, t in values.items()}
        log = {"interactions": {"time": "time", "event": "event"}, "catalog": {"price": "price"}}
        engine = Engine(EngineSettings.parse({**base, **log, **quick}))
        return len(engine.fit(shop.events, shop.items).recommend(engine.users, k=3))

    return rows


def test_fifty_settings_fit_a_small_shop_or_say_why_not(
    fitted_with: Callable[[dict[str, Any]], int],
) -> None:
    fitted = 0

    @settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
    @given(_engines(odd=False))
    def fit(values: dict[str, Any]) -> None:
        nonlocal fitted
        with suppress(RecsysError):
            assert fitted_with(values) >= 60
            fitted += 1

    fit()
    assert fitted >= 20


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": {"als": {"factors": 10**9}}}, "factors must be at most 4,096; got 1000000000"),
        ({"sources": {"sequence": {"layers": 10**6}}}, "layers must be at most 32; got 1000000"),
        (
            {"sources": {"near": {"regularization": float("nan")}}},
            "must be above 0; got nan",
        ),
        ({"sources": {"popular": {"depth": 10**9}}}, "depth' must be between 0 and 100,000"),
        ({"ranker": {"hidden": [10**9]}}, "hidden must name at most 16 layers of 1 to 8,192 units"),
        ({"ranker": {"members": 10**6}}, "members must be at most 32; got 1000000"),
        ({"training": {"negatives": 10**9}}, "negatives.*less than or equal to 10000"),
        ({"evaluation": {"draws": 10**12}}, "draws.*less than or equal to 1000000"),
        ({"device": "cuda:first"}, "or a GPU such as cuda:0; got 'cuda:first'"),
    ],
)
def test_a_slip_of_the_keyboard_does_not_ask_for_all_memory(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        Engine(EngineSettings.parse(values))
