"""What the data has decides which sources are asked, and how deep, and it is said why."""

from dataclasses import replace
from typing import Any

import pytest

from recsys.adaptation import DEPTH, RULES, Traits, adapted
from recsys.features.catalog import Catalog
from recsys.features.interactions import Clock, Interactions
from recsys.parts import KINDS, make_sources
from recsys.settings import EngineSettings, source_tables
from tests.worlds import log_of, planted

ALL = Traits(
    items=1000,
    events=1_000_000,
    clock="time",
    days=100.0,
    text=True,
    labels=True,
    repeats=0.5,
    shared=0.5,
    offered_again=True,
)
SETTINGS = EngineSettings()


def chosen(
    log: Interactions, catalog: Catalog | None = None, **settings: Any
) -> tuple[set[str], list[str]]:
    """The sources in use, and what was said."""
    asked = EngineSettings.parse(settings)
    own = catalog if catalog is not None else Catalog.empty(log.items)
    decided, notes = adapted(asked, log, own)
    return set(source_tables(decided)), notes


def test_every_rule_is_of_a_kind_that_there_is() -> None:
    assert set(RULES) <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        ("covisit", {"clock": "none"}, "the log has no order"),
        ("content", {"text": False}, "the catalogue has no text"),
        ("tagged", {"labels": False}, "the catalogue has no tags or categories"),
    ],
)
def test_what_a_source_cannot_go_by_turns_it_off(
    kind: str, change: dict[str, Any], why: str
) -> None:
    assert RULES[kind](ALL)[0]
    assert RULES[kind](replace(ALL, **change)) == (False, why)


def test_traits_of_a_log() -> None:
    log = log_of([0, 1, 0, 1], [2, 3], items=5, times=[0, 1, 2, 3, 7, 7], clock="time")
    traits = Traits.of(log, Catalog.empty(log.items), SETTINGS)
    assert (traits.items, traits.events, traits.clock, traits.text) == (4, 4, "time", False)
    assert traits.repeats == (2 / 3 + 0) / 2  # of the events that are not a user's first
    assert traits.shared == (0 + 2 / 2) / 2
    assert traits.offered_again  # log_of makes views


def test_a_robot_weighs_no_more_than_a_customer() -> None:
    """A thousand reloads, or a walk through the whole catalogue, open no gate."""
    customers = [[n % 7, 7 + n % 5] for n in range(100)]
    reloads, walk = [0] * 100_000, list(range(12, 10_012))
    plain, odd = (log_of(*each, items=10_012) for each in (customers, [*customers, reloads, walk]))
    few, many = (Traits.of(log, Catalog.empty(log.items), SETTINGS) for log in (plain, odd))
    assert few.events == 200
    assert many.events == 200 + 1 + 200
    assert few.repeats == 0
    assert many.repeats == 1 / 102
    assert many.shared == 0


def test_traits_of_a_log_that_is_empty() -> None:
    log = log_of([], items=3)
    traits = Traits.of(log, Catalog.empty(log.items), SETTINGS)
    assert (traits.items, traits.events, traits.repeats, traits.shared) == (0, 0, 0.0, 0.0)


def test_an_order_brings_the_sources_of_sequences_and_its_absence_takes_them() -> None:
    ordered, unordered = log_of([0, 1], items=3), log_of([0, 1], items=3, clock="none")
    assert {"next", "wide", "follow", "before"} <= chosen(ordered)[0]
    used, notes = chosen(unordered)
    assert not {"next", "wide", "follow", "before"} & used
    assert any("off: next, wide, sequence (the log has no order)" in note for note in notes)


@pytest.mark.parametrize(
    ("clock", "events", "verdict"),
    [
        ("order", 200_000, (True, "the log has 200,000 different events in an order")),
        ("time", 20_000, (False, "the log has 20,000 different events in an order")),
        ("none", 200_000, (False, "the log has no order")),
    ],
)
def test_a_network_reads_sequences_where_there_are_many(
    clock: Clock, events: int, verdict: tuple[bool, str]
) -> None:
    assert RULES["sequence"](replace(ALL, clock=clock, events=events)) == verdict


def test_without_an_order_few_events_are_enough_to_regress_items_on_one_another() -> None:
    few = replace(ALL, events=149_999)
    assert RULES["ease"](replace(few, clock="none")) == (True, "the log has no order")
    assert RULES["ease"](few) == (False, "the log has 149,999 different events in an order")
    assert RULES["ease"](replace(ALL, events=150_000))[0]


def test_text_brings_content() -> None:
    world = planted()
    used, notes = chosen(world.log, world.catalog)
    assert "content" in used
    assert any("content (the catalogue has text)" in note for note in notes)
    used, notes = chosen(world.log)
    assert "content" not in used
    assert any("content (the catalogue has no text)" in note for note in notes)


def test_settings_have_the_last_word() -> None:
    unordered = log_of([0, 1], items=3, clock="none")
    assert "next" in chosen(unordered, sources={"next": {"use": True}})[0]
    ordered = log_of([0, 1], items=3)
    assert "next" not in chosen(ordered, sources={"next": {"use": False}})[0]


def test_depth_follows_the_catalogue_unless_it_is_set() -> None:
    def depths(items: int, encoder: bool = False) -> dict[str, int]:
        log = log_of(list(range(items)), items=items)
        settings = EngineSettings.parse(
            {"sources": {"wide": {"depth": 33}, "sequence": {"use": encoder}}}
        )
        decided, _ = adapted(settings, log, Catalog.empty(log.items))
        return {member.name: member.depth for member in make_sources(decided).members}

    assert (depths(30)["next"], depths(300)["next"], depths(3000)["next"]) == (10, 30, DEPTH)
    assert (depths(30)["wide"], depths(3000)["wide"]) == (33, 33)
    assert depths(3000)["follow"] == 0
    assert "sequence" not in depths(3000)
    beside = depths(3000, encoder=True)
    assert (beside["sequence"], beside["next"], beside["wide"]) == (300, 32, 33)
    assert depths(300, encoder=True)["sequence"] == 30


def test_what_is_decided_is_decided_once() -> None:
    world = planted()
    decided, _ = adapted(SETTINGS, world.log, world.catalog)
    assert adapted(decided, log_of([0], items=1, clock="none"), Catalog.empty(world.log.items))[
        0
    ] == (decided)
