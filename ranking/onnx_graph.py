"""A ranker's network as an ONNX graph, and the graph run by ONNX Runtime."""

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from torch import nn

from recsys.features.arrays import Floats
from recsys.features.errors import MissingDependency
from recsys.features.stored import read_text, reading
from recsys.ranking.network import ListNetwork
from recsys.ranking.onnx_check import check_graph
from recsys.ranking.scorers import in_chunks

_FILE = "ranker.onnx"
_MOST_BYTES = 1 << 28  # of a graph
_OPSET, _FORMAT = 17, 8  # of ONNX 1.12: every runtime since 2022 reads it


def onnx_graph(network: ListNetwork) -> bytes:
    """The network as a model: `features` (n, f) float32 in, `scores` (n, outputs) out.

    What brings inputs to their scale is folded in. Raises MissingDependency without onnx.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ModuleNotFoundError:
        raise _missing("onnx") from None
    linear = [layer for layer in network.merged().folded() if isinstance(layer, nn.Linear)]
    nodes, weights, name = [], [], "features"
    for number, layer in enumerate(linear):
        own = {f"weights{number}": layer.weight, f"biases{number}": layer.bias}
        weights += [
            numpy_helper.from_array(v.detach().cpu().numpy(), key) for key, v in own.items()
        ]
        is_last = layer is linear[-1]
        sums = "scores" if is_last else f"sums{number}"
        nodes.append(helper.make_node("Gemm", [name, *own], [sums], transB=1))
        if not is_last:
            name = f"hidden{number}"
            nodes.append(helper.make_node("Relu", [sums], [name]))
    shapes = {"features": ["n", linear[0].in_features], "scores": ["n", linear[-1].out_features]}
    taken, given = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in shapes.items()
    )
    graph = helper.make_graph(nodes, "ranker", taken, given, weights)
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_FORMAT)
    checker.check_model(model, full_check=True)
    written: bytes = model.SerializeToString()
    return written


@dataclass(frozen=True)
class OnnxScorer:
    """A graph that ONNX Runtime runs, with one thread: blocks of queries share out the cores."""

    graph: bytes

    def __post_init__(self) -> None:
        self._session  # noqa: B018  a missing package is said here

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime as runtime
        except ModuleNotFoundError:
            raise _missing("onnxruntime") from None
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return runtime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, features: Floats) -> Floats:
        """features (n, f) -> scores (n, outputs)"""
        return in_chunks(self._scores, features)

    def _scores(self, features: Floats) -> Floats:
        scores: Floats = self._session.run(["scores"], {"features": features})[0]
        return scores

    def save(self, folder: Path) -> None:
        """Write the graph, which any runtime of ONNX reads."""
        (folder / _FILE).write_bytes(self.graph)

    @classmethod
    def load(cls, folder: Path, features: int | None = None) -> Self:
        """Read what `save` wrote; raises ArtifactError where there is none, or another graph."""
        path = folder / _FILE
        graph = read_text(path, _MOST_BYTES)
        with reading(path):
            check_graph(graph, features)
            return cls(graph)


def check_packages() -> None:
    """Raise MissingDependency before a fit that would end without what it needs."""
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise _missing(package)


def _missing(package: str) -> MissingDependency:
    return MissingDependency(
        f"a ranker compressed by onnx needs {package}: pip install 'recsys[onnx]'"
    )
