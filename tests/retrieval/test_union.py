"""The union: reciprocal rank fusion by hand, and what each source thought of an item."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.union import union
from tests.worlds import offered


def test_two_lists_by_hand() -> None:
    merged = union(
        [
            offered([[5, 3, 8]], "als", [[0.9, 0.5, 0.1]]),
            offered([[3, 7, PAD]], "covisit", [[40, 2, 0]]),
        ]
    )
    # 3: 1/62 + 1/61; 5: 1/61; 7: 1/62; 8: 1/63
    assert merged.items.tolist() == [[3, 5, 7, 8]]
    assert merged.sources == ("als", "covisit")
    assert merged.ranks.tolist() == [[[1, 0], [0, PAD], [PAD, 1], [2, PAD]]]
    off = -np.inf
    expected = np.array([[[0.5, 40], [0.9, off], [off, 2], [0.1, off]]], np.float32)
    np.testing.assert_array_equal(merged.scores, expected)


def test_two_middling_ranks_beat_one_good_one() -> None:
    lists = [offered([[1, 2, 3, 4, 9]], "a"), offered([[5, 6, 7, 8, 9]], "b")]
    assert union(lists).items[0, 0] == 9  # 2/65 > 1/61


def test_the_width_is_that_of_the_longest_list() -> None:
    merged = union([offered([[1, 2], [PAD, PAD]], "a"), offered([[2, PAD], [4, PAD]], "b")])
    assert merged.items.tolist() == [[2, 1], [4, PAD]]
    assert merged.ranks[1].tolist() == [[PAD, 0], [PAD, PAD]]
    assert np.isneginf(merged.scores[1, 1]).all()


def test_lists_of_nothing_but_pad() -> None:
    merged = union([offered([[PAD, PAD]] * 2, "a"), offered([[PAD]] * 2, "b")])
    assert merged.items.tolist() == [[PAD], [PAD]]
    assert np.isneginf(merged.scores).all()
    assert (merged.ranks == PAD).all()


def test_no_queries() -> None:
    nobody = Candidates.of_one(
        np.zeros(0, np.int32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.float32), "a"
    )
    assert len(union([nobody, nobody])) == 0


def test_one_source_keeps_its_order() -> None:
    alone = offered([[4, 2, 9], [7, PAD, PAD]])
    merged = union([alone])
    assert merged.items.tolist() == alone.items.tolist()
    np.testing.assert_array_equal(merged.scores, alone.scores)
    np.testing.assert_array_equal(merged.ranks, alone.ranks)


def padded(own: list[int], width: int) -> list[int]:
    return own + [PAD] * (width - len(own))


lists = st.lists(st.integers(0, 40), unique=True, max_size=30)


@given(st.lists(st.tuples(lists, lists, lists), min_size=1, max_size=4))
def test_everything_offered_is_there_once_with_its_provenance(
    queries: list[tuple[list[int], ...]],
) -> None:
    sources = [
        offered([padded(own[i], 30) for own in queries], name) for i, name in enumerate("abc")
    ]
    merged = union(sources)
    for query, own in enumerate(queries):
        fused: dict[int, float] = {}
        for each in own:
            for rank, item in enumerate(each):
                fused[item] = fused.get(item, 0) + 1 / (61 + rank)
        items = merged.items[query][merged.filled[query]].tolist()
        assert items == sorted(fused, key=lambda item: -fused[item])
        for place, item in enumerate(items):
            expected = [each.index(item) if item in each else PAD for each in own]
            assert merged.ranks[query, place].tolist() == expected
            for source, rank in enumerate(expected):
                score = sources[source].scores[query, rank, 0] if rank != PAD else -np.inf
                assert merged.scores[query, place, source] == score


def test_a_list_does_not_depend_on_the_rest_of_the_batch() -> None:
    rng = np.random.default_rng(0)
    rows = [[rng.permutation(60)[:20].tolist() for _ in range(70)] for _ in range(3)]
    sources = [offered(each, name) for each, name in zip(rows, "abc", strict=True)]
    together = union(sources)
    for query in range(70):
        alone = union([each.take(np.array([query])) for each in sources])
        width = alone.items.shape[1]
        assert alone.items[0].tolist() == together.items[query, :width].tolist()
        assert (together.items[query, width:] == PAD).all()
