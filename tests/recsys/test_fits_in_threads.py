"""Two fits in two threads learn what each learns alone, to the bit."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl

from recsys.engine import Engine
from tests.shops import SOURCES, quick_settings, small_shop

SETTINGS = quick_settings(
    sources={**SOURCES, "sequence": {"use": True, "depth": 20, "epochs": 1}, "bpr": {"kind": "bpr"}}
)


def lists(_: int = 0) -> pl.DataFrame:
    shop = small_shop()
    engine = Engine(SETTINGS).fit(shop.events, shop.items)
    assert engine.learnt.fitted.ranker is not None
    return engine.recommend(engine.users, k=5)


def test_fits_in_threads_equal_fits_one_after_the_other() -> None:
    alone = lists()
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lists, range(2)))
    assert [each.equals(alone) for each in together] == [True, True]
