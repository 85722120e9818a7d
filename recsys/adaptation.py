"""Which sources suit the data, and how deep they are asked: what settings leave to "auto"."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from recsys.features.arrays import DAY, PAD
from recsys.features.catalog import Catalog
from recsys.features.interactions import Clock, Interactions
from recsys.settings import AUTO, EngineSettings, source_tables

DEPTH = 64
"""Candidates of a source where settings do not say, but never more than a tenth of the items."""

DEPTH_OF_SEQUENCE, DEPTH_BESIDE_IT = 300, 32
"""The same of a sequence encoder, and of the other sources where one is on: far down its list still
stands what no other source has. On the last but one item the union's recall is .850 with 364
candidates on ml-1m (.835 with 342 at 200 and 64; .751 with 245 at 64 and 64), and .458 with 390 on
amazon-beauty (.449 with 392 at 200 and 64)."""

_ENCODER = "sequence"  # its kind
_LEAST_REPEATS = 0.05  # of the events that could repeat an item, before repeats are foretold
_LEAST_SHARED = 0.2  # of the events that stand at one moment with another, before baskets count
_MOST_OF_A_USER = 200  # events that count of one user, or a robot would bring what the rest cannot
_LEAST_EVENTS = 100_000  # of an order, before a network adds to two stages: none on ml-100k
_LEAST_FOR_EASE = 150_000  # the same of EASE: it takes from ml-100k and adds to amazon-beauty
_LEAST_DAYS = 14  # of a log, before lately differs from ever


@dataclass(frozen=True, slots=True)
class Traits:
    """What the data has to learn from."""

    items: int  # with events
    events: int  # that repeat no other, at most 200 of a user
    clock: Clock
    days: float  # from the first event to the last, 0 without a clock
    text: bool  # does the catalogue have text, or vectors of text
    labels: bool  # does the catalogue have tags or categories
    repeats: float  # share of a user's events whose item the user had before, the mean of users
    shared: float  # share of them at one moment with another, 0 without a clock
    offered_again: bool  # is there an event after which an item may be offered again

    @classmethod
    def of(cls, log: Interactions, catalog: Catalog, settings: EngineSettings) -> "Traits":
        clocked = log.clock == "time" and len(log) > 0
        events = [settings.events.get(name) for name in log.events]
        return cls(
            items=int((log.item_counts > 0).sum()),
            events=_events(log),
            clock=log.clock,
            days=float(np.ptp(log.times)) / DAY if clocked else 0.0,
            text=catalog.has_text or "text" in catalog.vectors,
            labels=bool(catalog.tags() or catalog.categories()),
            repeats=_repeats(log),
            shared=_shared(log) if clocked else 0.0,
            offered_again=any(event is not None and event.offer_again for event in events),
        )


Verdict = tuple[bool, str]
"""Whether a source is on, and why."""


def _ordered(traits: Traits) -> Verdict:
    return traits.clock != "none", f"the log has {_ORDERS[traits.clock]}"


def _unordered(traits: Traits) -> Verdict:
    return traits.clock == "none", f"the log has {_ORDERS[traits.clock]}"


def _texts(traits: Traits) -> Verdict:
    return traits.text, f"the catalogue has {'text' if traits.text else 'no text'}"


def _labelled(traits: Traits) -> Verdict:
    return traits.labels, f"the catalogue has {'' if traits.labels else 'no '}tags or categories"


def _repeated(traits: Traits) -> Verdict:
    if not traits.offered_again:
        return False, "no event lets its item be offered again"
    said = f"{traits.repeats:.0%} of a user's events repeat an item"
    return traits.repeats >= _LEAST_REPEATS, said


def _trends(traits: Traits) -> Verdict:
    return traits.days >= _LEAST_DAYS, f"the log covers {traits.days:.0f} days by a clock"


def _baskets(traits: Traits) -> Verdict:
    said = f"{traits.shared:.0%} of a user's events stand at one moment with others"
    return traits.shared >= _LEAST_SHARED, said


def _long_sequences(traits: Traits, least: int = _LEAST_EVENTS) -> Verdict:
    ordered, why = _ordered(traits)
    if not ordered:
        return ordered, why
    return traits.events >= least, f"the log has {traits.events:,} different events in an order"


def _unordered_or_long(traits: Traits) -> Verdict:
    unordered, why = _unordered(traits)
    return (unordered, why) if unordered else _long_sequences(traits, _LEAST_FOR_EASE)


_ORDERS = {"time": "a clock", "order": "an order", "none": "no order"}

RULES: Mapping[str, Callable[[Traits], Verdict]] = {
    "again": _repeated,
    "basket": _baskets,
    "content": _texts,
    "covisit": _ordered,
    "ease": _unordered_or_long,
    "graph-filter": _unordered,
    "knn": _unordered,
    "sequence": _long_sequences,
    "tagged": _labelled,
    "trending": _trends,
}
"""By kind when `use = "auto"`; sources of any other kind are on."""


def adapted(
    settings: EngineSettings, log: Interactions, catalog: Catalog
) -> tuple[EngineSettings, list[str]]:
    """Settings without "auto": which sources are on and their depths, and why, in words.

    Where no source that offers candidates is left, all stay on: `Sources.fit` says what is amiss.
    """
    traits = Traits.of(log, catalog, settings)
    tables = source_tables(settings)
    verdicts = {name: _verdict(table, traits) for name, table in tables.items()}
    if not any(on and tables[name]["depth"] != 0 for name, (on, _) in verdicts.items()):
        verdicts = dict.fromkeys(tables, (True, "no other source is left"))
    encoded = any(on and tables[name]["kind"] == _ENCODER for name, (on, _) in verdicts.items())
    decided = {
        name: {**table, "use": True, "depth": _depth(table, traits, encoded)}
        if verdicts[name][0]
        else {"use": False}
        for name, table in tables.items()
    }
    off = {name: {"use": False} for name in settings.sources if name not in tables}
    return settings.model_copy(update={"sources": {**off, **decided}}), _notes(tables, verdicts)


def _verdict(table: Mapping[str, object], traits: Traits) -> Verdict:
    rule = RULES.get(str(table["kind"]))
    if table["use"] != AUTO or rule is None:
        return True, ""
    return rule(traits)


def _depth(table: Mapping[str, object], traits: Traits, encoded: bool) -> object:
    """How deep a source is asked; `encoded` says whether a sequence encoder is on."""
    if table["depth"] != AUTO:
        return table["depth"]
    depth = DEPTH_BESIDE_IT if encoded else DEPTH
    if table["kind"] == _ENCODER:
        depth = DEPTH_OF_SEQUENCE
    return max(10, min(depth, traits.items // 10))


def _notes(
    tables: Mapping[str, Mapping[str, object]], verdicts: Mapping[str, Verdict]
) -> list[str]:
    """A line for the sources that are on by what the data has, one for those that are off."""
    lines = []
    for state, word in ((True, "on"), (False, "off")):
        reasons: dict[str, list[str]] = {}
        for name, (on, why) in verdicts.items():
            if on == state and why and tables[name]["depth"] != 0:
                reasons.setdefault(why, []).append(name)
        told = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
        if told:
            lines.append(f"sources {word}: {told}")
    return lines


def _events(log: Interactions) -> int:
    """How many events tell something: those that repeat no other, at most so many of a user."""
    first = log.repeats.earlier == PAD
    of_users = np.bincount(log.user_rows[first], minlength=len(log.users))
    return int(np.minimum(of_users, _MOST_OF_A_USER).sum())


def _repeats(log: Interactions) -> float:
    """The share of a user's events after the first whose item this user had before.

    It is the mean over users who have two events or more: each of them counts once.
    """
    pairs = log.user_rows.astype(np.int64) * len(log.items) + log.item_rows
    distinct = np.bincount(np.unique(pairs) // len(log.items), minlength=len(log.users))
    able = log.counts > 1
    repeated = (log.counts - distinct)[able] / (log.counts[able] - 1)
    return float(repeated.mean()) if able.any() else 0.0


def _shared(log: Interactions) -> float:
    """The share of a user's events at one moment with another, the mean over users."""
    same = (np.diff(log.user_rows) == 0) & (np.diff(log.times) == 0)
    together = np.zeros(len(log), bool)
    together[:-1] |= same
    together[1:] |= same
    of_users = np.bincount(log.user_rows, together, minlength=len(log.users))
    active = log.active_users()
    return float((of_users[active] / log.counts[active]).mean())
