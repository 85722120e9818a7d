"""Which columns of a table mean what, and where its rows come from."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, model_validator

from recsys.features.settings import Settings


def _listed(value: Any) -> Any:
    """One name stands for a list of one; paths are kept as text."""
    if value is None:
        return ()
    if isinstance(value, str | Path):
        return (str(value),)
    if isinstance(value, Sequence):
        return tuple(str(each) if isinstance(each, Path) else each for each in value)
    return value


Names = Annotated[Sequence[str], BeforeValidator(_listed)]
"""Names of columns: one string or several."""

Paths = Annotated[str | Path | Sequence[str | Path] | None, BeforeValidator(_listed)]
"""Paths and globs: one or several; always a tuple of strings once it is validated."""


def _one_byte(value: str) -> str:
    if not value.isascii() or value in "\r\n\0":
        raise ValueError("it must be one ASCII character, and none that ends a line")
    return value


Character = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_one_byte)]

IdType = Literal["auto", "string", "integer"]

Role = Literal[
    "id",
    "time",
    "order",
    "event",
    "weight",
    "quantity",
    "position",
    "number",
    "price",
    "category",
    "tags",
    "text",
    "flag",
    "vector",
]
"""What a column means, which decides its type wherever it came from (see features/roles.py)."""


class EventType(Settings):
    """What an event of a kind says about the user's interest."""

    weight: FiniteFloat = Field(default=1.0, gt=0)
    offer_again: bool = False
    """May an item be offered to somebody who has had such an event with it?"""
    impression: bool = False
    """It says that the item was shown, chosen or not: it is counted and no interaction."""
    dislike: bool = False
    """It says no: the item is never offered to that user again, and neither the event nor what led
    to it counts as interest."""
    hides: Literal["item", "product"] = "item"
    """What is not offered again after it: the item, or all variants of its product, which the
    catalogue's `variant` tells. Where any event hides products, so does a dislike by rating."""

    @model_validator(mode="after")
    def _what_hides_is_not_offered_again(self) -> Self:
        if self.hides == "product" and (self.offer_again or self.impression):
            raise ValueError(
                "hides = 'product' is for events after which nothing is offered again; got "
                f"offer_again = {self.offer_again}, impression = {self.impression}"
            )
        return self

    @model_validator(mode="after")
    def _a_dislike_is_worth_nothing(self) -> Self:
        if self.dislike and (self.weight != 1 or self.offer_again or self.impression):
            raise ValueError(
                "a dislike is no interest and hides its item: it has no weight; got "
                f"weight = {self.weight:g}, offer_again = {self.offer_again}, "
                f"impression = {self.impression}"
            )
        return self

    @model_validator(mode="after")
    def _an_impression_is_worth_nothing(self) -> Self:
        if self.impression and (self.weight != 1 or self.offer_again):
            raise ValueError(
                "an impression is no interaction: it has no weight and hides no item; got "
                f"weight = {self.weight:g}, offer_again = {self.offer_again}"
            )
        return self


UNNAMED = EventType()
"""What an event counts as that settings do not name."""

_VIEW = EventType(weight=0.3, offer_again=True)
_CART = EventType(weight=0.6, offer_again=True)
_PURCHASE = EventType(weight=1.0)
_DISLIKE = EventType(dislike=True)

DEFAULT_EVENTS: Mapping[str, EventType] = MappingProxyType(
    {
        "view": _VIEW,
        "cart": _CART,
        "purchase": _PURCHASE,
        "rating": EventType(),
        "interaction": EventType(),
        "click": _VIEW,
        "addtocart": _CART,
        "add_to_cart": _CART,
        "buy": _PURCHASE,
        "transaction": _PURCHASE,
        "impression": EventType(impression=True),
        "like": EventType(),
        "thumbs_up": EventType(),
        "dislike": _DISLIKE,
        "thumbs_down": _DISLIKE,
        "not_interested": _DISLIKE,
    }
)
"""Event names that are understood unless others are declared."""


class Table(Settings):
    """Where rows come from, and which of them count."""

    noun: ClassVar[str] = "table"  # what messages call it
    key: ClassVar[str] = "table"  # its table of the settings

    path: Paths = ()
    """Files and globs; may stay empty where a frame is given."""
    format: Literal["csv", "parquet", "jsonl"] | None = None
    """By default the suffix decides: .parquet; .csv, .tsv, .txt, .data and .item; .jsonl and
    .ndjson, a JSON object a line. CSV and JSON lines may be packed (.gz, .zst)."""
    separator: Character = ","
    header: bool = True
    names: Names = ()
    """The names of the columns of a CSV file without a header, in order."""
    quote: Character | None = '"'
    encoding: str = "utf8"
    max_unpack_ratio: float = Field(default=100.0, ge=1)
    """How many times its size a packed file may unpack to, beyond the first 64 MiB."""
    id_type: IdType = "auto"
    """What ids are read as; `user_type` and `item_type` overrule it, each for its column. "auto"
    keeps text as text and makes 64-bit integers of all whole numbers (1.0 is 1); a CSV file's
    column is one of whole numbers where each is written as one (no leading zeros), else text."""
    missing_ids: Names = ()
    """Texts that stand for a missing id, such as "NULL"; null, NaN and "" always do."""
    where: str | None = None
    """A condition in SQL, such as "price > 0"; rows that do not meet it are left out."""

    @model_validator(mode="after")
    def _named_without_header(self) -> Self:
        if self.names and self.header:
            raise ValueError("names are for files without a header; set header = false")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(str(path) for path in _listed(self.path))

    @property
    def ids(self) -> tuple[str, ...]:
        """The columns that hold ids."""
        return tuple(self.id_types)

    @property
    def id_types(self) -> Mapping[str, tuple[str, IdType]]:
        """By column of ids: the setting that says what they are read as, and what it says."""
        return {}

    @property
    def mapped(self) -> tuple[str, ...]:
        """Every column that has a meaning, each once."""
        return tuple(self.roles)

    @property
    def roles(self) -> Mapping[str, Role]:
        """What each mapped column means; of several meanings the one that decides its type."""
        return dict.fromkeys(self.ids, "id")


class LogColumns(Table):
    """The columns of a log of interactions."""

    noun: ClassVar[str] = "log"
    key: ClassVar[str] = "interactions"

    user: str = "user_id"
    user_type: IdType | None = None
    """What user ids are read as; by default `id_type`."""
    item: str = "item_id"
    item_type: IdType | None = None
    """What item ids are read as; by default `id_type`."""
    time: str | None = None
    time_format: str | None = None
    """How text is read as time, such as "%d.%m.%Y %H:%M"; by default as ISO 8601."""
    future_tolerance: float = Field(default=86_400.0, ge=0)
    """Seconds that an event may lie ahead of now. A day, as local times are read as UTC."""
    max_gap_days: float = Field(default=3652.5, gt=0, le=4e6)
    """Times that so many days without an event part from all others are rejected: a missing time
    that came as 1970 or 0001-01-01, seconds among milliseconds. 4e6 keeps them all."""
    order: str | None = None
    """A number that sorts a user's events where there is no time; beside a time, those at one."""
    ties: Literal["draw", "file"] = "draw"
    """How a user's events are sorted where neither says: by lot, whatever the order of the rows, or
    as the rows stand in a file that is known to be written in the order of what happened."""
    max_events_per_user: int | None = Field(default=None, ge=1)
    """Users with more events than this are left out, as robots are, and counted; None: nobody."""
    event: str | None = None
    weight: str | None = None
    quantity: str | None = None
    rating: str | None = None
    """What the user thought of the item, as a number; null where nothing is said. It is no weight:
    below `dislike_below` the row is a dislike, else it counts as its event does."""
    dislike_below: FiniteFloat | None = None
    """The least rating that is interest, such as 3 of 5 stars."""
    position: str | None = None
    """At which place of a list, from 1, the item stood when it was shown or chosen; null where that
    is unknown or there was no list."""

    @model_validator(mode="after")
    def _ratings_have_a_threshold(self) -> Self:
        if (self.rating is None) != (self.dislike_below is None):
            raise ValueError(
                "rating and dislike_below go together: which ratings are dislikes? got "
                f"rating={self.rating!r}, dislike_below={self.dislike_below!r}"
            )
        return self

    @property
    def id_types(self) -> Mapping[str, tuple[str, IdType]]:
        return {
            self.user: ("user_type", self.user_type or self.id_type),
            self.item: ("item_type", self.item_type or self.id_type),
        }

    @property
    def roles(self) -> Mapping[str, Role]:
        pairs: list[tuple[str | None, Role]] = [
            (self.time, "time"),
            (self.order, "order"),
            (self.event, "event"),
            (self.weight, "weight"),
            (self.quantity, "quantity"),
            (self.rating, "weight"),
            (self.position, "position"),
        ]
        return _roles(self.ids, pairs)


class CatalogColumns(Table):
    """The columns of a catalogue of items."""

    noun: ClassVar[str] = "catalogue"
    key: ClassVar[str] = "catalog"

    item: str = "item_id"
    item_type: IdType | None = None
    """What ids are read as; by default `id_type`."""
    text: Names = ()
    """Joined in this order into one text per item."""
    title: str | None = None
    """Shown to people; by default the first text column."""
    category: Names = ()
    number: Names = ()
    tags: Names = ()
    """Lists of strings, or strings that `tag_separator` divides."""
    tag_separator: str = Field(default="|", min_length=1)
    flags: dict[str, Names] = Field(default_factory=dict)
    """Columns of 0 and 1 that make one column of tags together, by its name."""
    vector: Names = ()
    price: str | None = None
    available: str | None = None
    """True, a number above 0 or a word such as "yes": may be offered."""
    variant: str | None = None
    """Items with one value here are variants of one product."""
    keep: Literal["first", "last", "most_common"] = "last"
    """Which row wins where an item has several; "most_common" decides for each column."""
    offer_unlisted: bool = False
    """May items of the log be offered that have no row in the catalogue? By default they are gone
    from the shop and only teach; true suits a catalogue that describes a part of what is sold."""

    @property
    def id_types(self) -> Mapping[str, tuple[str, IdType]]:
        return {self.item: ("item_type", self.item_type or self.id_type)}

    @property
    def described(self) -> tuple[str, ...]:
        """The columns that say something of an item."""
        flags = [name for names in self.flags.values() for name in names]
        single = (self.title, self.price, self.available, self.variant)
        lists = (self.text, self.category, self.number, self.tags, self.vector)
        return _each_once([*single, *(name for names in lists for name in names), *flags])

    @property
    def roles(self) -> Mapping[str, Role]:
        flags = [name for names in self.flags.values() for name in names]
        pairs: list[tuple[str | None, Role]] = [
            *((name, "vector") for name in self.vector),
            (self.price, "price"),
            *((name, "number") for name in self.number),
            (self.available, "flag"),
            *((name, "flag") for name in flags),
            *((name, "category") for name in (self.variant, *self.category)),
            *((name, "tags") for name in self.tags),
            *((name, "text") for name in (self.title, *self.text)),
        ]
        of = _roles(self.ids, pairs)
        return {name: of[name] for name in (*self.ids, *self.described)}

    @property
    def shown(self) -> str | None:
        """The column that is an item's title to people."""
        return self.title or (self.text[0] if self.text else None)


def _each_once(names: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _roles(ids: Sequence[str], more: Iterable[tuple[str | None, Role]]) -> dict[str, Role]:
    """The role of each column, ids first; the first that is named decides."""
    roles: dict[str, Role] = dict.fromkeys(ids, "id")
    for name, role in more:
        if name is not None:
            roles.setdefault(name, role)
    return roles
