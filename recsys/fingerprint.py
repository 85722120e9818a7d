"""SHA-256 fingerprints of a log and of a catalogue: equal data, equal fingerprint."""

import hashlib
from typing import Any

import numpy as np
import polars as pl

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Rows
from recsys.features.catalog import Catalog
from recsys.features.dislikes import Dislikes
from recsys.features.interactions import Interactions
from recsys.features.vocabulary import Vocabulary

_FORMAT = 1
"""Goes into every fingerprint: one of another recipe never equals one of this."""


def of_log(log: Interactions) -> str:
    """The fingerprint of a log as it was read: ids, order, events, times, weights, places.

    The file's format does not matter, nor the catalogue that the log was read with: items are
    counted among those that have an event.
    """
    digest = _Digest("log", log.clock, len(log))
    users, _ = _used(log.users, log.counts)
    digest.series(log.users.ids.gather(users))
    digest.array(log.counts[users])
    items, place = _used(log.items, log.item_counts)
    digest.series(log.items.ids.gather(items))
    digest.array(place[log.item_rows])
    _add_events(digest, log)
    digest.array(log.times)
    digest.array(log.weights)
    if log.positions is not None:
        digest.array(log.positions)
    if log.shown is not None:
        for array in (log.shown.until, log.shown.places, log.shown.counts):
            digest.array(array)
    if log.dislikes is not None and len(log.dislikes):
        _add_dislikes(digest, log, log.dislikes)
    return digest.hex()


def of_catalog(catalog: Catalog) -> str:
    """The fingerprint of what a catalogue says of the items that stand in it.

    It is taken of what the engine reads there: a column of another type that reads alike is alike.
    Vectors that were computed from the catalogue's texts are not part of it.
    """
    rows = np.flatnonzero(catalog.known)
    rows = rows[catalog.items.ids.gather(rows).arg_sort().to_numpy()]
    digest = _Digest("catalogue", len(rows))
    for series in (catalog.items.ids, catalog.texts(), catalog.titles()):
        digest.series(series.gather(rows))
    digest.array(catalog.available()[rows])
    _add_columns(digest, catalog, rows)
    _add_labelled(digest, catalog, rows)
    return digest.hex()


def described(log: Interactions, catalog: Catalog) -> dict[str, Any]:
    """Fingerprints of both, and their counts, for JSON."""
    counts = np.bincount(log.event_codes, minlength=len(log.events))
    return {
        "log": {
            "sha256": of_log(log),
            "users": int((log.counts > 0).sum()),
            "items": int((log.item_counts > 0).sum()),
            "interactions": len(log),
            "events": {name: int(n) for name, n in zip(log.events, counts, strict=True) if n},
            "clock": log.clock,
        },
        "catalogue": {"sha256": of_catalog(catalog), "items": int(catalog.known.sum())},
    }


class _Digest:
    """A running hash in which every part says first of what kind and how long it is."""

    def __init__(self, *head: object) -> None:
        self._hash = hashlib.sha256()
        self.words("recsys", *map(str, (_FORMAT, *head)))

    def words(self, *words: str) -> None:
        """Short texts."""
        for word in words:
            self._add("word", word.encode())

    def array(self, array: Array) -> None:
        """Type, shape and values; the bytes are little-endian on every machine."""
        own = np.ascontiguousarray(array)
        own = own.astype(own.dtype.newbyteorder("<"), copy=False)
        self._add(f"array {own.dtype.str} {own.shape}", own.reshape(-1).view(np.uint8).data)

    def series(self, series: pl.Series) -> None:
        """Ids or texts; integers of any width are alike, text and integers are not."""
        self.array(series.is_null().to_numpy())
        if series.dtype.is_integer():
            self.array(series.fill_null(0).cast(pl.Int64, wrap_numerical=True).to_numpy())
            return
        text = series.cast(pl.String).fill_null("")
        self.array(text.str.len_bytes().to_numpy())
        self._add("text", memoryview(text.rechunk().to_arrow().buffers()[2]))

    def hex(self) -> str:
        """What all parts come to."""
        return self._hash.hexdigest()

    def _add(self, kind: str, content: bytes | memoryview) -> None:
        self._hash.update(f"{kind} {len(content)}\n".encode())
        self._hash.update(content)


def _used(vocabulary: Vocabulary, counts: Array) -> tuple[Array, Rows]:
    """Rows that occur, in the order of their ids; and the place of each row among them."""
    used = np.flatnonzero(counts)
    used = used[vocabulary.ids.gather(used).arg_sort().to_numpy()]
    place = np.full(len(vocabulary), PAD, np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return used, place


def _add_events(digest: _Digest, log: Interactions) -> None:
    """Names of the events that occur, sorted, and the place of each event's name among them."""
    occur = np.bincount(log.event_codes, minlength=len(log.events)) > 0
    names = sorted(name for name, seen in zip(log.events, occur, strict=True) if seen)
    place = np.array([names.index(n) if n in names else 0 for n in log.events], np.uint8)
    digest.words(*names)
    digest.array(place[log.event_codes])


def _add_dislikes(digest: _Digest, log: Interactions, dislikes: Dislikes) -> None:
    """Who said no to what, and when, by their ids."""
    users, items = (log.users.ids.gather(dislikes.owners), log.items.ids.gather(dislikes.items))
    told = pl.DataFrame({"user": users, "item": items, "time": dislikes.times})
    told = told.sort("user", "time", "item")
    digest.words("dislikes")
    digest.series(told["user"])
    digest.series(told["item"])
    digest.array(told["time"].to_numpy())


def _add_columns(digest: _Digest, catalog: Catalog, rows: Array) -> None:
    """Numbers, price, variants and the vectors that the catalogue came with."""
    columns: dict[str, Array] = {
        f"number {name}": values for name, values in catalog.numbers().items()
    }
    columns |= {f"vector {name}": catalog.vectors[name] for name in catalog.columns.vector}
    price, variants = catalog.price(), catalog.variants()
    columns |= {} if price is None else {"price": price}
    columns |= {} if variants is None else {"variant": variants}
    for name, values in columns.items():
        digest.words(name)
        digest.array(values[rows])


def _add_labelled(digest: _Digest, catalog: Catalog, rows: Array) -> None:
    """Categories and tags."""
    for name, codes in catalog.categories().items():
        digest.words(f"category {name}")
        digest.series(catalog.labels()[name])
        digest.array(codes[rows])
    for name, (offsets, codes, labels) in catalog.tags().items():
        own, flat = ragged.gather(offsets, rows)
        digest.words(f"tags {name}")
        digest.series(labels)
        digest.array(own)
        digest.array(codes[flat])
