"""An evaluation as its JSON says it: every part may be absent, and what is there is checked."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recsys.features.errors import DataError
from recsys.features.outputs import shortened
from recsys.features.small_files import EVALUATION_BYTES, parse_json, read_small


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _interval(value: Any) -> Any:
    """None where an end of the interval is unknown."""
    if isinstance(value, list | tuple) and any(_finite(end) is None for end in value):
        return None
    return value


def _without_nulls(values: Any) -> Any:
    """Tables without their keys that are null, which are as good as absent."""
    if isinstance(values, Mapping):
        return {key: _without_nulls(value) for key, value in values.items() if value is not None}
    return [_without_nulls(value) for value in values] if isinstance(values, list) else values


Number = Annotated[float | None, BeforeValidator(_finite)]
"""None for what is not defined, which JSON may call null, NaN or Infinity."""

Interval = Annotated[tuple[float, float] | None, BeforeValidator(_interval)]
Scores = dict[str, Number]
Text = Annotated[str, BeforeValidator(str)]


class Part(BaseModel):
    """A part of an evaluation."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Protocol(Part):
    """How the log was cut, and what was scored and left out; counts of a protocol are `others`."""

    model_config = ConfigDict(extra="allow")

    name: str = ""
    k: int | None = None
    at: list[int] = []
    seed: int | list[int] | None = None
    users: int | None = None
    positives: int | None = None
    items: int | None = None
    users_without_past: int | None = None
    positives_without_past: int | None = None
    users_without_target: int | None = None
    users_of_unknown_items: int | None = None
    positives_of_unknown_items: int | None = None
    users_without_allowed_positives: int | None = None
    positives_not_allowed: int | None = None
    positives_not_in_catalog: int | None = None
    positives_disliked_later: int | None = None
    cutoff: str | None = None
    last_event: str | None = None
    windows: int | None = None

    @property
    def others(self) -> dict[str, Any]:
        """What the protocol says of itself beyond the fields above."""
        return self.model_extra or {}


class Comparison(Part):
    """A system beside another one, by one metric."""

    metric: str = ""
    system: str = ""
    against: str = ""
    difference: Number = None
    interval: Interval = None
    p: Number = None
    p_corrected: Number = None
    verdict: str = ""


class SliceScores(Part):
    """The metrics of one system in one slice; `interval` is that of NDCG."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    interval: Interval = None

    def score(self, metric: str) -> float | None:
        """One metric, or None where it is unknown."""
        value = _finite(self.__pydantic_extra__.get(metric))
        return float(value) if isinstance(value, int | float) else None


class Slice(Part):
    """One group of positives."""

    by: Text = ""
    slice: Text = ""
    users: int | None = None
    positives: int | None = None
    systems: dict[str, SliceScores] = {}


class Source(Part):
    """What one source brought to the candidates."""

    depth: int | None = None
    recall: Number = None
    only: int | None = None
    only_share: Number = None
    candidates: Number = None
    seconds: Number = None


class Overlap(Part):
    """share[i][j] is the share of the candidates of source i that source j offered too."""

    sources: list[str] = []
    share: list[list[Number]] = []


class Lost(Part):
    """Positives that ended at one stage."""

    stage: str = ""
    positives: int | None = None
    share: Number = None


class Account(Part):
    """What each stage found and lost."""

    sources: dict[str, Source] = {}
    overlap: Overlap = Overlap()
    union: Scores = {}
    ranker: Scores = {}
    lost: list[Lost] = []
    positives: int | None = None


class Family(Part):
    """What NDCG falls by without what a family of features says."""

    family: Text = ""
    fall: Number = None
    interval: Interval = None


class Importance(Part):
    """What the ranker goes by."""

    metric: Text = ""
    value: Number = None  # of its order with all features
    users: int | None = None
    families: list[Family] = []


class Bin(Part):
    """Predictions of about the same probability."""

    predicted: Number = None
    observed: Number = None
    count: int | None = None


class Calibration(Part):
    """Predicted probabilities beside what came true."""

    event: Text = ""  # of whose predictions the bins are
    error: Number = None
    errors: Scores = {}  # of each event
    bins: list[Bin] = []


class Epoch(Part):
    """The losses of one epoch of the ranker."""

    run: int = 0
    epoch: int | None = None
    train: Number = None
    held_out: Number = Field(default=None, alias="held out")


class Item(Part):
    """An item by its id, its title, or both."""

    item_id: Text = ""
    title: Text = ""


class Listed(Item):
    """An item on a list."""

    rank: int | None = None
    score: Number = None
    sources: list[str] = []
    reason: Text = ""
    hit: bool = False


class Example(Part):
    """One user: what they did, what they chose then, and what they were offered."""

    user: Text = ""
    about: Text = ""
    history: list[Item] = []
    chosen: list[Item] = []
    offered: list[Listed] = Field(default=[], alias="list")


class Window(Part):
    """One cutoff of several."""

    cutoff: Text = ""
    users: int | None = None
    systems: dict[str, Scores] = {}


class Outcome(Part):
    """All that an evaluation found."""

    data: Text = ""
    protocol: Protocol = Protocol()
    users: int | None = None
    systems: dict[str, Scores] = {}
    intervals: dict[str, dict[str, Interval]] = {}
    comparisons: list[Comparison] = []
    slices: list[Slice] = []
    account: Account = Account()
    importance: Importance = Importance()
    calibration: Calibration = Calibration()
    curves: list[Epoch] = []
    examples: list[Example] = []
    windows: list[Window] = []
    runs: list["Outcome"] = []
    seed: int | None = None  # of one of several runs
    fit_seconds: Number = None
    peak_memory_bytes: Number = None
    notes: list[str] = []

    @property
    def k(self) -> int:
        """The length of the lists; where the protocol does not say it, that of the first metric."""
        if self.protocol.k is not None:
            return self.protocol.k
        keys = (key for scores in self.systems.values() for key in scores)
        ends = (key.rpartition("@")[2] for key in keys if "@" in key)
        return next((int(end) for end in ends if end.isdecimal()), 10)

    @classmethod
    def parse(cls, values: Any, where: str = "the evaluation") -> Self:
        """Raises DataError that names what is not as an evaluation has it."""
        if not isinstance(values, Mapping) or not values.keys() & cls.model_fields.keys():
            raise DataError(f"{where} is no evaluation: it has none of {sorted(cls.model_fields)}")
        try:
            return cls.model_validate(_without_nulls(values))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            raise DataError(
                f"{where}: {place}: {first['msg']}; got {first['input']!r:.80}"
            ) from None

    @classmethod
    def read(cls, file: Path) -> Self:
        """An evaluation from its JSON file; raises DataError where it cannot be read as one."""
        try:
            values = parse_json(read_small(file, EVALUATION_BYTES))
        except (OSError, ValueError) as error:
            raise DataError(f"{shortened(file)} cannot be read: {error}") from None
        return cls.parse(values, str(file))
