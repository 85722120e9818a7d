"""What is printed of how an evaluation was made, in words that fit their numbers."""

from typing import Any

from recsys.printing import protocol_lines
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
