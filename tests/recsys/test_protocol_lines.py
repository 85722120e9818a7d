"""What is printed of how an evaluation was made, in words that fit their numbers."""

from typing import Any

from recsys.printing import protocol_lines, repeat_lines, verdict
from recsys.reporting.findings import protocol_sentences
from recsys.reporting.outcome import Outcome


def result(ranker: dict[str, Any] | None = None, **protocol: Any) -> dict[str, Any]:
    counts = {"name": "given", "k": 5, "users": 1, "positives": 2, "users_without_past": 0}
    return {
        "protocol": {**counts, **protocol},
        "account": {"ranker": ranker or {}},
        "fit_seconds": 1.0,
        "peak_memory_bytes": 10**9,
    }


def test_one_is_no_plural_and_nothing_is_said_so() -> None:
    assert list(protocol_lines(result())) == [
        "protocol given; k = 5",
        "scored: 1 user, 2 positives; left out: nothing",
        "fit 1.0 s, peak memory 1.00 GB",
    ]


def test_everything_left_out_is_said_in_both_places() -> None:
    told = result(
        positives_of_unknown_items=1_200,
        users_of_unknown_items=1,
        users_without_target=3,
        positives_without_past=2,
    )
    said = (
        "2 positives of users without a past, 3 users of whom no target was held out, "
        "1 user who chose only items that the log has not and "
        "1,200 positives of items that the log has not"
    )
    assert f"scored: 1 user, 2 positives; left out: {said}" in list(protocol_lines(told))
    outcome = Outcome.parse({"protocol": told["protocol"]})
    assert protocol_sentences(outcome)[-1] == f"Left out: {said}."


def test_the_share_that_was_held_out_is_said() -> None:
    assert "protocol given, 20.0% of the events held out; k = 5" in list(
        protocol_lines(result(held_share=0.2))
    )


def test_a_ranker_is_told_only_where_the_file_says_it_was_trained() -> None:
    scores = {"ndcg@5": 0.25, "best@5": 0.5}
    assert len(list(protocol_lines(result(scores)))) == 3
    told = list(protocol_lines(result({**scores, "trained": True})))
    assert told[0].startswith("the ranker reaches NDCG@5 0.2500; the best order")


def repeated(slices: list[dict[str, Any]], **scores: float) -> list[str]:
    told = {"protocol": {"k": 5}, "systems": {"two-stage": scores}, "slices": slices}
    return list(repeat_lines(told))


def new_to_the_user(by: str = "repeat") -> dict[str, Any]:
    scores = {"two-stage": {"ndcg@5": 0.0625, "recall@5": 0.125}}
    return {"by": by, "slice": "new to the user", "users": 1, "positives": 1200, "systems": scores}


def test_repeats_are_told_with_what_is_reached_without_them() -> None:
    scores = {"repeat_share@5": 0.64, "repeat_hits@5": 0.82}
    places, fresh = repeated([new_to_the_user("age"), new_to_the_user()], **scores)
    assert places == (
        "of the two-stage list 64.0% of the places and 82.0% of the hits are items that the user "
        "had before"
    )
    assert fresh == (
        "it reaches NDCG@5 0.0625 and Recall@5 0.1250 on the 1,200 positives that were new to "
        "1 user"
    )


def test_repeats_of_lists_without_a_hit() -> None:
    (said,) = repeated([], **{"repeat_share@5": 0.5})
    assert said == "of the two-stage list 50.0% of the places are items that the user had before"


def test_nothing_is_told_where_nothing_is_repeated() -> None:
    assert repeated([new_to_the_user()]) == []
    assert repeated([new_to_the_user()], **{"repeat_share@5": 0.0}) == []


def test_lists_of_all_sources_or_of_none_are_no_answer_of_a_source() -> None:
    scores = {name: {"ndcg@5": 0.5} for name in ("two-stage", "fused", "own history")}
    told = {"protocol": {"k": 5}, "systems": scores, "account": {"ranker": {}}, "comparisons": []}
    assert verdict(told).startswith("no source answered in every window")
