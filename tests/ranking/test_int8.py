"""Int8 layers: the compiled kernel against the same arithmetic in numpy, and against float32."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.features.arrays import Floats
from recsys.features.errors import ArtifactError
from recsys.ranking.int8 import Int8Scorer
from recsys.ranking.network import ListNetwork


def network(features: int, hidden: tuple[int, ...], seed: int = 0, members: int = 1) -> ListNetwork:
    """Random weights, inputs far from mean 0 and deviation 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = ListNetwork(features, hidden, members=members).eval()
        made.mean.normal_(std=5)
        made.scale.uniform_(0.1, 4)
    return made


def inputs(made: ListNetwork, n: int, seed: int = 0) -> Floats:
    drawn = np.random.default_rng(seed).normal(size=(n, len(made.mean)))
    return (drawn / made.scale.numpy() + made.mean.numpy()).astype(np.float32)


def by_numpy(scorer: Int8Scorer, features: Floats) -> Floats:
    """What the kernel says it does, a layer at a time in integers."""
    values = (features - scorer.mean) * scorer.scale
    at = to = 0
    for layer, (rows, columns) in enumerate(pairwise(scorer.widths)):
        matrix = scorer.weights[at : at + rows * columns].reshape(rows, columns).astype(np.int64)
        steps, biases = (each[to : to + columns] for each in (scorer.steps, scorer.biases))
        peak = scorer.peaks[layer] or np.abs(values).max(axis=1, keepdims=True)
        per_unit = np.divide(127, peak, out=np.zeros_like(values[:, :1] * peak), where=peak > 0)
        rounded = np.floor(np.clip(values * per_unit, -127, 127) + 0.5).astype(np.int64)
        values = np.maximum((rounded @ matrix) * (peak / 127 * steps) + biases, 0)
        at, to = at + rows * columns, to + columns
    return values @ scorer.last.T + scorer.last_bias


widths = st.lists(st.integers(1, 70), max_size=3).map(tuple)


@settings(max_examples=25, deadline=None)
@given(features=st.integers(1, 70), hidden=widths, n=st.integers(0, 9), static=st.booleans())
def test_the_kernel_does_what_numpy_does(
    features: int, hidden: tuple[int, ...], n: int, static: bool
) -> None:
    made = network(features, hidden)
    scorer = Int8Scorer.of(made, inputs(made, 200, seed=1) if static else None)
    asked = inputs(made, n)
    scores = scorer(asked)
    assert scores.shape == (n, 1)
    # A value at the edge of two steps may be rounded to either.
    np.testing.assert_allclose(scores, by_numpy(scorer, asked), atol=0.02)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("hidden", [(64, 32), (40, 33, 7)])
def test_members_side_by_side_read_their_own_inputs_alone(
    hidden: tuple[int, ...], members: int, static: bool
) -> None:
    """Merged they are blocks with zeros between them, of which spans leave out what they can."""
    made = network(21, hidden, members=members)
    scorer = Int8Scorer.of(made, inputs(made, 200, seed=1) if static else None)
    *_, spans, _, _, _, _ = scorer._in_pairs
    assert len(set(spans[:, 0].tolist())) > 1, "no span begins after the first input"
    asked = inputs(made, 9)
    np.testing.assert_allclose(scorer(asked), by_numpy(scorer, asked), atol=0.02)


def test_outputs_that_read_nothing_have_their_bias() -> None:
    made = network(5, (64, 8))
    with torch.no_grad():
        made.linear()[1].weight[:, :32] = 0
        made.linear()[0].weight[32:] = 0
    scorer = Int8Scorer.of(made)
    *_, spans, _, _, _, _ = scorer._in_pairs
    assert spans[1].tolist() == [0, 0]
    asked = inputs(made, 5)
    np.testing.assert_allclose(scorer(asked), by_numpy(scorer, asked), atol=0.02)


@pytest.mark.parametrize("static", [True, False])
def test_it_is_near_the_network(static: bool) -> None:
    made = network(40, (64, 32))
    scorer = Int8Scorer.of(made, inputs(made, 4000, seed=1) if static else None)
    asked = inputs(made, 2000)
    with torch.no_grad():
        expected = made(torch.from_numpy(asked)).numpy()
    difference = scorer(asked)[:, 0] - expected
    assert difference.std() < 0.05 * expected.std()


def test_a_network_without_hidden_layers_is_not_rounded() -> None:
    made = network(7, ())
    asked = inputs(made, 50)
    scores = Int8Scorer.of(made, asked)(asked)[:, 0]
    expected = made(torch.from_numpy(asked)).detach().numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_weights_take_a_byte_each() -> None:
    made = network(60, (64, 32))
    scorer = Int8Scorer.of(made, inputs(made, 100))
    assert scorer.weights.dtype == np.int8
    assert scorer.weights.nbytes == 60 * 64 + 64 * 32


def test_constant_features_of_lists_bring_nothing_in() -> None:
    made = network(5, (8,))
    lists = inputs(made, 100)
    made.scale[2] = 0
    scorer = Int8Scorer.of(made, lists)
    asked = np.zeros((1, 5), np.float32)
    other = asked.copy()
    other[0, 2] = 1e6
    one, same = (scorer(each).item() for each in (asked, other))
    assert one == same
    assert np.isfinite(one)


def test_a_row_of_zeros_has_a_score() -> None:
    made = network(3, (4,))
    made.mean.zero_()
    scorer = Int8Scorer.of(made)
    assert np.isfinite(scorer(np.zeros((1, 3), np.float32)).item())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_has_no_score(value: float) -> None:
    made = network(5, (4,))
    asked = inputs(made, 3)
    asked[1, 2] = value
    scores = Int8Scorer.of(made, inputs(made, 10))(asked)[:, 0]
    assert np.isfinite(scores).tolist() == [True, False, True]


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8])
def test_a_row_has_the_same_score_alone_as_beside_another(n: int, static: bool) -> None:
    made = network(9, (33, 5))
    scorer = Int8Scorer.of(made, inputs(made, 100, seed=1) if static else None)
    asked = inputs(made, n)
    alone = [scorer(asked[row : row + 1]) for row in range(n)]
    np.testing.assert_array_equal(scorer(asked), np.concatenate([np.zeros((0, 1)), *alone]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("row", range(5))
def test_a_row_that_is_not_finite_changes_no_other(row: int, static: bool, value: float) -> None:
    made = network(9, (33, 5))
    scorer = Int8Scorer.of(made, inputs(made, 100, seed=1) if static else None)
    asked = inputs(made, 5)
    expected = scorer(asked)
    expected[row] = np.nan
    asked[row, 4] = value
    np.testing.assert_array_equal(scorer(asked), expected)


def test_saved_and_loaded_it_scores_the_same(tmp_path: Path) -> None:
    made = network(9, (33, 5))
    asked = inputs(made, 20)
    scorer = Int8Scorer.of(made, inputs(made, 100))
    scorer.save(tmp_path)
    np.testing.assert_array_equal(Int8Scorer.load(tmp_path)(asked), scorer(asked))


def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"mean": np.zeros(3, np.float32)}, tmp_path / "int8.safetensors")
    with pytest.raises(ArtifactError, match=r"int8\.safetensors cannot be read"):
        Int8Scorer.load(tmp_path)
