from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.columns import LogColumns
from recsys.features.errors import DataError
from recsys.features.reading import read_interactions
from recsys.features.rejections import Rejections, reason_code

NOW = datetime(2020, 1, 10, tzinfo=UTC)
COLUMNS = LogColumns(
    time="time", event="event", weight="weight", quantity="quantity", where="shop <> 'test'"
)
NAN, INF = float("nan"), float("inf")
# One row for each reason, in the order of testing, then two good rows and one that is there twice.
ROWS = [
    ("u", "i", "2020-01-01", "view", 1.0, 1, "test", "left out by where"),
    (None, "i", "2020-01-01", "view", 1.0, 1, "main", "null user id"),
    ("", None, "2020-01-01", "view", 1.0, 1, "main", "null user id"),
    ("u", None, "2020-01-01", "view", 1.0, 1, "main", "null item id"),
    ("u", "i", "someday", "view", 1.0, 1, "main", "unparsable time"),
    ("u", "i", None, "view", 1.0, 1, "main", "unparsable time"),
    ("u", "i", "2020-02-01", "view", 1.0, 1, "main", "time in the future"),
    ("u", "i", "2020-01-01", "wish", 1.0, 1, "main", "unknown event"),
    ("u", "i", "2020-01-01", None, 1.0, 1, "main", "unknown event"),
    ("u", "i", "2020-01-01", "view", NAN, 1, "main", "weight not finite"),
    ("u", "i", "2020-01-01", "view", INF, 1, "main", "weight not finite"),
    ("u", "i", "2020-01-01", "view", None, 1, "main", "weight not finite"),
    ("u", "i", "2020-01-01", "view", -1.0, 1, "main", "negative weight"),
    ("u", "i", "2020-01-01", "view", 0.0, 1, "main", "weight is zero"),
    ("u", "i", "2020-01-01", "view", 1.0, None, "main", "quantity not finite"),
    ("u", "i", "2020-01-01", "view", 1.0, -2, "main", "negative quantity"),
    ("u", "i", "2020-01-01", "view", 1.0, 0, "main", "quantity is zero"),
    ("u", "i", "2020-01-01", "view", 1.0, 1, "main", None),
    ("u", "i", "2020-01-01", "view", 1.0, 2, "main", None),
    ("u", "i", "2020-01-01", "view", 1.0, 1, "main", "duplicate"),
]
NAMES = ["user_id", "item_id", "time", "event", "weight", "quantity", "shop", "expected"]
LOG = pl.DataFrame(ROWS, schema=NAMES, orient="row")
EXPECTED = LOG.filter(pl.col("expected").is_not_null())


@pytest.fixture(scope="module")
def rejections():
    return read_interactions(LOG, COLUMNS, now=NOW)[1]


def test_every_rejected_row_has_the_first_reason_that_applies(rejections):
    assert rejections.frame["reason"].to_list() == EXPECTED["expected"].to_list()


def test_rejected_rows_come_as_they_were(rejections):
    assert rejections.frame.drop("row", "reason").equals(EXPECTED)
    assert rejections.frame["row"].to_list() == [n for n in range(20) if n not in (17, 18)]


def test_the_counts_add_up(rejections):
    assert rejections.read == 20
    assert rejections.kept == 2
    assert sum(rejections.counts.values()) == 18
    assert list(rejections.counts) == EXPECTED["expected"].unique(maintain_order=True).to_list()
    assert rejections.counts["unparsable time"] == 2


def test_what_is_printed(rejections):
    lines = str(rejections).splitlines()
    assert lines[0] == "20 rows read, 2 kept, 18 rejected"
    assert lines[1] == "  1 left out by where"
    assert "time: text in ISO 8601, 2020-01-01 00:00 to 2020-01-01 00:00 UTC" in lines
    assert any(line.startswith("unknown events: 'wish' (1); known are view") for line in lines)


def test_the_quarantine_holds_the_rejected_rows(tmp_path, rejections):
    path = tmp_path / "rejected.parquet"
    read_interactions(LOG, COLUMNS, now=NOW, quarantine=path)
    assert pl.read_parquet(path).equals(rejections.frame)
    assert [file.name for file in tmp_path.iterdir()] == ["rejected.parquet"]


def test_strict_mode_raises_with_the_counts_after_the_quarantine_is_written(tmp_path):
    path = tmp_path / "rejected.parquet"
    with pytest.raises(DataError, match="strict: 17 of 20 rows are rejected: 2 null user id"):
        read_interactions(LOG, COLUMNS, now=NOW, strict=True, quarantine=path)
    assert path.exists()


def test_strict_mode_does_not_mind_what_where_leaves_out():
    good = LOG.filter(pl.col("expected").is_null() | (pl.col("shop") == "test"))
    log, rejections = read_interactions(good, COLUMNS, now=NOW, strict=True)
    assert len(log) == 2
    assert rejections.counts == {"left out by where": 1}


def test_nothing_rejected():
    good = LOG.filter(pl.col("expected").is_null())
    _, rejections = read_interactions(good, COLUMNS, now=NOW)
    assert rejections.counts == {}
    assert rejections.summary() == "none"
    assert len(rejections.frame) == 0
    rejections.raise_if_any()


def test_columns_named_row_and_reason_are_left_alone():
    log = pl.DataFrame(
        {"user_id": ["a", None], "item_id": ["x", "y"], "row": [5, 6], "reason": "r"}
    )
    _, rejections = read_interactions(log)
    assert rejections.frame.to_dicts() == [
        {
            "rejected_row": 1,
            "user_id": None,
            "item_id": "y",
            "row": 6,
            "reason": "r",
            "rejected_reason": "null user id",
        }
    ]


def test_the_callers_frame_is_not_edited(tmp_path):
    untouched = LOG.clone()
    read_interactions(LOG, COLUMNS, now=NOW, quarantine=tmp_path / "rejected.parquet")
    assert LOG.equals(untouched)


@given(st.lists(st.integers(0, 7), min_size=1), st.data())
def test_kept_and_rejected_are_all_rows(values, data):
    rows = pl.DataFrame({"n": values})
    tests = {"odd": pl.col("n") % 2 == 1, "large": pl.col("n") > 4}
    code = rows.select(reason_code(tests)).to_series()
    passed = [n for n in values if n % 2 == 0 and n <= 4]
    taken = data.draw(
        st.lists(st.sampled_from(range(len(passed))), unique=True) if passed else st.just([])
    )
    rejections = Rejections.of(code, np.array(taken, np.int64), tests, "again", rows.lazy())
    assert rejections.kept == len(taken)
    assert rejections.counts.get("odd", 0) == sum(n % 2 for n in values)
    assert rejections.counts.get("large", 0) == values.count(6)
    assert rejections.counts.get("again", 0) == len(passed) - len(taken)
