"""What gives candidates their scores: a network on torch, or what can stand in for one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from recsys.features import tensors
from recsys.features.arrays import Floats, Mask
from recsys.features.stored import reading

CHUNK = 2048
"""Candidates scored at once: the hidden layers stay in the cache."""

_FILE = "scorer.safetensors"


class Scorer(Protocol):
    """The last step of ranking; it knows nothing of lists."""

    def __call__(self, features: Floats) -> Floats:
        """features (n, f) -> scores (n, 1)"""

    def save(self, folder: Path) -> None:
        """Write it into an existing folder, without pickle."""

    @classmethod
    def load(cls, folder: Path, features: int | None = None) -> Self:
        """Read what `save` wrote, of so many features where that is known.

        Raises ArtifactError where it is damaged.
        """


@dataclass(frozen=True)
class NetworkScorer:
    """A `ListNetwork` on the device that it is on, with the scale of its inputs folded in."""

    network: Any  # ListNetwork: torch is loaded by who has one

    @cached_property
    def _layers(self) -> list[Any]:
        """What is called one after the other."""
        return list(self.network.folded())

    def __call__(self, features: Floats) -> Floats:
        import torch

        with torch.inference_mode():
            return in_chunks(self._scores, features)

    def _scores(self, features: Floats) -> Floats:
        import torch

        values = torch.from_numpy(features).to(self.network.mean.device)
        for layer in self._layers:
            values = layer(values)
        scores: Floats = values.cpu().numpy()
        return scores

    def save(self, folder: Path) -> None:
        """Write the weights, whose shapes say which network they are of."""
        from safetensors.torch import save_file

        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / _FILE)

    @classmethod
    def load(cls, folder: Path, features: int | None = None) -> Self:
        import torch

        from recsys.ranking.network import ListNetwork
        from recsys.ranking.stored_network import with_weights

        path = folder / _FILE
        shapes = tensors.shapes(path)
        (width,) = shapes.get("mean", ()) or (0,)
        with reading(path), torch.device("meta"):
            network = ListNetwork(width if features is None else features, _widths(shapes))
        return cls(with_weights(path, network, f"{path} cannot be read"))


def _widths(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The hidden widths of a network of one member, from the names and shapes of its weights."""
    before, after = "towers.0.layers.", ".weight"
    found = {
        int(name.removeprefix(before).removesuffix(after)): shape[0]
        for name, shape in shapes.items()
        if name.startswith(before) and name.endswith(after)
    }
    return tuple(found[number] for number in sorted(found))


def in_chunks(score: Callable[[Floats], Floats], features: Floats) -> Floats:
    """The scores (n, 1) of features (n, f), of CHUNK candidates at a time."""
    if len(features) <= CHUNK:
        return score(features)
    starts = range(0, len(features), CHUNK)
    return np.concatenate([score(features[start : start + CHUNK]) for start in starts])


def scored(scorer: Scorer, features: Floats, filled: Mask) -> Floats:
    """What a scorer gives candidates (b, w, f): (b, w), -inf where not filled or not finite."""
    scores = scorer(features.reshape(-1, features.shape[-1])).reshape(filled.shape)
    return np.where(filled & np.isfinite(scores), scores, np.float32(-np.inf))
