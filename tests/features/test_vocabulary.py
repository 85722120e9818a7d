import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.features.errors import DataError
from recsys.features.vocabulary import Vocabulary

INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


def test_rows_are_the_sorted_order_of_the_distinct_ids():
    vocabulary = Vocabulary.of(["pear", "apple", "pear", None], "item")
    assert vocabulary.ids.to_list() == ["apple", "pear"]
    assert vocabulary.rows(["pear", "plum", "apple", None]).tolist() == [1, PAD, 0, PAD]


@pytest.mark.parametrize("width", INTEGERS)
def test_integers_of_any_width_come_back_as_they_came(width):
    vocabulary = Vocabulary.of(pl.Series([7, 3, 120], dtype=width), "user")
    assert vocabulary.ids.dtype == width
    assert vocabulary.ids_at(vocabulary.rows([120, 7])).to_list() == [120, 7]


def test_an_integer_too_large_for_the_width_is_unknown():
    vocabulary = Vocabulary.of(pl.Series([1, 2], dtype=pl.Int8))
    assert vocabulary.rows([300, 2]).tolist() == [PAD, 1]


def test_pad_has_no_id():
    assert Vocabulary.of(["a"]).ids_at(np.array([0, PAD], np.int32)).to_list() == ["a", None]


def test_leading_zeros_are_part_of_an_id():
    vocabulary = Vocabulary.of(["00123", "123"])
    assert vocabulary.rows(["123", "00123"]).tolist() == [1, 0]


def test_categories_are_read_as_text():
    asked = pl.Series(["b", "a"]).cast(pl.Categorical(pl.Categories.random()))
    assert Vocabulary.of(["a", "b"]).rows(asked).tolist() == [1, 0]


def test_an_extension_keeps_the_rows_and_adds_the_new_ids_sorted():
    extended = Vocabulary.of(["b", "d"]).extended(["d", "c", "a", None, "c"])
    assert extended.ids.to_list() == ["b", "d", "a", "c"]


def test_an_extension_by_wider_integers_widens():
    extended = Vocabulary.of(pl.Series([1], dtype=pl.Int32)).extended(
        pl.Series([2**40], dtype=pl.Int64)
    )
    assert extended.ids.to_list() == [1, 2**40]


def test_signed_and_unsigned_ids_meet_without_loss():
    large = 2**64 - 1
    extended = Vocabulary.of(pl.Series([-1], dtype=pl.Int64)).extended(
        pl.Series([large], dtype=pl.UInt64)
    )
    assert extended.ids.to_list() == ["-1", str(large)], (
        "no integer that others can read holds both"
    )
    small = Vocabulary.of(pl.Series([5], dtype=pl.UInt64)).extended(pl.Series([-1]))
    assert (small.ids.dtype, small.ids.to_list()) == (pl.Int64, [5, -1])


def test_an_extension_of_nothing_is_the_vocabulary_of_the_rest():
    assert Vocabulary.of([], "item").extended(["b", "a"]).ids.to_list() == ["a", "b"]


def test_an_empty_vocabulary_knows_nothing():
    assert Vocabulary.of([]).rows(["a"]).tolist() == [PAD]
    assert Vocabulary.of(["a"]).rows([]).tolist() == []


@pytest.mark.parametrize(
    "ids",
    [
        [1, "a"],
        [1.5],
        [True],
        np.array([1, "a"], dtype=object),
        pl.Series([1, "a"], dtype=pl.Object),
    ],
)
def test_mixed_and_foreign_types_are_refused(ids):
    with pytest.raises(DataError, match="user ids must be"):
        Vocabulary.of(ids, "user")


def test_asking_for_integers_among_strings_is_an_error_that_shows_the_value():
    with pytest.raises(DataError, match=r"item ids .* String; got Int64 \(first: 5\)"):
        Vocabulary.of(["a"], "item").rows([5])


def test_text_and_integers_meet_as_text():
    assert Vocabulary.of(["a"], "item").extended([5]).ids.to_list() == ["a", "5"]
    assert Vocabulary.of([5], "item").extended(["a", "5"]).ids.to_list() == ["5", "a"]


def test_saved_and_loaded_it_is_the_same(tmp_path):
    vocabulary = Vocabulary.of(pl.Series([5, 2], dtype=pl.UInt16), "user")
    vocabulary.save(tmp_path / "users.parquet")
    loaded = Vocabulary.load(tmp_path / "users.parquet", "user")
    assert loaded.ids.equals(vocabulary.ids)
    assert loaded.ids.dtype == pl.UInt16


def test_many_ids_are_looked_up_as_few_are():
    vocabulary = Vocabulary.of([f"i{n}" for n in range(50)])
    asked = [f"i{n % 70}" for n in range(5_000)] + [None]
    few = [vocabulary.rows(asked[start : start + 1_000]) for start in range(0, 5_001, 1_000)]
    assert vocabulary.rows(asked).tolist() == np.concatenate(few).tolist()


def test_a_few_ids_and_many_get_the_same_rows():
    vocabulary = Vocabulary.of(["b", "a", "ü", "𝄞", "z", "", "ab"])
    asked = ["𝄞", None, "ü", "aa", "~", "", "b"] * 10
    alone = [int(vocabulary.rows(pl.Series([one], dtype=pl.String))[0]) for one in asked]
    assert vocabulary.rows(asked).tolist() == alone


ids = st.one_of(
    st.lists(st.text(), min_size=1),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
)


@given(ids)
def test_every_id_makes_the_round_trip(known):
    vocabulary = Vocabulary.of(known)
    rows = vocabulary.rows(known)
    assert vocabulary.ids_at(rows).to_list() == known
    assert len(vocabulary) == len(set(known)) == len(set(rows.tolist()))


@given(ids, st.data())
def test_known_rows_survive_an_extension(known, data):
    more = data.draw(st.lists(st.sampled_from(known) | st.from_type(type(known[0]))).filter(small))
    vocabulary = Vocabulary.of(known)
    extended = vocabulary.extended(pl.Series(more, dtype=vocabulary.ids.dtype))
    assert extended.rows(known).tolist() == vocabulary.rows(known).tolist()
    assert set(extended.ids.to_list()) == {*known, *more}


def small(values):
    return all(isinstance(value, str) or abs(value) < 2**63 for value in values)
