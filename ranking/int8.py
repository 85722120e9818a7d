"""A ranker's network with int8 weights, and inputs of every layer rounded to int8."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np

from recsys.features import tensors
from recsys.features.arrays import Array, Floats
from recsys.features.schema import ArraySchema, Mismatch, floats
from recsys.features.stored import reading
from recsys.ranking.network import ListNetwork

_FILE = "int8.safetensors"

_MOST = 127
_SHARE = 0.999  # of the values that static steps reach; what lies beyond is cut off


@dataclass(frozen=True)
class Int8Scorer:
    """Layers of int8 weights with one step per output, a last layer of float32.

    Static inputs of a layer have steps learnt from lists, one per feature and one per hidden layer;
    dynamic ones have those of the candidate's own largest input (Jacob et al. 2018).
    """

    mean: Floats  # (f,)
    scale: Floats  # (f,)
    peaks: Floats  # (layers,) the largest input of each, 0 where it is looked for
    widths: Array  # (layers + 1,) int64
    weights: Array  # (sum of inputs x outputs of each layer) int8, each (inputs, outputs)
    steps: Floats  # (sum of outputs,) what 1 in a weight is worth
    biases: Floats  # (sum of outputs,)
    last: Floats  # (outputs, inputs)
    last_bias: Floats  # (outputs,)

    @classmethod
    def of(cls, network: ListNetwork, features: Floats | None = None) -> "Int8Scorer":
        """A network rounded; steps are learnt from features (n, f), or dynamic without them."""
        linear = network.merged().linear()
        mean, scale = network.mean.cpu().numpy(), network.scale.cpu().numpy()
        peaks = np.zeros(len(linear) - 1, np.float32)
        matrices = [layer.weight.detach().cpu().numpy().T for layer in linear]
        biases = [layer.bias.detach().cpu().numpy() for layer in linear]
        if features is not None:
            inputs = (features - mean) * scale
            sizes = np.abs(inputs)
            reach = np.quantile(sizes, _SHARE, axis=0).astype(np.float32)
            reach = np.where(reach > 0, reach, sizes.max(axis=0)) + 1e-12
            scale, matrices[0] = scale / reach, matrices[0] * reach[:, None]
            peaks = _peaks(inputs / reach, matrices, biases)
        rounded = [_rounded(matrix) for matrix in matrices[:-1]]
        return cls(
            mean=mean,
            scale=scale.astype(np.float32),
            peaks=peaks,
            widths=np.array([matrix.shape[0] for matrix in matrices]),
            weights=_flat([weights for weights, _ in rounded], np.int8),
            steps=_flat([steps for _, steps in rounded], np.float32),
            biases=_flat(biases[:-1], np.float32),
            last=np.ascontiguousarray(matrices[-1].T),
            last_bias=biases[-1],
        )

    def __call__(self, features: Floats) -> Floats:
        """features (n, f) -> scores (n, outputs)"""
        from recsys.ranking.int8_kernel import score_int8

        kernel: Callable[..., None] = score_int8
        scores = np.empty((len(features), len(self.last_bias)), np.float32)
        rows = np.ascontiguousarray(features)
        kernel(rows, rows.view(np.int32), *self._in_pairs, scores)
        return scores

    def save(self, folder: Path) -> None:
        """Write all arrays as safetensors."""
        from safetensors.numpy import save_file

        save_file({each.name: getattr(self, each.name) for each in fields(self)}, folder / _FILE)

    @classmethod
    def load(cls, folder: Path, features: int | None = None) -> Self:
        """Read what `save` wrote; raises ArtifactError where that is incomplete or damaged."""
        path = folder / _FILE
        sizes = {} if features is None else {"features": features}
        scorer = cls(**tensors.read(path, _SCHEMAS, sizes))
        with reading(path):
            scorer._check_widths()
        return scorer

    def _check_widths(self) -> None:
        """Raise Mismatch where arrays are not as long as the widths of the layers say."""
        widths = [int(width) for width in self.widths]
        products = sum(rows * columns for rows, columns in pairwise(widths))
        found = {
            "mean": (len(self.mean), widths[0]),
            "weights": (len(self.weights), products),
            "steps": (len(self.steps), sum(widths[1:])),
            "last": (self.last.shape[1], widths[-1]),
        }
        for name, (length, wanted) in found.items():
            if length != wanted:
                raise Mismatch(f"{name!r} must have {wanted} of widths {widths}; got {length}")

    @cached_property
    def _in_pairs(self) -> tuple[Array, ...]:
        """The arrays as the kernel reads them: widths filled up, weights in pairs of inputs."""
        from recsys.ranking.int8_kernel import AT_ONCE

        inputs, *hidden = (int(width) for width in self.widths)
        filled = [inputs, *(-(-width // AT_ONCE) * AT_ONCE for width in hidden)]
        ends = np.cumsum(hidden)[:-1]
        weights = [
            _paired(matrix, *shape)
            for matrix, shape in zip(
                _unflat(self.weights, self.widths), pairwise(filled), strict=True
            )
        ]
        steps, biases = (
            _flat(map(_longer, np.split(each, ends) if hidden else [], filled[1:]), np.float32)
            for each in (self.steps, self.biases)
        )
        last = np.pad(self.last, [(0, 0), (0, filled[-1] - self.last.shape[1])])
        return (
            self.mean, self.scale, self.peaks, np.array(filled), _flat(weights, np.int16),
            np.concatenate([np.zeros((0, 2), int), *map(_spans, weights)]), steps, biases, last,
            self.last_bias,
        )  # fmt: skip


_SCHEMAS = {
    "mean": floats("features"),
    "scale": floats("features"),
    "peaks": floats("layers", least=0),
    "widths": ArraySchema("int64", ("layers+1",), 1, 1 << 16),
    "weights": ArraySchema("int8", ("products",)),
    "steps": floats("outputs", least=0),
    "biases": floats("outputs"),
    "last": floats(1, "width"),
    "last_bias": floats(1),
}


def _rounded(matrix: Floats) -> tuple[Array, Floats]:
    """Weights (inputs, outputs) as int8, and the step of each output."""
    largest = np.abs(matrix).max(axis=0)
    steps = np.where(largest > 0, largest / _MOST, 1).astype(np.float32)
    return np.rint(matrix / steps).astype(np.int8), steps


def _peaks(inputs: Floats, matrices: Sequence[Floats], biases: Sequence[Floats]) -> Floats:
    """What the inputs of each hidden layer reach but for a few; inputs (n, f) reach 1."""
    peaks: list[float] = []
    values = inputs
    for matrix, bias in zip(matrices[:-1], biases[:-1], strict=True):
        peaks.append(1.0 if not peaks else float(np.quantile(values, _SHARE)) or 1.0)
        values = np.maximum(values @ matrix + bias, 0)
    return np.array(peaks, np.float32)


def _paired(matrix: Array, inputs: int, outputs: int) -> Array:
    """A smaller matrix as int16 (pairs of inputs, outputs, 2), filled up with zeros."""
    rows, columns = matrix.shape
    missing = [(0, inputs + inputs % 2 - rows), (0, outputs - columns)]
    full = np.pad(matrix, missing).astype(np.int16)
    return full.reshape(-1, 2, outputs).transpose(0, 2, 1)


def _spans(weights: Array) -> Array:
    """(groups of AT_ONCE outputs, 2) the pairs of inputs that any of a group reads, from and to."""
    from recsys.ranking.int8_kernel import AT_ONCE

    pairs, outputs, _ = weights.shape
    read = (weights.reshape(pairs, outputs // AT_ONCE, -1) != 0).any(axis=2)  # (pairs, groups)
    begin, end = read.argmax(axis=0), pairs - read[::-1].argmax(axis=0)
    return np.where(read.any(axis=0), [begin, end], 0).T


def _unflat(weights: Array, widths: Array) -> list[Array]:
    """The matrix (inputs, outputs) of each layer."""
    shapes = list(pairwise(widths.tolist()))
    parts = np.split(weights, np.cumsum([rows * columns for rows, columns in shapes]))
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)]


def _longer(values: Array, length: int) -> Array:
    return np.pad(values, (0, length - len(values)))


def _flat(parts: Iterable[Array], kind: type) -> Array:
    return np.concatenate([np.zeros(0), *(np.ravel(part) for part in parts)]).astype(kind)
