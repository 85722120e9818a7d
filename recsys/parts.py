"""The parts of an engine, made from its settings."""

from dataclasses import replace
from typing import Any

from recsys.adaptation import DEPTH
from recsys.features.errors import SettingsError
from recsys.features.settings import nearest
from recsys.ranking.grades import TIED
from recsys.ranking.neural import NeuralRanker
from recsys.retrieval.again import Again
from recsys.retrieval.als import Als
from recsys.retrieval.bpr import Bpr
from recsys.retrieval.content import Content
from recsys.retrieval.covisit import CoVisit
from recsys.retrieval.ease import Ease
from recsys.retrieval.fusion import Fusion
from recsys.retrieval.graph_filter import GraphFilter
from recsys.retrieval.knn import Basket, ItemKnn
from recsys.retrieval.lightfm import LightFm
from recsys.retrieval.popular import Popular
from recsys.retrieval.sequence import Sequence
from recsys.retrieval.sources import Source, Sources
from recsys.retrieval.tagged import Tagged
from recsys.retrieval.text_tuning import TextTuning
from recsys.retrieval.trending import Trending
from recsys.settings import AUTO, DEFAULT_SOURCES, EngineSettings, Table, built, source_tables

KINDS: dict[str, Any] = {
    "again": Again,
    "als": Als,
    "basket": Basket,
    "bpr": Bpr,
    "content": Content,
    "covisit": CoVisit,
    "ease": Ease,
    "graph-filter": GraphFilter,
    "knn": ItemKnn,
    "lightfm": LightFm,
    "popular": Popular,
    "sequence": Sequence,
    "tagged": Tagged,
    "trending": Trending,
}
"""The retrievers, by what settings call them."""

_OURS = ("kind", "depth", "use")
"""What a table says of a source that is no argument of its constructor."""

_MOST_DEPTH = 100_000
"""Candidates of one source for one user: more is no retrieval, and asks for the memory of it."""

_SHARED = ("seed", "device")
"""Settings of the engine that every part has unless it has its own."""


def check_parts(settings: EngineSettings) -> None:
    """Raise SettingsError where a part cannot be made of its table, or the fusion names a source
    that settings turn off."""
    make_ranker(settings), make_text_tuning(settings)
    off = {*DEFAULT_SOURCES, *settings.sources} - source_tables(settings).keys()
    for name in sorted(make_sources(settings).fusion.sources & off):
        raise SettingsError(f"fusion names source {name!r}, which sources.{name}.use turns off")


def make_sources(settings: EngineSettings) -> Sources:
    """New sources, nothing learnt yet; raises SettingsError on a wrong table."""
    tables = source_tables(settings)
    members = tuple(_source(name, table, settings) for name, table in tables.items())
    return Sources(members, make_fusion(settings))


def make_fusion(settings: EngineSettings) -> Fusion:
    """How sources are fused; raises SettingsError on a wrong table or a source that offers none."""
    fusion = built(Fusion, settings.fusion, "fusion")
    named = [*DEFAULT_SOURCES, *settings.sources]  # also those that the data has no use for
    silent = {name for name, table in source_tables(settings).items() if table["depth"] == 0}
    offering = [name for name in dict.fromkeys(named) if name not in silent]
    for name in sorted(fusion.sources - set(offering)):
        raise SettingsError(f"unknown source {name!r} in fusion; {nearest(name, offering)}")
    return fusion


def make_ranker(settings: EngineSettings) -> NeuralRanker:
    """A new ranker, nothing learnt yet; raises SettingsError on a wrong table."""
    ranker = built(NeuralRanker, _with_shared(NeuralRanker, settings.ranker, settings), "ranker")
    known = [name for name, event in settings.events.items() if not event.impression]
    for name in ranker.event_weights:
        if not set(name.split(TIED)) <= set(known):
            raise SettingsError(
                f"unknown event {name!r} in ranker.event_weights; {nearest(name, known)}"
            )
    return ranker


def make_text_tuning(settings: EngineSettings) -> TextTuning | None:
    """How the text model is tuned, None where it stays; raises SettingsError on a wrong table."""
    if settings.text.tuning is None:
        return None
    return built(TextTuning, {"seed": settings.seed, **settings.text.tuning}, "text.tuning")


def _source(name: str, table: Table, settings: EngineSettings) -> Source:
    where = f"sources.{name}"
    arguments = {key: value for key, value in table.items() if key not in _OURS}
    kind, depth = table["kind"], table["depth"]
    if kind not in KINDS:
        raise SettingsError(f"unknown kind {kind!r} of {where}; {nearest(str(kind), KINDS)}")
    if depth == AUTO:
        depth = DEPTH
    is_count = isinstance(depth, int) and not isinstance(depth, bool)
    if not is_count or not 0 <= depth <= _MOST_DEPTH:
        raise SettingsError(
            f"setting '{where}.depth' must be between 0 and {_MOST_DEPTH:,}, or auto; got {depth!r}"
        )
    make = KINDS[kind]
    arguments = {"name": name, **_with_shared(make, arguments, settings)}
    retriever = built(make, arguments, where, _OURS)
    if isinstance(retriever, Content):
        if depth and retriever.index is None:
            raise SettingsError(f"setting '{where}.index' is None, and depth {depth} needs one")
        retriever = retriever if depth else replace(retriever, index=None)  # nobody searches it
    return Source(retriever, depth)


def _with_shared(make: Any, arguments: Table, settings: EngineSettings) -> Table:
    shared = {key: getattr(settings, key) for key in _SHARED}
    own = {key: value for key, value in shared.items() if key in make.__dataclass_fields__}
    return {**own, **arguments}
