"""Requests drawn at random: each is answered or refused by an error of ours, in bounded time."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from resource import RUSAGE_SELF, getrusage
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recsys.engine import Engine
from recsys.features.errors import RecsysError

MOST_SECONDS, MOST_GIGABYTES = 30, 1  # a guard against hangs; what a request takes is in benchmarks

USERS = (
    "u00001",
    "u00002",
    "u00149",
    "nobody",
    "",
    "\x00",
    "\ud800",
    None,
    7,
    2**70,
    1.5,
    b"u00001",
)
ITEMS = ("sku-00001", "sku-00002", "sku-00079", "gone", "", None, 3, float("nan"), ["sku-00001"])
NUMBERS = (0, 1, 2, 7, 100, 10**9, 10**30, -1, True, None, "3", 2.0, float("nan"), np.int64(4))
CONDITIONS = (
    None, "price < 20", "price > 1e308", "category = 'ink' OR price IS NULL", "1 = 1", "1 = 0",
    "nope = 1", "price", "price IN (SELECT 1)", "LPAD(title, 2000000000) = 'x'", "", "\x00", 7,
    "title LIKE '" + "%a" * 50 + "'", "NOT " * 5_000 + "TRUE", pl.col("price") < 20, pl.col("nope"),
    pl.lit(None), pl.col("title") + 1, pl.col("price").sum(),
)  # fmt: skip
EVENTS = ("view", "purchase", "cart", "rating", "nope", "", None, 1)
TIMES = (None, 0, -1, 1.7e9, 2**62, datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01", "soon")
FINALS: tuple[Any, ...] = (
    {}, {"rules": [{"kind": "block", "where": "price < 20"}]}, {"diversity": {"method": "mmr"}},
    {"rules": [{"kind": "pin", "items": ["sku-00003"], "place": 9}]}, {"exploration": {"slots": 3}},
    {"rules": [{"kind": "cap", "column": "nope", "most": 1}]}, {"rules": 7}, None, [],
)  # fmt: skip

SHAPES: tuple[Callable[[list[Any]], Any], ...] = (
    list, tuple, iter, lambda each: each[0] if each else None,
    lambda each: np.array(each, dtype=object), lambda each: pd.Series(each, dtype=object),
    lambda each: pl.Series([x for x in each if isinstance(x, str) and x != "\ud800"]),
    lambda each: pa.array([x for x in each if isinstance(x, str) and x != "\ud800"]),
    lambda each: {x: 1 for x in each if isinstance(x, str)},
)  # fmt: skip


def _several(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    listed = st.lists(st.sampled_from(values), max_size=5)
    return st.tuples(st.sampled_from(SHAPES), listed).map(lambda drawn: drawn[0](drawn[1]))


def _visits() -> st.SearchStrategy[Any]:
    """Sessions: item ids by name, or a frame of events of several libraries."""
    named = st.dictionaries(st.sampled_from([u for u in USERS if u != "\ud800"]), _several(ITEMS))
    row = st.fixed_dictionaries(
        {"user_id": st.sampled_from(USERS), "item_id": st.sampled_from(ITEMS[:5])},
        optional={"event": st.sampled_from(EVENTS), "time": st.sampled_from(TIMES)},
    )
    frame = st.lists(row, max_size=4).map(lambda rows: pd.DataFrame(rows, dtype=object))
    return st.one_of(named, frame, st.sampled_from([None, [], "u00001", 7]))


REQUESTS = st.one_of(
    st.tuples(
        st.just("recommend"),
        st.fixed_dictionaries(
            {},
            optional={
                "users": _several(USERS),
                "sessions": _visits(),
                "since": _visits(),
                "k": st.sampled_from(NUMBERS),
                "exclude": _several(ITEMS),
                "where": st.sampled_from(CONDITIONS),
                "probabilities": st.booleans(),
                "by_value": st.sampled_from([None, "price", "title", "nope", "", 7]),
            },
        ),
    ),
    st.tuples(
        st.just("explain"),
        st.fixed_dictionaries(
            {},
            optional={
                "user": st.sampled_from(USERS),
                "sessions": _visits(),
                "since": _visits(),
                "k": st.sampled_from(NUMBERS),
                "items": _several(ITEMS),
                "where": st.sampled_from(CONDITIONS),
            },
        ),
    ),
    st.tuples(
        st.just("similar_items"),
        st.fixed_dictionaries(
            {"items": _several(ITEMS)},
            optional={"k": st.sampled_from(NUMBERS), "source": st.sampled_from([None, "als", ""])},
        ),
    ),
    st.tuples(st.just("titles"), st.fixed_dictionaries({"items": _several(ITEMS)})),
    st.tuples(st.just("with_final"), st.fixed_dictionaries({"final": st.sampled_from(FINALS)})),
)


@pytest.fixture(scope="module")
def warm(engine: Engine) -> Engine:
    """The engine with all kernels compiled, so that what is timed is a request."""
    engine.warm_up()
    return engine


@settings(max_examples=1_000, suppress_health_check=list(HealthCheck), deadline=None)
@given(REQUESTS)
@example(("explain", {"user": "u00001", "k": 10**9}))
@example(("recommend", {"users": ["u00001"] * 3, "k": 10**9}))
def test_a_thousand_requests_are_answered_or_refused(
    warm: Engine, asked: tuple[str, dict[str, Any]]
) -> None:
    method, arguments = asked
    began, peak = process_time(), getrusage(RUSAGE_SELF).ru_maxrss
    with suppress(RecsysError):
        answer = getattr(warm, method)(**arguments)
        assert answer is not None
    assert process_time() - began < MOST_SECONDS
    assert getrusage(RUSAGE_SELF).ru_maxrss - peak < MOST_GIGABYTES << 20
