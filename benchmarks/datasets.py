"""The public data sets of the benchmarks: where they come from, under which terms, and which."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import originals
from recsys.engine import Engine
from recsys.evaluation.protocols import read_test
from recsys.features import ragged
from recsys.features.arrays import Array
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.interactions import Interactions
from recsys.settings import EngineSettings

CONFIGS = Path(__file__).parent / "configs"

Convert = Callable[[Path, Path], None]
"""(folder of the original files, folder for the tables)."""


@dataclass(frozen=True)
class Original:
    """A file as its makers publish it."""

    address: str
    md5: str = ""  # as stated in public; "" where nobody does

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


@dataclass(frozen=True)
class DataSet:
    """A public data set; its figures hold for the log with this fingerprint and no other."""

    name: str
    page: str
    terms: str
    citation: str
    fingerprint: str
    originals: tuple[Original, ...] = ()  # none where a login is needed
    convert: Convert | None = None
    by_hand: str = ""  # what to do, and what is not known, where there is no `convert`
    renamed: bool = False  # do our tables have other ids of items than the original?

    @property
    def settings(self) -> EngineSettings:
        return EngineSettings.from_toml(CONFIGS / f"{self.name}.toml")

    def load(self, data_dir: Path) -> tuple[Interactions, Catalog, Interactions | None]:
        """The log, the catalogue and the other half of a given split.

        Raises DataError where the log is not the one that the figures are of.
        """
        settings = self.settings
        log, catalog = Engine(settings).read(data_dir=data_dir)
        test = read_test(settings, data_dir)
        self.check(log, test)
        return log, catalog, test

    def check(self, log: Interactions, test: Interactions | None) -> None:
        """Raise DataError where this is not the data that the figures are of."""
        logs = [log] if test is None else [log, test]
        own = fingerprint(logs, item_ids=not self.renamed)
        if own != self.fingerprint:
            raise DataError(
                f"{self.name} is not the data set of the published figures: its fingerprint is "
                f"{own}, expected {self.fingerprint}"
            )


def fingerprint(logs: Sequence[Interactions], item_ids: bool = True) -> str:
    """SHA-256 of who had what in which order, and when where there is a clock.

    Events at one time are in the order that the ids draw (`features/ties.py`), not the file's.

    Users go in the order of their ids as text, each one's events in their order. Items are
    numbered as they appear; without `item_ids` two logs that differ in names of items are alike.
    The format of the files, the types of the ids and the catalogue do not matter.
    """
    digest = hashlib.sha256()
    for log in logs:
        names = log.users.ids.cast(pl.String)
        order = names.arg_sort().to_numpy()
        offsets, flat = ragged.gather(log.offsets, order)
        numbers, first = _numbered(log.item_rows[flat])
        _add_texts(digest, names.gather(order))
        _add(digest, np.diff(offsets), numbers)
        if item_ids:
            _add_texts(digest, log.items.ids.cast(pl.String).gather(first))
        used, codes = np.unique(log.event_codes[flat], return_inverse=True)
        _add_texts(digest, pl.Series([log.events[code] for code in used]))
        # Thousandths of weights, as logarithms differ in the last digit between machines.
        _add(digest, codes, np.rint(log.weights[flat] * 1000))
        if log.clock == "time":
            _add(digest, log.times[flat])
    return digest.hexdigest()


def _numbered(items: Array) -> tuple[Array, Array]:
    """Each item (n,) as its number in the order of first appearance; the item of each number."""
    distinct, first, place = np.unique(items, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[place], distinct[order]


def _add(digest: "hashlib._Hash", *arrays: Array) -> None:
    for array in arrays:
        digest.update(array.astype("<i8").tobytes())


def _add_texts(digest: "hashlib._Hash", texts: pl.Series) -> None:
    digest.update("\n".join(texts.to_list()).encode() + b"\0")


_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_LIGHTGCN = "https://raw.githubusercontent.com/kuandeng/LightGCN/master/Data/gowalla"
_S3REC = "https://raw.githubusercontent.com/RUCAIBox/CIKM2020-S3Rec/master/data"
_MOVIELENS_TERMS = "research only, no redistribution (README of the data set)"
_MOVIELENS = "Harper & Konstan 2015, The MovieLens Datasets: History and Context, ACM TiiS 5(4)"

_ALL = (
    DataSet(
        name="ml-100k",
        page="https://grouplens.org/datasets/movielens/100k/",
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        fingerprint="63b9e95101a14bbc1841cb2ecddba3e2371715eab6239efe34ea8616e5201d62",
        originals=(Original(f"{_GROUPLENS}/ml-100k.zip", "0e33842e24a9c977be4e0107933c0723"),),
        convert=originals.ml_100k,
    ),
    DataSet(
        name="ml-1m",
        page="https://grouplens.org/datasets/movielens/1m/",
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS,
        fingerprint="11ecb7fa48bab8fab5787826ff64cb265c2b73053220fcc9cadad4be30356006",
        originals=(Original(f"{_GROUPLENS}/ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906"),),
        convert=originals.ml_1m,
    ),
    DataSet(
        name="amazon-beauty",
        page="https://github.com/RUCAIBox/CIKM2020-S3Rec",
        terms="research (Amazon reviews, J. McAuley)",
        citation="McAuley et al. 2015, SIGIR; prepared by Zhou et al. 2020, S3-Rec, CIKM",
        fingerprint="f0c3c9f4b6b080069cbad7407d330ee500576f34e5e21add00c6152442c55904",
        originals=(
            Original(f"{_S3REC}/Beauty.txt"),
            Original(f"{_S3REC}/Beauty_item2attributes.json"),
        ),
        convert=originals.amazon_beauty,
        renamed=True,
    ),
    DataSet(
        name="gowalla",
        page="https://github.com/kuandeng/LightGCN",
        terms="research (SNAP loc-gowalla)",
        citation="Cho, Myers & Leskovec 2011, KDD; split of He et al. 2020, LightGCN, SIGIR",
        fingerprint="e8e31a1afbe09eb3a68f2addeca24cdd6d393d0c8c7ce13f6160a56b60364bc4",
        originals=(  # checksums as RecZoo states them; that of test.txt is that of our table too
            Original(f"{_LIGHTGCN}/train.txt", "5eec1eb2edb8dd648377d348b8e136cf"),
            Original(f"{_LIGHTGCN}/test.txt", "c04e2c4bcd2389f53ed8281816166149"),
        ),
        convert=originals.gowalla,
    ),
    DataSet(
        name="online-retail",
        page="https://archive.ics.uci.edu/dataset/502/online+retail+ii",
        terms="CC BY 4.0",
        citation="Chen 2012, Online Retail II, UCI Machine Learning Repository, 10.24432/C5CG6D",
        fingerprint="fc7143cd0ba3dff799c9ef7819d34519332ea11a47961c0c02a3011a24d00015",
        originals=(Original("https://archive.ics.uci.edu/static/public/502/online+retail+ii.zip"),),
        convert=originals.online_retail,
    ),
    DataSet(
        name="retailrocket",
        page="https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
        terms="CC BY-NC-SA 4.0",
        citation="RetailRocket 2016, Retailrocket recommender system dataset, Kaggle",
        fingerprint="05be5acf2098f4f63b30e5016a60590a5e16b1f6a8f92440b33318c7a2615e8f",
        by_hand="events.csv is behind a login (kaggle.com), and it alone is not enough: the tables "
        "here hold 2,174 users, 30,113 items and 97,381 events of it with new ids, and one "
        "purchase held out of each user. How those users were chosen is not known, so nothing "
        "converts the original: put train.parquet and test.parquet there by hand",
    ),
)

SETS: Mapping[str, DataSet] = {each.name: each for each in _ALL}
"""By name."""


def data_set(name: str) -> DataSet:
    """The data set of this name; raises SettingsError."""
    if name not in SETS:
        raise SettingsError(f"unknown data set {name!r}; known are {', '.join(SETS)}")
    return SETS[name]
