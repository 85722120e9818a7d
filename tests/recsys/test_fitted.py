"""What a block is ranked by is made once, and at the same time as that of other blocks."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, cast

import numpy as np

from recsys.fitted import Fitted, Pairs

NAMES = ("a feature",)


class Meeting:
    """Makes features where two threads do so at once, and fails where one waits for the other."""

    def __init__(self) -> None:
        self.barrier = Barrier(2, timeout=20)

    def features(self, *_: object) -> tuple[Any, tuple[str, ...]]:
        self.barrier.wait()
        return np.zeros((1, 1, 1), np.float32), NAMES


def test_no_block_waits_for_the_features_of_another() -> None:
    fitted, nobody = cast(Fitted, Meeting()), cast(Any, None)
    pairs = [Pairs(fitted, nobody, nobody) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda each: each.features, pairs))
    assert [names for _, names in made] == [NAMES, NAMES]
    assert all(each.features is own for each, own in zip(pairs, made, strict=True))
