"""Variants: of each product a list shows its first."""

import numpy as np

from recsys.features.arrays import PAD
from recsys.retrieval.variants import Variants
from tests.worlds import leaving_out

GROUPS = np.array([0, 0, 1, PAD, 1, 0, PAD], np.int32)


def test_the_first_of_each_product_by_hand() -> None:
    variants = Variants.of(GROUPS)
    assert variants is not None
    items = np.array([[5, 3, 0, 2, 6, 4, PAD], [4, 2, 1, 5, PAD, PAD, PAD]], np.int32)
    assert variants.first_of_each(items).tolist() == [
        [True, True, False, True, True, False, False],
        [True, False, True, False, False, False, False],
    ]


def test_no_answer_depends_on_the_rest_of_the_batch() -> None:
    variants = Variants(GROUPS)
    items = np.array([np.random.default_rng(n).permutation(7) for n in range(90)], np.int32)
    together = variants.first_of_each(items)
    for query in range(90):
        alone = variants.first_of_each(items[query : query + 1])
        np.testing.assert_array_equal(together[query : query + 1], alone)


def test_where_no_product_has_two_there_is_nothing_to_do() -> None:
    assert Variants.of(None) is None
    assert Variants.of(np.array([0, 1, PAD, PAD], np.int32)) is None


def test_products_that_are_left_are_counted() -> None:
    # products are {0, 1, 5}, {2, 4}, 3 and 6; item 4 is out of stock
    allowed = leaving_out(
        [], [2], [0, 1], [0, 1, 5], [2, 3, 4, 6], items=7, mask=[True] * 4 + [False, True, True]
    )
    variants = Variants.of(GROUPS)
    assert variants is not None
    assert variants.available(allowed).tolist() == [4, 3, 4, 3, 1]
