"""The rules of the final list on the rows of one catalogue and log."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.features.arrays import DAY, PAD, Array, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError, SettingsError
from recsys.features.interactions import Interactions
from recsys.features.settings import nearest
from recsys.final_settings import (
    AnyRule,
    Block,
    Boost,
    Cap,
    ItemIds,
    New,
    Pin,
    Price,
    check_places,
)
from recsys.policy import Policy

_ROUNDING = 1e-9  # of a share times k, so that .3 of 10 is 3


@dataclass(frozen=True)
class Pinned:
    """One item and its place."""

    rule: int
    item: int  # its row
    place: int  # from 0


@dataclass(frozen=True)
class Boosted:
    """What some items have added to their scores."""

    rule: int
    items: Mask  # (items,)
    added: float  # the logarithm of the factor on the odds


@dataclass(frozen=True)
class Capped:
    """At most so many of one value."""

    rule: int
    values: Rows  # (items,) PAD where an item has none
    most: int

    def room(self, items: Mask) -> int:
        """How many of some items (items,) one list can hold."""
        values = self.values[items]
        counts = np.bincount(values[values != PAD])
        return int(np.minimum(counts, self.most).sum() + (values == PAD).sum())


@dataclass(frozen=True)
class Fresh:
    """A least share of new items."""

    rule: int
    items: Mask  # (items,) those that may be offered
    share: float
    within: Mapping[int, int]  # by the rule of a cap, how many of them one list can hold

    def need(self, k: int) -> int:
        """How many of `k` items."""
        return int(np.ceil(self.share * k - _ROUNDING))


@dataclass(frozen=True)
class Rules:
    """Rules by their rows, in the order of the settings: a rule is its number."""

    names: tuple[str, ...]
    barred: Rows  # (items,) the first block or price band that leaves it out, PAD where none does
    pins: tuple[Pinned, ...] = ()
    boosts: tuple[Boosted, ...] = ()
    caps: tuple[Capped, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, rules: Sequence[AnyRule], catalog: Catalog, log: Interactions) -> "Rules":
        """Raises SettingsError where a rule does not fit the catalogue or rules contradict."""
        reading = _Reading(rules, catalog, log)
        barred, caps = reading.barred(), tuple(reading.caps())
        made = cls(
            names=tuple(rule.called for rule in rules),
            barred=barred,
            pins=tuple(reading.pins()),
            boosts=tuple(reading.boosts()),
            caps=caps,
            fresh=tuple(reading.fresh(barred == PAD, caps)),
            notes=tuple(reading.notes),
        )
        made._check_pins_within_caps()
        return made

    @property
    def offered(self) -> Mask:
        """(items,) what blocks and price bands leave."""
        offered: Mask = self.barred == PAD
        return offered

    def raised(self) -> Floats | None:
        """(items,) what all boosts together add to the score of each item; None without any."""
        if not self.boosts:
            return None
        total = np.zeros(len(self.barred), np.float32)
        for boost in self.boosts:
            total[boost.items] += np.float32(boost.added)
        return total

    def narrowed(self, policy: Policy) -> Policy:
        """What blocks and price bands leave of it; raises DataError where that is no item."""
        narrowed = policy.within(self.offered)
        if not narrowed.mask.any():
            why = "unavailable or left out by rules" if self.names else "unavailable"
            raise DataError(f"no item may be offered: all {len(self.offered):,} are {why}")
        return narrowed

    def check(self, k: int, slots: int) -> None:
        """Raise SettingsError where lists of `k`, `slots` of them by lot, cannot keep the rules."""
        for pin in self.pins:
            if pin.place >= k:
                raise SettingsError(
                    f"rule {self.names[pin.rule]!r} pins place {pin.place + 1}; "
                    f"a list of {k} items has no such place"
                )
        if slots and len(self.pins) + slots >= k:
            raise SettingsError(
                f"exploration.slots = {slots} and {len(self.pins)} pinned places leave no other "
                f"place on a list of {k} items"
            )
        for rule in self.fresh:
            self._check_fresh(rule, k, slots)

    def check_products(self, groups: Rows, ids: pl.Series) -> None:
        """Raise SettingsError where two items of one product, its group (items,), are pinned."""
        first: dict[int, Pinned] = {}
        for pin in self.pins:
            group = int(groups[pin.item])
            other = first.setdefault(group, pin)
            if group != PAD and other is not pin:
                of = {self.names[other.rule], self.names[pin.rule]}
                raise SettingsError(
                    f"rules {', '.join(sorted(map(repr, of)))} pin {ids[other.item]!r} and "
                    f"{ids[pin.item]!r}, variants of one product, of which a list shows one"
                )

    def _check_fresh(self, rule: Fresh, k: int, slots: int) -> None:
        need, name = rule.need(k), self.names[rule.rule]
        other = [pin for pin in self.pins if not rule.items[pin.item]]
        if need > k - slots - len(other):
            raise SettingsError(
                f"rule {name!r} wants {need} new items of {k}; exploration.slots = {slots} and "
                f"{len(other)} pins of other items "
                f"({', '.join(sorted({self.names[pin.rule] for pin in other})) or 'none'}) "
                f"leave {k - slots - len(other)} places"
            )
        for cap, most in rule.within.items():
            if most < min(need, int(rule.items.sum())):
                raise SettingsError(
                    f"rule {name!r} wants {need} new items of {k}; rule {self.names[cap]!r} "
                    f"lets a list hold {most} of them"
                )

    def _check_pins_within_caps(self) -> None:
        for cap in self.caps:
            values = cap.values[[pin.item for pin in self.pins]]
            counts = np.bincount(values[values != PAD], minlength=1)
            if counts.max() > cap.most:
                over = int(counts.argmax())
                of = {self.names[pin.rule] for pin in self.pins if cap.values[pin.item] == over}
                raise SettingsError(
                    f"rules {', '.join(sorted(map(repr, of)))} pin {counts[over]} items of one "
                    f"value; rule {self.names[cap.rule]!r} lets a list hold {cap.most}"
                )


@dataclass
class _Reading:
    """The rules of settings as they are read onto a catalogue, and what there is to say of them."""

    rules: Sequence[AnyRule]
    catalog: Catalog
    log: Interactions

    def __post_init__(self) -> None:
        self.notes: list[str] = []

    def barred(self) -> Rows:
        barred = np.full(len(self.catalog), PAD, np.int32)
        for number, rule in enumerate(self.rules):
            if isinstance(rule, Block | Price):
                barred[(barred == PAD) & ~self._passed(rule)] = number
                if (barred != PAD).all():
                    raise SettingsError(f"with rule {rule.called!r} no item is left to offer")
        return barred

    def pins(self) -> Iterator[Pinned]:
        placed = [
            (number, rule, int(row), rule.place + n)
            for number, rule in enumerate(self.rules)
            if isinstance(rule, Pin)
            for n, row in enumerate(self._pinned(rule))
        ]
        ids = self.catalog.items.ids
        check_places([(rule.called, ids[row], place) for _, rule, row, place in placed])
        for other in self.rules:
            if isinstance(other, Block | Price):
                passed = self._passed(other)
                for _, rule, row, _ in placed:
                    if not passed[row]:
                        verb = "blocks" if isinstance(other, Block) else "leaves out by its price"
                        raise SettingsError(
                            f"rule {rule.called!r} pins {ids[row]!r}, which rule "
                            f"{other.called!r} {verb}"
                        )
        for number, _, row, place in placed:
            yield Pinned(number, row, place - 1)

    def boosts(self) -> Iterator[Boosted]:
        for number, rule in enumerate(self.rules):
            if isinstance(rule, Boost):
                yield Boosted(number, self._held(rule), float(np.log(rule.factor)))

    def caps(self) -> Iterator[Capped]:
        known = self.catalog.categories()
        for number, rule in enumerate(self.rules):
            if isinstance(rule, Cap):
                if rule.column not in known:
                    raise SettingsError(
                        f"rule {rule.called!r} caps the column {rule.column!r}, which is none of "
                        f"the catalogue's categories; {nearest(rule.column, known)}"
                    )
                yield Capped(number, known[rule.column], rule.most)

    def fresh(self, offered: Mask, caps: Sequence[Capped]) -> Iterator[Fresh]:
        for number, rule in enumerate(self.rules):
            if isinstance(rule, New):
                new = self._new(rule) & offered
                within = {cap.rule: cap.room(new) for cap in caps}
                yield Fresh(number, new, rule.share, within)

    def _passed(self, rule: Block | Price) -> Mask:
        """(items,) what a block or a price band leaves."""
        if isinstance(rule, Block):
            return ~self._held(rule)
        price = self.catalog.price()
        if price is None:
            raise SettingsError(
                f"rule {rule.called!r} needs prices; the catalogue has no column of them: "
                "set catalog.price"
            )
        least = -np.inf if rule.least is None else rule.least
        most = np.inf if rule.most is None else rule.most
        passed: Mask = (price >= np.float32(least)) & (price <= np.float32(most))  # never NaN
        return passed

    def _held(self, rule: Block | Boost) -> Mask:
        """(items,) what the rule is about."""
        held = self._where(rule)
        if rule.items is not None:
            rows = self._rows(rule, rule.items)
            named = np.zeros(len(self.catalog), bool)
            named[rows[rows != PAD]] = True
            held &= named
        note = f"rule {rule.called!r} holds of no item"
        if not held.any() and note not in self.notes:
            self.notes.append(note)
        return held

    def _pinned(self, rule: Pin) -> Rows:
        """(n,) the rows of the pinned items of which the condition holds."""
        rows = self._rows(rule, rule.items)
        if (rows == PAD).any():
            unknown = rule.items[int(np.argmax(rows == PAD))]
            raise SettingsError(f"rule {rule.called!r} pins {unknown!r}, which is no known item")
        return rows[self._where(rule)[rows]]

    def _rows(self, rule: Block | Boost | Pin, items: ItemIds) -> Rows:
        try:
            return self.catalog.items.rows(items)
        except DataError as error:
            raise SettingsError(f"rule {rule.called!r}: {error}") from None

    def _where(self, rule: Block | Boost | Pin) -> Mask:
        if rule.where is None:
            return np.ones(len(self.catalog), bool)
        try:
            return self.catalog.mask(rule.where).copy()
        except DataError as error:
            raise SettingsError(f"rule {rule.called!r}: {error}") from None

    def _new(self, rule: New) -> Mask:
        new: Mask = self.log.item_counts == 0
        if rule.days is None:
            return new
        if self.log.clock != "time":
            raise SettingsError(
                f"rule {rule.called!r} counts days, which needs a clock; the log has none"
            )
        end = self.log.end
        first = np.full(len(self.log.items), end)
        np.minimum.at(first, self.log.item_rows, self.log.times)
        lately: Mask = first >= end - rule.days * DAY
        return np.asarray(new | lately, np.bool_)


def moved(boost: Boosted, items: Rows, before: Array) -> Mask:
    """(b, w) which items, in their new order, a boost moved; `before` (b, w) are their old places.

    Its own items that stand elsewhere, and what overtook an item whose odds it made worse.
    """
    own = boost.items[items] & (items != PAD)
    at_other_place: Mask = own & (before != np.arange(items.shape[1]))
    if boost.added >= 0:
        return at_other_place
    behind = np.where(own, before, np.iinfo(np.int64).max)
    behind = np.minimum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
    overtook: Mask = ~own & (items != PAD) & (behind < before)
    return at_other_place | overtook
