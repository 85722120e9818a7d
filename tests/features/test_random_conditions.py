"""Conditions drawn at random: each is an error of ours or a mask, in a bounded time."""

import time

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.features.errors import DataError
from recsys.features.predicate import mask_of
from recsys.features.sql_functions import FUNCTIONS, OPERATORS
from recsys.features.sql_types import TYPES

TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c"],
        "title": ["Tea pot", None, "Äpfel\n50% off"],
        "price": [9.99, None, float("nan")],
        "stock": [3, None, -(2**63)],
        "huge": pl.Series([2**64 - 1, 0, None], dtype=pl.UInt64),
        "tags": [["x", "y"], [], None],
        "sale": [True, False, None],
        "kind": pl.Series(["toy", None, "ink"], dtype=pl.Categorical),
        "day": pl.Series(["2024-01-31", None, "0001-01-01"]).str.to_date(),
    }
)
SLOW = 5.0  # seconds

CONSTANTS = (
    *("0", "1", "-1", "2.5", "1e999", "9" * 38, "NULL", "TRUE", "''", "'a'", "'%_%'", "'(a|'"),
    *("'2024-01-31'", "DATE '9999-12-31'", "TIMESTAMP '2024-01-31 10:00'", "TIME '10:00'"),
    *("INTERVAL '1 month'", "INTERVAL '999 years'", "INTERVAL 3 DAY", "ARRAY['x', NULL]", "'nan'"),
)
LEAVES = st.sampled_from([*TABLE.columns, *CONSTANTS])
SIGNS = (
    *("+", "-", "*", "/", "//", "%", "||", "&", "|", "=", "<>", "<", ">=", "AND", "OR", "XOR"),
    *("LIKE", "NOT ILIKE", "~", "IS DISTINCT FROM", "^@", "<=>"),
)
BEHIND = (
    *(" IS NULL", " IS NOT TRUE", " IS FALSE", " IN (1, 'a', NULL)", " NOT IN ('2024-01-31')"),
    *(" BETWEEN 1 AND 'b'", "[1]", "[-1]", *(f"::{kind}" for kind in TYPES)),
)
Texts = st.SearchStrategy[str]


def _grown(inner: Texts) -> Texts:
    arguments = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(SIGNS), inner),
        st.builds("({}{})".format, inner, st.sampled_from(BEHIND)),
        st.builds("{}({})".format, st.sampled_from(sorted(FUNCTIONS)), arguments),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner),
        st.builds("CASE {} WHEN {} THEN {} END".format, inner, inner, inner),
        st.builds("{} = ANY({})".format, inner, inner),
        st.builds("{} IN ({})".format, inner, arguments),
        st.builds("TRY_CAST({} AS {})".format, inner, st.sampled_from(sorted(TYPES))),
        st.builds(lambda text, sign, times: text + sign * times, inner,
                  st.sampled_from(BEHIND), st.integers(2, 80)),
        inner.map("NOT {}".format),
    )  # fmt: skip


GRAMMATICAL = st.recursive(LEAVES, _grown, max_leaves=8)
WORDS = (*SIGNS, *OPERATORS, "(", ")", ",", "--", "/*", "*/", "'", ";")
SOUP = st.lists(st.one_of(LEAVES, st.sampled_from(WORDS), st.text(max_size=3)), max_size=12)


def _of_numbers(inner: Texts) -> Texts:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(SIGNS[:6]), inner),
        st.builds("{}({})".format, st.sampled_from(("ABS", "SQRT", "ROUND", "EXP", "-")), inner),
        st.builds("CASE WHEN {} > {} THEN {} END".format, inner, inner, inner),
        st.builds("COALESCE({}, {})".format, inner, inner),
        inner.map("CAST({}::TEXT AS FLOAT)".format),
    )


COUNTED = st.sampled_from(("price", "stock", "huge", "LENGTH(title)", *CONSTANTS[:7]))
NUMBERS = st.recursive(COUNTED, _of_numbers, max_leaves=6)
SENSIBLE = st.builds("{} {} {}".format, NUMBERS, st.sampled_from(SIGNS[9:13]), NUMBERS)


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(st.one_of(GRAMMATICAL, SENSIBLE, SOUP.map(" ".join)))
def test_a_condition_is_an_error_of_ours_or_a_mask(condition):
    began = time.process_time()
    try:
        mask = mask_of(TABLE, condition)
    except DataError:
        mask = np.zeros(len(TABLE), bool)
    assert mask.shape == (len(TABLE),)
    assert mask.dtype == bool
    assert time.process_time() - began < SLOW
