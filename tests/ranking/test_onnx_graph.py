"""The ranker's network as an ONNX graph: the same scores from another runtime."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recsys.features.errors import ArtifactError, MissingDependency
from recsys.ranking.network import ListNetwork
from recsys.ranking.onnx_graph import OnnxScorer, onnx_graph


def network(hidden: tuple[int, ...]) -> ListNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = ListNetwork(6, hidden).eval()
        made.mean.normal_()
        made.scale.uniform_(0.5, 2)
    return made


@pytest.mark.parametrize("hidden", [(), (5,), (8, 4)])
def test_the_runtime_gives_the_scores_of_torch(hidden: tuple[int, ...], tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    made = network(hidden)
    asked = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)
    scorer = OnnxScorer(onnx_graph(made))
    with torch.no_grad():
        expected = made(torch.from_numpy(asked)).numpy()[:, None]
    np.testing.assert_allclose(scorer(asked), expected, rtol=1e-4, atol=1e-5)
    assert scorer(asked[:0]).shape == (0, 1)
    scorer.save(tmp_path)
    np.testing.assert_array_equal(OnnxScorer.load(tmp_path)(asked), scorer(asked))


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"ranker\.onnx cannot be read"):
        OnnxScorer.load(tmp_path)


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    for made in (lambda: onnx_graph(network(())), lambda: OnnxScorer(b"")):
        with pytest.raises(MissingDependency, match=r"pip install 'recsys\[onnx\]'"):
            made()
