"""What is known of each item: texts, categories, numbers, tags, vectors, price and stock."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from recsys.features import npz, parquet
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError
from recsys.features.interactions import Interactions
from recsys.features.missing import missing_notes
from recsys.features.outputs import check_file
from recsys.features.predicate import Predicate, mask_of
from recsys.features.rejections import LEFT_OUT, Rejections, is_missing, reason_code
from recsys.features.schema import NO_SIZES, ArraySchema, Sizes, floats
from recsys.features.sources import Source, collected, left_out, opened
from recsys.features.stored import exists, read_json, reading
from recsys.features.stored_catalog import AboutCatalog, check_frame
from recsys.features.values import (
    Tags,
    as_flags,
    as_numbers,
    as_text,
    coded_flags,
    coded_tags,
    codes_of,
    frozen,
    vectors_of,
)
from recsys.features.vocabulary import Vocabulary

Answer = TypeVar("Answer")

DUPLICATE = "duplicate item"
_REASON, _COUNT = "__reason", "__count"  # names that no column of a catalogue has


def _once(method: Callable[["Catalog"], Answer]) -> Callable[["Catalog"], Answer]:
    """Compute the answer of a method without arguments at the first call, and keep it."""

    @wraps(method)
    def answer(self: "Catalog") -> Answer:
        kept: dict[str, Answer] = self.__dict__.setdefault("_answers", {})
        if method.__name__ not in kept:
            kept[method.__name__] = method(self)
        return kept[method.__name__]

    return answer


@dataclass(frozen=True)
class Catalog:
    """Typed columns of items; row i of everything belongs to row i of `items`."""

    items: Vocabulary
    frame: pl.DataFrame  # (items, mapped columns), nulls where an item is not in the catalogue
    columns: CatalogColumns
    vectors: Mapping[str, Floats]  # each (items, d), a zero row where an item has none
    known: Mask  # (items,) is the item in the catalogue?

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def empty(cls, items: Vocabulary) -> "Catalog":
        """A catalogue that knows nothing of these items."""
        known = frozen(np.zeros(len(items), np.bool_))
        return cls(items, pl.DataFrame(), CatalogColumns(), {}, known)

    @property
    def has_text(self) -> bool:
        """Does any item have a text?"""
        return bool((self.texts() != "").any())

    @_once
    def texts(self) -> pl.Series:
        """(items,) the text columns of each item joined by ". ", "" where it has none."""
        if not self.columns.text:
            return pl.repeat("", len(self), dtype=pl.String, eager=True).alias("text")
        parts = [as_text(self.frame[name]) for name in self.columns.text]
        return pl.select(
            pl.concat_str([pl.lit(part) for part in parts], separator=". ", ignore_nulls=True)
            .fill_null("")
            .alias("text")
        ).to_series()

    @_once
    def titles(self) -> pl.Series:
        """(items,) what to call each item before people: its title, else its id."""
        ids = self.items.ids.cast(pl.String).alias("title")
        shown = self.columns.shown
        if shown is None:
            return ids
        titles = as_text(self.frame[shown])
        return titles.zip_with(titles.is_not_null(), ids).alias("title")

    def categories(self) -> Mapping[str, Rows]:
        """Per category column (items,) codes, PAD where it is missing; see `labels`."""
        return {name: codes for name, (codes, _) in self._coded().items()}

    def labels(self) -> Mapping[str, pl.Series]:
        """Per category column the value that each code stands for."""
        return {name: labels for name, (_, labels) in self._coded().items()}

    @_once
    def numbers(self) -> Mapping[str, Floats]:
        """Per number column (items,) float32, NaN where it is missing."""
        return {name: as_numbers(self.frame[name]) for name in self.columns.number}

    @_once
    def tags(self) -> Mapping[str, Tags]:
        """Per column of tags the offsets (items + 1,), the flat codes and the labels."""
        separator = self.columns.tag_separator
        listed = {name: coded_tags(self.frame[name], separator) for name in self.columns.tags}
        flags = {
            name: coded_flags(self.frame.select(columns))
            for name, columns in self.columns.flags.items()
        }
        return listed | flags

    @_once
    def price(self) -> Floats | None:
        """(items,) float32, NaN where it is missing; None where no column is mapped."""
        name = self.columns.price
        return None if name is None else as_numbers(self.frame[name])

    @_once
    def available(self) -> Mask:
        """(items,) may the item be offered? True where nothing is said."""
        name = self.columns.available
        if name is None:
            return frozen(np.ones(len(self), np.bool_))
        return frozen(as_flags(self.frame[name]).fill_null(True).to_numpy().copy())

    @_once
    def unlisted(self) -> Mask:
        """(items,) is it offered to nobody as the catalogue has no row of it? None are without a
        catalogue, or where `offer_unlisted` lets them be offered."""
        if self.columns.offer_unlisted or not self.known.any():
            return frozen(np.zeros(len(self), np.bool_))
        return frozen(~self.known)

    @_once
    def offered(self) -> Mask:
        """(items,) may the item be offered: is it in the catalogue, and available?"""
        return frozen(self.available() & ~self.unlisted())

    def mask(self, predicate: Predicate) -> Mask:
        """(items,) where the predicate holds, over the id and the mapped columns of each item.

        A polars expression, or SQL such as "price < 20 AND category = 'toys'". An item of which it
        cannot be said is left out. Raises DataError where it cannot be read or names no column.
        """
        ids = self.items.ids.alias(self.columns.item)
        frame = self.frame.with_columns(ids) if self.frame.width else ids.to_frame()
        return frozen(mask_of(frame, predicate))

    @_once
    def variants(self) -> Rows | None:
        """(items,) the group of each item, PAD where it has none; None without the column."""
        name = self.columns.variant
        return None if name is None else codes_of(self.frame[name])[0]

    def over(self, items: Vocabulary) -> "Catalog":
        """The same over a vocabulary that extends ours; new items are unknown here.

        Raises DataError where `items` lacks one of our items.
        """
        rows = self.items.in_type_of(items).rows(items.ids)
        held = np.flatnonzero(rows != PAD)
        if len(held) != len(self):
            raise DataError(
                f"a catalogue of {len(self):,} items can be read over a vocabulary that holds "
                f"them all; this one holds {len(held):,} of them"
            )
        source = pl.Series(rows).replace(PAD, None).cast(pl.UInt32)
        frame = self.frame.select(pl.all().gather(source))
        vectors = {name: _aligned(each, rows) for name, each in self.vectors.items()}
        known = frozen(_aligned(self.known, rows))
        return replace(self, items=items, frame=frame, vectors=vectors, known=known)

    def with_vectors(self, name: str, vectors: Floats) -> "Catalog":
        """The same with `vectors` (items, d) under `name`; raises DataError on a wrong shape."""
        if vectors.ndim != 2 or len(vectors) != len(self):
            raise DataError(
                f"vectors {name!r} must be of shape ({len(self)}, d), a row per item; "
                f"got {vectors.shape}"
            )
        own = frozen(np.array(vectors, np.float32, order="C"))
        return replace(self, vectors={**self.vectors, name: own})

    def save(self, folder: Path) -> None:
        """Write the catalogue into `folder` as Parquet, npz and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.items.save(folder / "items.parquet")
        if self.frame.width:
            self.frame.write_parquet(folder / "columns.parquet")
        arrays = {f"vector_{i}": each for i, each in enumerate(self.vectors.values())}
        npz.write(folder / "arrays.npz", known=self.known, **arrays)
        about = {"columns": self.columns.model_dump(mode="json"), "vectors": list(self.vectors)}
        (folder / "catalog.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path, sizes: Sizes = NO_SIZES) -> "Catalog":
        """The catalogue that was saved; `sizes` tell how many items it has, where known.

        Raises ArtifactError where a file is damaged or does not fit the others.
        """
        about = read_json(folder / "catalog.json", AboutCatalog)
        with reading(folder / "catalog.json"):
            columns = CatalogColumns.parse(about.columns)
        items = Vocabulary.load(folder / "items.parquet", "item", sizes.get("items"))
        schemas = {"known": ArraySchema("bool", ("items",))}
        for i in range(len(about.vectors)):
            schemas[f"vector_{i}"] = floats("items", f"numbers {i}")
        known, *vectors = npz.read(folder / "arrays.npz", schemas, {"items": len(items)})
        path = folder / "columns.parquet"
        frame = (
            parquet.read(path, len(items), is_distinct=False) if exists(path) else pl.DataFrame()
        )
        check_frame(path, frame, columns, about.vectors)
        named = zip(about.vectors, map(frozen, vectors), strict=True)
        return cls(items, frame, columns, dict(named), frozen(known))

    @_once
    def _coded(self) -> Mapping[str, tuple[Rows, pl.Series]]:
        return {name: codes_of(self.frame[name]) for name in self.columns.category}


def read_catalog(
    source: Source,
    columns: CatalogColumns,
    *,
    data_dir: Path | None = None,
    strict: bool = False,
    quarantine: Path | None = None,
) -> tuple[Catalog, Rejections]:
    """Read and validate a catalogue; its items are in the sorted order of their ids.

    Where an item has several rows `columns.keep` says which one counts. A value that cannot be
    used becomes null and is noted: the row stays. Raises DataError on a missing column, a catalogue
    without items, vectors of differing lengths, and in strict mode on any rejected row.
    """
    if quarantine is not None:
        check_file(quarantine, "quarantine")
    rows = opened(source, columns, data_dir)
    tests = _tests(rows.typed, columns)
    chosen = rows.typed.select(*columns.mapped, reason_code(tests).alias(_REASON))
    read = collected(chosen, columns)
    passed = read.filter(pl.col(_REASON) == 0).drop(_REASON)
    taken = _taken(passed[columns.item], columns)
    rejections = Rejections.of(read[_REASON], taken, tests, DUPLICATE, rows.raw)
    if quarantine is not None:
        rejections.write(quarantine)
    if not len(passed):
        raise DataError(
            f"no row of the catalogue is left: {rejections.read:,} read, "
            f"rejected: {rejections.summary()}"
        )
    if strict:
        rejections.raise_if_any()
    catalog, notes = _catalog_of(_one_row_each(passed[taken], columns), columns)
    counts = np.ones(len(catalog), np.int64)
    notes += missing_notes(catalog.items, counts, "rows are of", columns)
    if len(taken) > len(catalog):
        notes.append(f"{len(taken):,} rows are merged into {len(catalog):,} items")
    return catalog, rejections.noting(*rows.notes, *notes)


def _tests(rows: pl.LazyFrame, columns: CatalogColumns) -> Mapping[str, pl.Expr]:
    condition = left_out(columns, rows)
    first = {} if condition is None else {LEFT_OUT: condition}
    kind = rows.collect_schema()[columns.item]
    return {**first, "null item id": is_missing(columns.item, kind)}


def _taken(ids: pl.Series, columns: CatalogColumns) -> Array:
    """Which rows count, ascending: one of each item, or all where they are to be merged."""
    if columns.keep == "most_common":
        return np.arange(len(ids))
    wins = ids.is_first_distinct() if columns.keep == "first" else ids.is_last_distinct()
    return np.flatnonzero(wins.to_numpy())


def _one_row_each(rows: pl.DataFrame, columns: CatalogColumns) -> pl.DataFrame:
    """One row per item, sorted by id; of several rows the most common value of each column."""
    item = columns.item
    single = rows.select(item).unique().sort(item)
    if len(single) == len(rows):
        return rows.sort(item)
    for name in [name for name in rows.columns if name != item]:
        values = rows.select(item, name).drop_nulls(name)
        if not values.schema[name].is_nested():  # lists cannot be counted: the last one wins
            counted = values.group_by(item, name, maintain_order=True).agg(pl.len().alias(_COUNT))
            values = counted.sort(_COUNT, maintain_order=True, descending=True).reverse()
        values = values.unique(item, keep="last").select(item, name)
        single = single.join(values, on=item, how="left", maintain_order="left")
    return single


def _catalog_of(rows: pl.DataFrame, columns: CatalogColumns) -> tuple[Catalog, list[str]]:
    """The catalogue of one row per item, and a note on values that cannot be used."""
    ids = rows[columns.item].alias("id")
    vectors = {name: vectors_of(rows[name], ids) for name in columns.vector}
    frame = rows.select(name for name in columns.described if name not in vectors)
    notes = []
    for name in columns.number:
        if strange := _strange(frame, name, least=-np.inf):
            notes.append(f"number {name!r}: {strange:,} values are not finite and count as missing")
    if columns.price is not None and (strange := _strange(frame, columns.price, least=0.0)):
        notes.append(f"price: {strange:,} values are not finite or negative and count as missing")
    frame = frame.with_columns(_usable(columns, frame.schema))
    known = frozen(np.ones(len(ids), np.bool_))
    catalog = Catalog(Vocabulary(ids, "item"), frame, columns, vectors, known)
    catalog.available()  # says now, not later, which word is neither yes nor no
    return catalog, notes


def _strange(frame: pl.DataFrame, name: str, least: float) -> int:
    """How many values that are given are no finite float32 from `least` on."""
    numbers = as_numbers(frame[name])
    return int((~(numbers >= least) & frame[name].is_not_null().to_numpy()).sum())


def _usable(columns: CatalogColumns, schema: pl.Schema) -> Iterator[pl.Expr]:
    """Prices and numbers as they came, null where they count as missing."""
    names = dict.fromkeys([*columns.number, *([columns.price] if columns.price else [])])
    for name in names:
        if not schema[name].is_float():
            continue
        value, is_price = pl.col(name), name == columns.price
        usable = value.cast(pl.Float32, strict=False).is_finite() & ((value >= 0) | (not is_price))
        yield pl.when(usable).then(value).alias(name)


def coverage_notes(log: Interactions, catalog: Catalog) -> list[str]:
    """How many items the log and the catalogue do not share; `catalog` is over the log's items."""
    seen = log.item_counts > 0
    unknown = int((seen & ~catalog.known).sum())
    unseen = int((~seen & catalog.known).sum())
    notes = []
    if unknown and catalog.known.any():
        notes.append(_of_unlisted(log, catalog, unknown))
    if unseen:
        notes.append(f"{unseen:,} items of the catalogue are not in the log")
    return notes


def _of_unlisted(log: Interactions, catalog: Catalog, unknown: int) -> str:
    """What becomes of the items of the log that are not in the catalogue."""
    counts = log.item_counts
    share = counts[~catalog.known].sum() / max(1, counts.sum())
    said = f"{unknown:,} items of the log are not in the catalogue ({share:.1%} of its events)"
    if catalog.columns.offer_unlisted:
        return f"{said} and are offered all the same, by catalog.offer_unlisted"
    said += " and are not offered; catalog.offer_unlisted = true offers them"
    return said if counts[catalog.known].any() else f"{said}. It has none at all: do ids agree?"


def _aligned(values: Array, rows: Rows) -> Array:
    """values[rows], zero where the row is PAD."""
    taken = np.zeros((len(rows), *values.shape[1:]), values.dtype)
    taken[rows != PAD] = values[rows[rows != PAD]]
    return frozen(taken)
