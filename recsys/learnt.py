"""All that an engine has after a fit, and how it lies in a folder."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from recsys.adaptation import adapted
from recsys.features.catalog import Catalog
from recsys.features.interactions import Interactions
from recsys.final import Final
from recsys.fitted import Fitted, shown_once
from recsys.parts import make_ranker, make_sources
from recsys.policy import Policy
from recsys.ranking.day_features import Told
from recsys.ranking.pair_features import Knowledge
from recsys.retrieval.mixture import Mixture
from recsys.retrieval.sources import Sources
from recsys.rules import Rules
from recsys.settings import EngineSettings

_ABOUT = "engine.json"


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
        policy = Policy.of(catalog.available(), log.events, settings.events)
        final = Final.of(settings.final, rules, catalog, fitted.variants)
        own = replace(fitted, final=final)
        return replace(self, policy=rules.narrowed(policy), fitted=own), rules.notes

    @classmethod
    def load(cls, folder: Path) -> tuple[Self, EngineSettings, list[str]]:
        """What was saved, its settings and its notes."""
        about = json.loads((folder / _ABOUT).read_text())
        settings = EngineSettings.parse(about["settings"])
        log = Interactions.load(folder / "log")
        catalog = Catalog.load(folder / "catalog").over(log.items)
        policy = Policy.of(catalog.available(), log.events, settings.events)
        unfitted = make_sources(adapted(settings, log, catalog)[0])
        made = {member.name: member for member in unfitted.members}
        mixture = None if about["mixture"] is None else Mixture.of(about["mixture"])
        members = tuple(made[name] for name in about["sources"])
        sources = Sources(members, unfitted.fusion, mixture)
        for member in sources.members:
            member.retriever.load(folder / "sources" / member.name)
        knowledge = Knowledge.of(sources.retrievers, log, catalog, Told.of(log))
        ranker = make_ranker(settings).load(folder / "ranker") if about["has_ranker"] else None
        variants = shown_once(catalog, sources.fusion)
        fitted = Fitted(sources, knowledge, ranker, variants, leader=about["leader"])
        learnt = cls(log, catalog, policy, fitted)
        return learnt.with_final(settings)[0], settings, about["notes"]
