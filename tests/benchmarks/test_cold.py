"""Cold items are hidden whole, and asked for where somebody first had one."""

import numpy as np

from benchmarks.cold import LEAST, PARTS, cold_items, fold_of
from tests.worlds import log_of


def test_folds_share_no_item_and_leave_none_out() -> None:
    often = [list(range(20))] * LEAST
    log = log_of(*often, [20], items=22)
    folds = np.stack([cold_items(log, number) for number in range(PARTS)])
    assert folds.sum(axis=0).tolist() == [1] * 20 + [0, 0]  # rare items are never asked for


def test_a_fold_hides_cold_items_and_all_that_came_after_the_first_of_them() -> None:
    log = log_of([0, 1, 2, 3, 2], [2, 0], [0, 1], items=4)
    fold = fold_of(log, np.array([False, False, True, False]))
    assert (fold.known.item_rows != 2).all()
    assert len(fold.known) == len(log) - 3
    assert fold.histories.users.tolist() == [0]  # the second user had nothing before it
    assert fold.histories.items.tolist() == [0, 1]
    assert fold.chosen.items.tolist() == [2]
