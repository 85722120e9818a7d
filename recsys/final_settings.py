"""What can be asked of the final list: rules as data, diversity, and places given by lot."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from recsys.features.errors import SettingsError
from recsys.features.settings import Settings

DIVERSITY, EXPLORED = "diversity", "explored"
"""What the trail calls the steps that are no rules."""

Id = str | int

ItemIds = tuple[str, ...] | tuple[int, ...]


class Rule(Settings):
    """One rule; the trail of an item calls it by its name."""

    kind: str
    name: str = ""
    """By default its kind, and of a cap its column too."""

    @property
    def called(self) -> str:
        """Its name, or what stands for it."""
        return self.name or self.kind


class _Selecting(Rule):
    """A rule for some items: those named, those that meet a condition, or the named that do."""

    items: ItemIds | None = Field(default=None, min_length=1)
    where: str | None = None
    """A condition on the catalogue, in SQL, such as "price < 20 AND category = 'toys'"."""

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if self.items is None and self.where is None:
            raise ValueError("give items, where or both")
        return self


class Pin(_Selecting):
    """Items at places of their own, whatever their scores: the first at `place`, then on."""

    kind: Literal["pin"]
    items: ItemIds = Field(min_length=1)
    """Of these, `where` keeps some; the others leave no gap."""
    place: int = Field(default=1, ge=1)


class Boost(_Selecting):
    """Items whose odds of being chosen count for more, or for less."""

    kind: Literal["boost"]
    factor: FiniteFloat = Field(gt=0)
    """Of the odds: its logarithm is added to the score, which is one of a softmax over the list.
    Where lists are ordered by expected value it is one of that value; a loss is divided by it."""


class Cap(Rule):
    """At most so many items of one value on a list."""

    kind: Literal["cap"]
    column: str
    """A category column of the catalogue: a brand, a seller, a department."""
    most: int = Field(ge=1)

    @property
    def called(self) -> str:
        return self.name or f"cap {self.column}"


class Price(Rule):
    """Nothing cheaper or dearer is offered, and nothing without a price."""

    kind: Literal["price"]
    least: FiniteFloat | None = Field(default=None, ge=0)
    most: FiniteFloat | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("give least, most or both")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least must not be above most; got {self.least} and {self.most}")
        return self


class Block(_Selecting):
    """Items that are offered to nobody."""

    kind: Literal["block"]


class New(Rule):
    """A least share of new items on a list: without events, or first seen lately."""

    kind: Literal["new"]
    share: float = Field(gt=0, le=1)
    days: float | None = Field(default=None, gt=0)
    """An item whose first event lies no further back than this from the end of the log is new too;
    by default only an item without events."""


AnyRule = Annotated[Pin | Boost | Cap | Price | Block | New, Field(discriminator="kind")]


class Diversity(Settings):
    """How much the order is to be unlike within itself; see `ranking/diversity.py`."""

    method: Literal["none", "mmr", "dpp"] = "none"
    strength: float = Field(default=0.3, ge=0, le=1)
    """0 is the ranker's order, at 1 scores count for nothing."""
    on: str = "auto"
    """Vectors of the catalogue by name, "text" among them, or "categories": how alike two items
    are. By default text where the catalogue has such vectors, else categories."""
    pool: int = Field(default=5, ge=1, le=1_000)
    """Of a list of k, the first pool x k candidates are put into a new order."""

    @property
    def is_on(self) -> bool:
        return self.method != "none" and self.strength > 0


class Exploration(Settings):
    """Places given by lot, the last ones of a list; see `ranking/exploration.py`."""

    slots: int = Field(default=0, ge=0, le=60)  # the lots that hold a value are bits of an int64
    depth: int = Field(default=50, ge=1, le=100_000)
    """How many of the candidates behind the list the lots are drawn from."""
    draw: Literal["softmax", "uniform"] = "softmax"
    temperature: float = Field(default=1.0, gt=0, le=1e6)
    """Of the softmax of scores; high is near to uniform."""
    seed: int = Field(default=0, ge=0, lt=2**31)


class FinalSettings(Settings):
    """What happens between the ranker's order and the list: nothing unless it is set."""

    rules: tuple[AnyRule, ...] = Field(default=(), max_length=60)  # a trail is bits of an int64
    diversity: Diversity = Field(default_factory=Diversity)
    exploration: Exploration = Field(default_factory=Exploration)

    @property
    def is_on(self) -> bool:
        """Is anything set?"""
        return bool(self.rules) or self.diversity.is_on or self.exploration.slots > 0

    @model_validator(mode="after")
    def _rules_agree(self) -> Self:
        try:
            _check_names(self.rules)
            _check_prices([rule for rule in self.rules if isinstance(rule, Price)])
            _check_pins(self.rules)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return self


def _check_names(rules: Sequence[Rule]) -> None:
    taken = {DIVERSITY, EXPLORED}
    for rule in rules:
        if rule.called in taken:
            raise SettingsError(
                f"names of rules must differ, and none is {DIVERSITY!r} or {EXPLORED!r}; "
                f"got {rule.called!r} twice: give one a name of its own"
            )
        taken.add(rule.called)


def _check_prices(bands: Sequence[Price]) -> None:
    for place, band in enumerate(bands):
        for other in bands[:place]:
            for low, high in ((band, other), (other, band)):
                if low.least is not None and high.most is not None and low.least > high.most:
                    raise SettingsError(
                        f"rules {other.called!r} and {band.called!r} leave no price: "
                        f"at least {low.least} and at most {high.most}"
                    )


def _check_pins(rules: Sequence[Rule]) -> None:
    """Of pins and blocks whose items are known without a catalogue."""
    pins = [rule for rule in rules if isinstance(rule, Pin) and rule.where is None]
    placed: list[tuple[str, Id, int]] = []
    for pin in pins:
        ids: Sequence[Id] = pin.items
        placed += [(pin.called, item, pin.place + n) for n, item in enumerate(ids)]
    check_places(placed)
    for block in rules:
        if isinstance(block, Block) and block.where is None:
            for name, item, _ in placed:
                if item in (block.items or ()):
                    raise SettingsError(
                        f"rule {name!r} pins {item!r}, which rule {block.called!r} blocks"
                    )


def check_places(placed: Sequence[tuple[str, Id, int]]) -> None:
    """Raise SettingsError where two of (rule, item, place) share an item or a place."""
    items: dict[Id, tuple[str, int]] = {}
    places: dict[int, tuple[str, Id]] = {}
    for name, item, place in placed:
        if place in places:
            other, first = places[place]
            raise SettingsError(
                f"rules {other!r} and {name!r} pin {first!r} and {item!r} at one place, {place}"
            )
        if item in items:
            other, first_place = items[item]
            raise SettingsError(
                f"rules {other!r} and {name!r} pin one item, {item!r}, "
                f"at places {first_place} and {place}"
            )
        items[item], places[place] = (name, place), (name, item)
