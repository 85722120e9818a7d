"""All that an engine has after a fit, and how it lies in a folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import Field, FiniteFloat, model_validator

from recsys.adaptation import adapted
from recsys.features.catalog import Catalog
from recsys.features.errors import ArtifactError, SettingsError
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, Sizes
from recsys.features.settings import nearest
from recsys.features.stored import Stored, read_json, reading
from recsys.final import Final
from recsys.fitted import FUSED, Fitted, shown_once
from recsys.parts import make_ranker, make_sources
from recsys.policy import Policy
from recsys.ranking.day_features import Told
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.pair_features import Knowledge, feature_names
from recsys.retrieval.mixture import Mixture
from recsys.retrieval.sources import Sources
from recsys.rules import Rules
from recsys.settings import EngineSettings

_ABOUT = "engine.json"

_Weight = Annotated[FiniteFloat, Field(ge=0)]


@dataclass(frozen=True)
class Learnt:
    """Data, policy and both stages, of one moment."""

    log: Interactions
    catalog: Catalog  # over the items of the log
    policy: Policy
    fitted: Fitted

    def save(self, folder: Path, settings: EngineSettings, notes: list[str]) -> dict[str, Any]:
        """Write into an existing folder; returns what its manifest should say of it."""
        fitted = self.fitted
        about = {
            "settings": settings.model_dump(mode="json"),
            "notes": notes,
            "sources": [member.name for member in fitted.sources.members],
            "has_ranker": fitted.ranker is not None,
            "leader": fitted.leader,
            "mixture": None if fitted.sources.mixture is None else fitted.sources.mixture.told(),
        }
        (folder / _ABOUT).write_text(json.dumps(about, indent=1))
        self.log.save(folder / "log")
        self.catalog.save(folder / "catalog")
        for member in fitted.sources.members:
            own = folder / "sources" / member.name
            own.mkdir(parents=True)
            member.retriever.save(own)
        (folder / "ranker").mkdir()
        if fitted.ranker is not None:
            fitted.ranker.save(folder / "ranker")
        return {"users": len(self.log.users), "items": len(self.catalog)}

    def with_final(self, settings: EngineSettings) -> tuple[Self, tuple[str, ...]]:
        """The same under the rules of these settings, and what there is to say of them.

        Raises SettingsError where they contradict or do not suit the catalogue, and DataError where
        they leave no item to offer.
        """
        log, catalog, fitted = self.log, self.catalog, self.fitted
        rules = Rules.of(settings.final.rules, catalog, log)
        policy = _policy(catalog, log, settings)
        final = Final.of(settings.final, rules, catalog, fitted.variants)
        own = replace(fitted, final=final)
        return replace(self, policy=rules.narrowed(policy), fitted=own), rules.notes

    @classmethod
    def load(
        cls, folder: Path, manifest: Mapping[str, Any] | None = None
    ) -> tuple[Self, EngineSettings, list[str]]:
        """What was saved, its settings and its notes.

        A manifest tells how many users and items there are, before a table of them is read. Raises
        ArtifactError that names the file which is not what was saved, or does not fit the others.
        """
        about = read_json(folder / _ABOUT, _About)
        with reading(folder / _ABOUT):
            settings = EngineSettings.parse(about.settings)
        log = Interactions.load(folder / "log", _told(folder, manifest))
        catalog = _catalog(folder / "catalog", log)
        with reading(folder / "catalog"):
            policy = _policy(catalog, log, settings)
        with reading(folder / _ABOUT):
            sources = _sources(about, settings, log, catalog)
        sizes = {"users": len(log.users), "items": len(log.items), "events": len(log.events)}
        for member in sources.members:
            own = folder / "sources" / member.name
            with reading(own):
                member.retriever.load(own, sizes)
        with reading(folder):
            knowledge = Knowledge.of(sources.retrievers, log.of_interest(), catalog, Told.of(log))
        ranker = _ranker(folder / "ranker", settings, knowledge) if about.has_ranker else None
        with reading(folder / _ABOUT):
            variants = shown_once(catalog, sources.fusion)
            fitted = Fitted(sources, knowledge, ranker, variants, leader=about.leader)
            learnt = cls(log, catalog, policy, fitted)
            return learnt.with_final(settings)[0], settings, list(about.notes)


class _About(Stored):
    """What `engine.json` says."""

    settings: dict[str, Any]
    notes: tuple[str, ...]
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    has_ranker: bool
    leader: str | None
    mixture: dict[str, tuple[_Weight, _Weight, _Weight]] | None

    @model_validator(mode="after")
    def _sources_are_named(self) -> Self:
        if len(set(self.sources)) != len(self.sources):
            raise ValueError(f"sources must be named once; got {list(self.sources)}")
        if self.leader not in (None, FUSED, *self.sources):
            raise ValueError(f"leader must be one of the sources; got {self.leader!r}")
        if odd := sorted((self.mixture or {}).keys() - set(self.sources)):
            raise ValueError(f"mixture names what is no source: {odd[:5]}")
        return self


def _told(folder: Path, manifest: Mapping[str, Any] | None) -> Sizes:
    """How many users and items the manifest says that there are; nothing without one."""
    if manifest is None:
        return NO_SIZES
    sizes = {name: manifest.get(name) for name in ("users", "items")}
    for name, size in sizes.items():
        if type(size) is not int or size < 0:
            raise ArtifactError(f"{folder}: its manifest must say how many {name}; got {size!r}")
    return cast("Sizes", sizes)


def _catalog(folder: Path, log: Interactions) -> Catalog:
    """The catalogue, which is over the items of the log."""
    catalog = Catalog.load(folder, {"items": len(log.items)})
    if not catalog.items.ids.equals(log.items.ids, check_dtypes=True):
        raise ArtifactError(f"{folder / 'items.parquet'} and the log have other items")
    catalog = replace(catalog, items=log.items)
    with reading(folder / "columns.parquet"):  # what of each column is asked for later is kept
        catalog.texts(), catalog.titles(), catalog.labels(), catalog.numbers()
        catalog.tags(), catalog.price(), catalog.available(), catalog.variants()
    return catalog


def _sources(
    about: _About, settings: EngineSettings, log: Interactions, catalog: Catalog
) -> Sources:
    """The sources that were saved, nothing read yet; raises SettingsError of an unknown one."""
    unfitted = make_sources(adapted(settings, log, catalog)[0])
    made = {member.name: member for member in unfitted.members}
    for name in about.sources:
        if name not in made:
            raise SettingsError(f"unknown source {name!r}; {nearest(name, made)}")
    mixture = None if about.mixture is None else Mixture.of(about.mixture)
    members = tuple(made[name] for name in about.sources)
    if not any(member.depth for member in members):
        raise SettingsError(f"none of the sources {list(about.sources)} offers candidates")
    return Sources(members, unfitted.fusion, mixture)


def _ranker(folder: Path, settings: EngineSettings, knowledge: Knowledge) -> NeuralRanker:
    """The ranker, which reads the features that sources and catalogue give."""
    with reading(folder):
        ranker = make_ranker(settings).load(folder)
    if ranker.names_ != feature_names(knowledge):
        odd = sorted(set(ranker.names_) ^ set(feature_names(knowledge)))
        raise ArtifactError(
            f"{folder / 'ranker.json'}: the ranker reads other features than the sources and the "
            f"catalogue give; they differ in {odd[:5] or 'their order'}"
        )
    return ranker


def _policy(catalog: Catalog, log: Interactions, settings: EngineSettings) -> Policy:
    rated = settings.interactions.rating is not None
    return Policy.of(catalog.offered(), log.events, settings.events, catalog.variants(), rated)
