"""Repeats on lists of letters, counted by hand and by loops."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engine import Engine
from recsys.evaluation.evaluate import TWO_STAGE, Evaluation, evaluate, weighted
from recsys.evaluation.held import Held
from recsys.evaluation.protocols import windows
from recsys.evaluation.repeats import had, may_repeat, own_lists, shares
from recsys.features.arrays import PAD, Rows
from recsys.features.catalog import Catalog
from recsys.policy import Policy
from recsys.settings import OWN, EngineSettings, EvaluationSettings
from tests.shops import listed, ordered_settings, orders

CHOICES = {"ann": "abca", "bob": "bbc", "cat": "cacb"}
"""Last items a, which ann had before, and c and b, which are new to bob and to cat."""

AGAIN = {"interaction": {"offer_again": True}}


def held_of(choices: Mapping[str, str], again: bool = True) -> Held:
    """Each user's last item, held out; what was had may be offered again, or nothing of it."""
    settings = ordered_settings(events=AGAIN if again else {})
    log, catalog = Engine(settings).read(orders(choices))
    (window,) = windows(log, EvaluationSettings())
    policy = Policy.of(np.ones(len(catalog), bool), log.events, settings.events)
    return Held.of(window, catalog, policy)


def rows(catalog: Catalog, lists: list[str]) -> Rows:
    """Lists of letters, `-` where one is short."""
    known = {str(item): row for row, item in enumerate(catalog.items.ids)}
    return np.array([[known.get(item, PAD) for item in own] for own in lists], np.int32)


def test_places_and_hits_by_hand() -> None:
    """Of six places a, b, b and a are repeats; of the hits a, c and b only that of ann is one."""
    held = held_of(CHOICES)
    lists = rows(held.catalog, ["ab", "bc", "ba"])
    assert shares(held, lists, [1, 2]) == {
        "repeat_share@1": 2 / 3, "repeat_hits@1": 1 / 2,
        "repeat_share@2": 4 / 6, "repeat_hits@2": 1 / 3,
    }  # fmt: skip


def test_short_lists_without_hits() -> None:
    held = held_of(CHOICES)
    told = shares(held, rows(held.catalog, ["b-", "--", "a-"]), [2])
    assert told["repeat_share@2"] == 1
    assert math.isnan(told["repeat_hits@2"])


@given(
    st.dictionaries(st.sampled_from("uvwxy"), st.text("abcd", min_size=2, max_size=6), min_size=1),
    st.lists(st.text("abcd-", min_size=3, max_size=3), min_size=5, max_size=5),
)
def test_what_was_had_against_a_loop(choices: dict[str, str], drawn: list[str]) -> None:
    held = held_of(choices)
    users = held.past.users.ids_at(held.histories.users)
    lists = drawn[: len(users)]
    found = had(held.histories, np.arange(len(users))[:, None], rows(held.catalog, lists))
    assert found.tolist() == [
        [item in choices[user][:-1] for item in own] for user, own in zip(users, lists, strict=True)
    ]


def test_nothing_is_repeated_where_every_event_hides_its_item() -> None:
    assert may_repeat(held_of(CHOICES))
    assert not may_repeat(held_of(CHOICES, again=False))


def letters(held: Held, lists: Rows) -> list[str]:
    """Lists of letters, `-` where one is short."""
    names = [*map(str, held.catalog.items.ids), "-"]  # PAD is the last of them
    return ["".join(names[row] for row in own) for own in lists]


def test_own_lists_by_hand() -> None:
    """The last item of each is what is to be found: ann had abc, bob bb and cat cac."""
    held = held_of(CHOICES)
    assert letters(held, own_lists(held, 3)) == ["cba", "b--", "ca-"]
    assert letters(held, own_lists(held, 1)) == ["c", "b", "c"]


def test_own_lists_hold_only_what_may_be_offered() -> None:
    held = held_of(CHOICES)
    held = replace(held, policy=held.policy.without(rows(held.catalog, ["c"])[0]))
    assert letters(held, own_lists(held, 2)) == ["ba", "b-", "a-"]
    hiding = replace(held, policy=replace(held.policy, hides=~held.policy.hides))
    assert letters(hiding, own_lists(hiding, 2)) == ["--", "--", "--"]


@given(
    st.dictionaries(st.sampled_from("uvwxy"), st.text("abcd", min_size=2, max_size=9), min_size=1),
    st.integers(1, 5),
)
def test_own_lists_against_a_loop(choices: dict[str, str], k: int) -> None:
    held = held_of(choices)
    pasts = [choices[user][:-1] for user in held.past.users.ids_at(held.histories.users)]
    assert letters(held, own_lists(held, k)) == [
        "".join(sorted(set(own), key=lambda x: (-own.count(x), -own.rindex(x))))[:k].ljust(k, "-")
        for own in pasts
    ]


def evaluated(again: bool) -> Evaluation:
    settings: EngineSettings = ordered_settings(events=AGAIN if again else {})
    engine = Engine(settings)
    log, catalog = engine.read(orders(CHOICES))
    return evaluate(engine, log, catalog, EvaluationSettings(k=2))


def test_an_evaluation_has_shares_of_every_list_where_something_may_be_repeated() -> None:
    """The popular list is b and c: both are ann's, and one of them is bob's, the other cat's."""
    again, never = evaluated(again=True), evaluated(again=False)
    for scores in again.systems.values():
        assert {"repeat_share@2", "repeat_share@5", "repeat_share@20"} <= set(scores)
    assert again.systems["popular"]["repeat_share@2"] == pytest.approx(4 / 6)
    assert not any("repeat" in metric for own in never.systems.values() for metric in own)


def test_own_lists_are_scored_where_something_may_be_repeated() -> None:
    again = evaluated(again=True)
    assert again.systems[OWN]["repeat_share@2"] == 1
    assert again.systems[OWN]["hr@20"] == pytest.approx(1 / 3)
    assert again.systems[OWN]["seconds"] > 0
    assert OWN in [each["against"] for each in again.as_dict("letters")["comparisons"]]
    assert OWN not in again.account["sources"]
    assert OWN not in evaluated(again=False).systems


def test_a_window_without_a_hit_leaves_the_shares_of_the_others() -> None:
    windows = [{"repeat_hits@2": np.nan, "gini@2": 0.2}, {"repeat_hits@2": 0.5, "gini@2": 0.6}]
    assert weighted([1, 3], windows) == {"repeat_hits@2": 0.5, "gini@2": pytest.approx(0.5)}
    assert "repeat_hits@2" not in weighted([1], windows[:1])


def test_the_shares_are_those_of_the_lists_that_are_offered() -> None:
    evaluation = evaluated(again=True)
    past = {user: own[:-1] for user, own in CHOICES.items()}
    engine = Engine(ordered_settings(events=AGAIN)).fit(orders(past))
    lists = listed(engine.recommend(list(past), k=2))
    repeats = [item in past[user] for user, own in lists.items() for item in own]
    assert evaluation.systems[TWO_STAGE]["repeat_share@2"] == pytest.approx(np.mean(repeats))
