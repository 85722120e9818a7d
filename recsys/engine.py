"""The engine: fitted once, asked for lists many times, saved as a folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from recsys import __version__
from recsys.artifact import check_folder, write_folder
from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog, coverage_notes, read_catalog
from recsys.features.columns import CatalogColumns
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions
from recsys.features.sources import Source as Table
from recsys.features.threads import side_by_side
from recsys.features.text import TextEncoder
from recsys.features.vocabulary import Ids, as_ids
from recsys.fitted import Fitted, block_size
from recsys.fitting import Fitting, Progress, silent
from recsys.parts import make_ranker, make_sources
from recsys.policy import Policy
from recsys.ranking.item_statistics import ItemStatistics
from recsys.ranking.pair_features import Knowledge
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.retriever import ItemToItem
from recsys.retrieval.sources import Sources, named
from recsys.sessions import Sessions, read_sessions
from recsys.settings import EngineSettings
from recsys.tables import Asked, as_table, no_table, single_lists

KIND = "engine"
"""What the manifest of a saved engine calls it."""

_USERS_AT_ONCE = 10_000
"""Users whose lists are one table of `recommend_all`."""


class Engine:
    """A two-stage recommender: sources find candidates, a network ranks them.

    `fit` learns from a log and a catalogue; afterwards the engine is only read, and several threads
    may ask it at once.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        make_sources(self.settings), make_ranker(self.settings)  # wrong settings fail here
        self.notes: list[str] = []
        """What there was to say of the data and of the fit: rejected rows, sources left out."""
        self._fitted: Fitted | None = None

    def fit(
        self,
        interactions: Interactions | Table = None,
        catalog: Catalog | Table = None,
        *,
        data_dir: Path | None = None,
        strict: bool = False,
        quarantine: Path | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Learn from a log and a catalogue: frames, files, or what `read` made of them.

        What is not given is read from the paths in the settings. Raises DataError where the data
        cannot be used and TrainingError where training cannot go on.
        """
        log, catalog = self.read(
            interactions, catalog, data_dir=data_dir, strict=strict, quarantine=quarantine
        )
        catalog = self._embedded(catalog, progress)
        policy = Policy.of(catalog.available(), log.events, self.settings.events)
        if not policy.mask.any():
            raise DataError(f"no item may be offered: all {len(catalog):,} are unavailable")
        fitted, notes = Fitting(self.settings, catalog, policy, progress).run(log)
        self.notes += notes
        self._log, self._catalog, self._policy, self._fitted = log, catalog, policy, fitted
        return self

    def read(
        self,
        interactions: Interactions | Table = None,
        catalog: Catalog | Table = None,
        *,
        data_dir: Path | None = None,
        strict: bool = False,
        quarantine: Path | None = None,
    ) -> tuple[Interactions, Catalog]:
        """Read and validate without learning: the log, and the catalogue over the log's items."""
        if isinstance(interactions, Interactions) and isinstance(catalog, Catalog):
            return interactions, catalog
        settings = self.settings
        self.notes = []
        if not isinstance(catalog, Catalog) and (catalog is not None or settings.catalog):
            columns = settings.catalog or CatalogColumns()
            catalog, rejections = read_catalog(catalog, columns, data_dir=data_dir, strict=strict)
            self.notes += [f"catalogue: {line}" for line in rejections.lines()]
        if not isinstance(interactions, Interactions):
            interactions, rejections = read_interactions(
                interactions,
                settings.interactions,
                events=settings.events,
                items=catalog.items if isinstance(catalog, Catalog) else None,
                strict=strict,
                quarantine=quarantine,
                data_dir=data_dir,
            )
            self.notes += [f"log: {line}" for line in rejections.lines()]
        if not isinstance(catalog, Catalog):
            catalog = Catalog.empty(interactions.items)
        catalog = catalog.over(interactions.items)
        self.notes += coverage_notes(interactions, catalog)
        return interactions, catalog

    @property
    def fitted(self) -> Fitted:
        """Sources, statistics and ranker; raises DataError before `fit` or `load`."""
        if self._fitted is None:
            raise DataError("this engine has learnt nothing yet; call fit() or load() first")
        return self._fitted

    @property
    def policy(self) -> Policy:
        """What may be offered to whom."""
        return self._policy

    @property
    def log(self) -> Interactions:
        """The log that the engine was fitted on; stored users' histories come from it."""
        self.fitted  # raises before fit
        return self._log

    @property
    def users(self) -> pl.Series:
        """The ids of all users of the log."""
        self.fitted  # raises before fit
        return self._log.users.ids

    @property
    def items(self) -> pl.Series:
        """The ids of all items of the log and the catalogue."""
        self.fitted
        return self._catalog.items.ids

    def titles(self, items: Ids) -> pl.Series:
        """What to call each item (n,) before people; null where it is unknown."""
        self.fitted
        rows = pl.Series(self._catalog.items.rows(items)).replace(PAD, None)
        return self._catalog.titles().gather(rows.cast(pl.UInt32)).alias("title")

    def recommend(
        self,
        users: Ids | None = None,
        *,
        sessions: Sessions | None = None,
        k: int = 10,
        exclude: Ids = (),
    ) -> pl.DataFrame:
        """The best `k` items for users by id, or for sessions by their events.

        A row per offered item: user_id, item_id, rank (from 1), score, sources, reason, note. A note
        says what is unusual of a list: an unknown user, a list shorter than `k` and why, a failed
        source. Who is offered nothing has one row without an item. The items of `exclude` are
        offered to nobody. Raises DataError where k < 1.
        """
        asked = self._asked(users, sessions)
        return pl.concat(self._tables(asked, k, exclude))

    def recommend_all(self, *, k: int = 10, users: Ids | None = None) -> Iterator[pl.DataFrame]:
        """The lists of all users, or of those given, in blocks whose memory does not grow."""
        users = self.users if users is None else as_ids(users, "user")
        for start in range(0, len(users), _USERS_AT_ONCE):
            yield self.recommend(users[start : start + _USERS_AT_ONCE], k=k)

    def similar_items(self, items: Ids, k: int = 10, source: str | None = None) -> pl.DataFrame:
        """The `k` items that each item leads to: item_id, similar_id, rank, score.

        `source` is the source to ask, by default the first that links items. Raises DataError where
        an item is unknown or the source does not link items.
        """
        fitted = self.fitted
        _check_k(k)
        ids = as_ids(items, "item")
        rows = self._catalog.items.rows(ids)
        if (rows == PAD).any():
            raise DataError(f"unknown item {ids[int(np.argmin(rows))]!r}")
        linking = [m for m in fitted.sources.offering if isinstance(m.retriever, ItemToItem)]
        if not linking:
            raise DataError("this engine has no source that links items")
        retriever = named(linking, source or linking[0].name).retriever
        k = min(k, len(self._catalog))
        own = Allowed(self._policy.mask, np.arange(len(rows) + 1), rows)
        return single_lists(ids, retriever.similar(rows, k, own), self._catalog)

    def save(self, folder: Path | str) -> None:
        """Write all that was learnt as one folder with a manifest of hashes; see `artifact`."""
        self.fitted
        about = {"version": __version__, "name": self.settings.name}
        write_folder(Path(folder), KIND, self._write, about)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The engine that was saved; raises ArtifactError where a byte of it has changed."""
        folder = Path(folder)
        check_folder(folder, KIND)
        about = json.loads((folder / "engine.json").read_text())
        engine = cls(EngineSettings.parse(about["settings"]))
        engine._read(folder, about)
        return engine

    def _embedded(self, catalog: Catalog, progress: Progress) -> Catalog:
        """The catalogue with its text as vectors, where a source reads them."""
        if not catalog.has_text or "text" in catalog.vectors:
            return catalog
        text = self.settings.text
        encoder = TextEncoder(
            text.model, max_tokens=text.max_tokens, device=self.settings.device, cache=text.cache
        )
        vectors = encoder.embed(catalog.texts(), lambda share: progress("embedding texts", share))
        return catalog.with_vectors("text", vectors)

    def _asked(self, users: Ids | None, sessions: Sessions | None) -> Asked:
        self.fitted
        if (users is None) == (sessions is None):
            raise DataError("give either users or sessions")
        if sessions is not None:
            read = read_sessions(
                sessions, self.settings.interactions, self._log, self.settings.events
            )
            return Asked(read.ids, read.histories, read.remarks)
        ids = as_ids(users, "user")
        rows = self._log.users.rows(ids)
        unknown = pl.Series(rows == PAD)
        remark = pl.Series(["unknown user: popular items"])
        remarks = pl.select(pl.when(unknown).then(remark)).to_series()
        return Asked(ids, Histories.of(self._log, rows), remarks)

    def _tables(self, asked: Asked, k: int, exclude: Ids) -> Iterator[pl.DataFrame]:
        _check_k(k)
        fitted, policy = self.fitted, self._policy
        barred = self._catalog.items.rows(exclude)
        if len(barred):
            policy = policy.without(barred[barred != PAD])

        def lists(block: Asked) -> pl.DataFrame:
            allowed = policy.allowed(block.histories)
            ranked = fitted.rank(block.histories, allowed, k)
            return as_table(block, ranked, k, allowed.available(), fitted, self._catalog)

        yield no_table(asked.ids.dtype, self._catalog.items.ids.dtype)
        yield from side_by_side(lists, asked.blocks(block_size(len(self._catalog))))

    def _write(self, folder: Path) -> dict[str, Any]:
        fitted = self.fitted
        sources = [member.name for member in fitted.sources.members]
        about = {
            "settings": self.settings.model_dump(mode="json"),
            "notes": self.notes,
            "sources": sources,
            "has_ranker": fitted.ranker is not None,
        }
        (folder / "engine.json").write_text(json.dumps(about, indent=1))
        self._log.save(folder / "log")
        self._catalog.save(folder / "catalog")
        for member in fitted.sources.members:
            own = folder / "sources" / member.name
            own.mkdir(parents=True)
            member.retriever.save(own)
        (folder / "ranker").mkdir()
        fitted.knowledge.statistics.save(folder / "ranker")
        if fitted.ranker is not None:
            fitted.ranker.save(folder / "ranker")
        return {"users": len(self.users), "items": len(self.items)}

    def _read(self, folder: Path, about: dict[str, Any]) -> None:
        made = {member.name: member for member in make_sources(self.settings).members}
        members = tuple(made[name] for name in about["sources"])
        for member in members:
            member.retriever.load(folder / "sources" / member.name)
        sources = Sources(members)
        self.notes = about["notes"]
        self._log = Interactions.load(folder / "log")
        self._catalog = Catalog.load(folder / "catalog").over(self._log.items)
        available = self._catalog.available()
        self._policy = Policy.of(available, self._log.events, self.settings.events)
        statistics = ItemStatistics.load(folder / "ranker")
        ranker = make_ranker(self.settings).load(folder / "ranker") if about["has_ranker"] else None
        knowledge = Knowledge.of(sources.retrievers, statistics, self._catalog)
        self._fitted = Fitted(sources, knowledge, ranker)


def _check_k(k: int) -> None:
    if k < 1:
        raise DataError(f"k must be at least 1; got {k}")
