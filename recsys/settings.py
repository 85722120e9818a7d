"""Everything that can be set about an engine, from Python or TOML."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from recsys.features.columns import DEFAULT_EVENTS, CatalogColumns, EventType, LogColumns
from recsys.features.device import check
from recsys.features.errors import SettingsError
from recsys.features.outputs import shortened
from recsys.features.settings import Settings, nearest
from recsys.features.small_files import SETTINGS_BYTES, parse_toml, read_small
from recsys.final_settings import FinalSettings
from recsys.limits import Limits

Built = TypeVar("Built")

Table = dict[str, Any]
"""A table of TOML: the arguments of a constructor."""

AUTO = "auto"
"""What leaves to the data whether a source is used, or how deep it is asked; see `adaptation`."""

DEFAULT_SOURCES: Mapping[str, Table] = {
    "next": {"kind": "covisit"},
    "wide": {"kind": "covisit", "window": 20, "backward": 1.0},
    "als": {"kind": "als"},
    "content": {"kind": "content"},
    "tagged": {"kind": "tagged"},
    "near": {"kind": "ease", "neighbours": 100, "most_bytes": 1 << 28, "most_pairs": 1 << 28},
    "sequence": {"kind": "sequence"},
    "popular": {"kind": "popular", "depth": 20},
    "follow": {"kind": "covisit", "depth": 0, "window": 1, "backward": 0.0},
    "before": {"kind": "covisit", "depth": 0, "forward": 0.0, "backward": 1.0},
}
"""The sources of an engine unless settings change them; with a depth of 0 they only give scores.
Whether one of them is used is left to the data where settings do not say."""


RESERVED = ("two-stage", "fused")
"""What evaluation calls the lists of all sources together; no source has such a name."""

OWN = "own history"
"""What it calls the list of what a user had most often; a source's name has no space."""


class TextSettings(Settings):
    """How the catalogue's text becomes vectors."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A name of the hub, or a folder with a transformers model."""
    max_tokens: int = Field(default=64, ge=3, le=100_000)
    cache: Path | None = None
    """Where vectors are kept between runs; by default the user's cache folder."""
    tuning: Table | None = None
    """Arguments of retrieval/text_tuning.py: each fit then tunes the model on what was had
    together. {} are its defaults; None leaves the model as it came."""


class TrainingSettings(Settings):
    """What the ranker learns from."""

    holdout: Literal["auto", "time", "last"] = "auto"
    """What is held out to learn from: the newest stretches of time, or each user's last items.
    "auto" takes time where the log has a clock and enough happened in its newest stretches."""
    moments: int = Field(default=2, ge=1, le=100)
    """How many cutoffs, one before the other; the sources are fitted at each, the oldest first."""
    stretch: float = Field(default=0.08, gt=0, lt=0.5)
    """The share of the events between two cutoffs in time."""
    negatives: int = Field(default=100, ge=1, le=10_000)
    """Candidates per list that were not chosen."""
    most_lists: int = Field(default=40_000, ge=1, le=100_000_000)
    """Users drawn for training, over all cutoffs. Their lists cost disk in the folder that TMPDIR
    names, and memory where that is a tmpfs, as /tmp is on some systems."""
    least_positives: int = Field(default=200, ge=2)
    """With fewer lists that have a chosen candidate there is no ranker: lists are fused by rank."""
    most_place_weight: float = Field(default=10.0, ge=1, le=1e6)
    """A choice counts for more the less its place in a list is looked at, up to so many times; with
    1 places count for nothing. It needs impressions with positions in the log."""
    refit: bool = True
    """With false the sources are not fitted on everything once the ranker has learnt: those of the
    newest moment serve, which do not know what came after it. `benchmarks.refit` measures both."""

    @model_validator(mode="after")
    def _some_past_is_left(self) -> Self:
        if self.moments * self.stretch >= 1:
            raise ValueError(
                f"moments x stretch must be below 1; got {self.moments} x {self.stretch}"
            )
        return self


OF_PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "share": ("time", "walk-forward"),
    "date": ("time",),
    "windows": ("walk-forward",),
    "fold_users": ("fold-in",),
    "fold_share": ("fold-in",),
}
"""The settings of an evaluation that only some protocols use, and which."""


class EvaluationSettings(Settings):
    """How an engine is put to the test."""

    protocol: Literal["last-item", "time", "walk-forward", "given", "fold-in"] = "last-item"
    k: int = Field(default=10, ge=1, le=10_000)
    at: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = (5, 20)
    """Other lengths of lists that metrics are reported at, beside k."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Of the events, the newest, that are the future in the protocol "time"; in "walk-forward" of
    each window."""
    windows: int = Field(default=3, ge=1, le=1_000)
    """Stretches of time that "walk-forward" foretells, one after the other."""
    fold_users: float = Field(default=0.1, gt=0, lt=1)
    """The share of the users that "fold-in" holds out."""
    fold_share: float = Field(default=0.8, gt=0, lt=1)
    """Of their events, those that are their history; the rest is to be found."""
    test: LogColumns | None = None
    """The other half of the split of "given": a path and its columns."""
    date: str | None = None
    """The cutoff instead of a share, such as "2010-11-01"."""
    targets: tuple[str, ...] = ()
    """Events that count as success; all of them by default."""
    draws: int = Field(default=1000, ge=1, le=1_000_000)
    """Of the bootstrap over users that intervals come from."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of these draws and of the users that are held out; that of the engine may vary beside it."""

    @model_validator(mode="after")
    def _the_protocol_uses_them(self) -> Self:
        for name in sorted(self.model_fields_set & OF_PROTOCOLS.keys()):
            value, protocols = getattr(self, name), OF_PROTOCOLS[name]
            is_default = value == type(self).model_fields[name].default  # as saved settings have it
            if self.protocol not in protocols and not is_default:
                raise ValueError(
                    f"the protocol {self.protocol!r} does not use evaluation.{name} = {value!r}; "
                    f"of protocols {' and '.join(map(repr, protocols))} do"
                )
        return self


class TrackingSettings(Settings):
    """Where `recsys fit` and `recsys evaluate` keep what they did; see `recsys.tracking`."""

    use: bool = True
    """With false no run is kept anywhere."""
    folder: Path = Path("runs")
    """The folder of run folders; every run adds one."""
    tensorboard: bool | Literal["auto"] = "auto"
    """Event files in the run folder; "auto" writes them where tensorboard is installed."""
    mlflow: str | None = None
    """A tracking URI, such as "http://127.0.0.1:5000"."""
    mlflow_experiment: str | None = None
    """By default the name of the engine."""
    wandb: str | None = None
    """A project of Weights & Biases."""
    wandb_mode: Literal["online", "offline"] = "online"
    """With "offline" it writes into the run folder alone; `wandb sync` sends it later."""

    @model_validator(mode="after")
    def _no_password_is_kept(self) -> Self:
        if self.mlflow is not None and "@" in urlsplit(self.mlflow).netloc:
            raise ValueError(
                "tracking.mlflow must name no user: settings are written to files; set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )
        return self


class EngineSettings(Settings):
    """All settings of an engine; each has a default that works."""

    name: str = "engine"
    interactions: LogColumns = Field(default_factory=LogColumns)
    catalog: CatalogColumns | None = None
    events: dict[str, EventType] = Field(default_factory=lambda: dict(DEFAULT_EVENTS))
    text: TextSettings = Field(default_factory=TextSettings)
    sources: dict[str, Table] = Field(default_factory=dict)
    """By name: arguments of the source, `kind`, `depth` and `use`. They are laid over
    DEFAULT_SOURCES; what is "auto" is decided by the data."""
    fusion: Table = Field(default_factory=dict)
    """Arguments of retrieval/fusion.py: how the lists of all sources become one."""
    ranker: Table = Field(default_factory=dict)
    final: FinalSettings = Field(default_factory=FinalSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    limits: Limits = Field(default_factory=Limits)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: str = "auto"

    @model_validator(mode="after")
    def _device_is_known(self) -> Self:
        try:
            check(self.device)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _sources_can_be_made(self) -> Self:
        try:
            source_tables(self)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return self

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Settings from a file; raises SettingsError that names the file and the key."""
        settings = cls.unchecked(path)
        check_parts_in(path, settings)
        return settings

    @classmethod
    def unchecked(cls, path: Path) -> Self:
        """As `from_toml`, with tables of parts that `check_parts_in` is yet to look at."""
        try:
            values = parse_toml(read_small(path, SETTINGS_BYTES))
        except FileNotFoundError:
            raise SettingsError(f"there is no settings file {str(path)!r}") from None
        except OSError as error:
            said = error.strerror or error
            raise SettingsError(f"{shortened(path)} cannot be read as TOML: {said}") from None
        except ValueError as error:  # no UTF-8, no TOML, or nested too deep
            raise SettingsError(f"{path} cannot be read as TOML: {error}") from None
        try:
            return cls.parse(values)
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from None


def check_parts_in(path: Path, settings: EngineSettings) -> None:
    """Raise SettingsError that names the file where a table of a source, of the fusion or of the
    ranker is wrong. It loads torch.
    """
    from recsys.parts import check_parts  # heavy, and made of these settings

    try:
        check_parts(settings)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def without_checkpoint(settings: EngineSettings) -> EngineSettings:
    """The same for a trial: a fit that was stopped keeps the file that it is to go on from."""
    ranker = {name: value for name, value in settings.ranker.items() if name != "checkpoint"}
    return settings.model_copy(update={"ranker": ranker})


def source_tables(settings: EngineSettings) -> dict[str, Table]:
    """The tables of all sources that may be in use: the defaults with the settings laid over them.

    Each has its `kind`, its `depth` and whether to `use` it; the last two may be AUTO.
    """
    tables = {}
    defaults = {**DEFAULT_SOURCES, **_of_vectors(settings)}
    for name in [*defaults, *(n for n in settings.sources if n not in defaults)]:
        table = {**defaults.get(name, {}), **settings.sources.get(name, {})}
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name in RESERVED or "name" in table:
            raise SettingsError(
                f"a source's name is its table's, of letters, digits, - and _, and none of "
                f"{', '.join(RESERVED)}; got {table.get('name', name)!r}"
            )
        if "kind" not in table:
            raise SettingsError(
                f"unknown source {name!r}; {nearest(name, DEFAULT_SOURCES)} "
                "A source of your own needs a kind"
            )
        use = table.pop("use", AUTO if name in defaults else True)
        if not isinstance(use, bool) and use != AUTO:
            raise SettingsError(
                f"setting 'sources.{name}.use' must be true, false or \"auto\"; got {use!r}"
            )
        if use:
            tables[name] = {"depth": AUTO, **table, "use": use}
    if not any(table["depth"] for table in tables.values()):
        raise SettingsError("no source offers candidates; give at least one a depth above 0")
    return tables


def _of_vectors(settings: EngineSettings) -> dict[str, Table]:
    """A source for each column of vectors that no other reads: it gives likeness, no candidates.

    Raises SettingsError where two of them would have one name.
    """
    columns = () if settings.catalog is None else settings.catalog.vector
    given = {name: {**DEFAULT_SOURCES.get(name, {}), **t} for name, t in settings.sources.items()}
    every = {**DEFAULT_SOURCES, **given}.values()
    read = [t.get("vectors", "text") for t in every if t.get("kind") == "content"]
    tables: dict[str, Table] = {}
    for column in columns:
        if column in read:
            continue
        name = f"vectors-{re.sub(r'[^A-Za-z0-9_-]', '-', column)}"
        if name in tables:
            raise SettingsError(
                f"columns of vectors need names that differ in letters, digits, - or _; got "
                f"{tables[name]['vectors']!r} and {column!r}"
            )
        tables[name] = {"kind": "content", "vectors": column, "depth": 0, "use": True}
    return tables


def built(make: type[Built], values: Table, where: str, beside: Iterable[str] = ()) -> Built:
    """An object from its constructor's arguments; raises SettingsError on a wrong one.

    `beside` are keys of the same table that are no arguments.
    """
    known = {each.name: each for each in fields(make) if each.init}  # type: ignore[arg-type]
    for key, value in list(values.items()):
        if key not in known:
            said = nearest(key, [*known, *beside])
            raise SettingsError(f"unknown setting '{where}.{key}'; {said}")
        try:
            own = TypeAdapter[Any](cast(Any, known[key].type)).validate_python(value)
            values = {**values, key: own}
        except ValidationError as error:
            rule = error.errors()[0]["msg"]
            raise SettingsError(f"setting '{where}.{key}': {rule}; got {value!r}") from None
    return make(**values)
