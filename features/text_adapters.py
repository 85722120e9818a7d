"""LoRA adapters of a text model: low-rank additions to its weights (Hu et al. 2022)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from recsys.features.arrays import Floats
from recsys.features.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from torch.nn import Module

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Adapters:
    """For each adapted layer the product of two thin matrices, times `scale`, joins its weights.

    The files, and the names of the weights, are those of peft: what either wrote the other reads.
    """

    weights: Mapping[str, Floats]  # LAYER.lora_A.weight (r, in), LAYER.lora_B.weight (out, r)
    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What the products are multiplied by."""
        return self.alpha / self.rank

    @cached_property
    def fingerprint(self) -> str:
        """A name for all that they do to a model."""
        digest = blake2b(f"{self.rank} {float(self.alpha)}".encode(), digest_size=16)
        for name, values in sorted(self.weights.items()):
            digest.update(f"{name} {values.shape}".encode() + values.tobytes())
        return digest.hexdigest()

    def merge(self, network: "Module") -> None:
        """Add them to the weights of a model; raises DataError where they are of another model."""
        import torch

        for name, down in self.weights.items():
            if not name.endswith(_DOWN):
                continue
            layer = name.removesuffix(_DOWN)
            added = torch.from_numpy(self.scale * (self.weights[layer + _UP] @ down))
            own = dict(network.named_parameters()).get(f"{layer}.weight")
            if own is None or own.shape != added.shape:
                found = "no such layer" if own is None else f"one of {tuple(own.shape)}"
                raise DataError(
                    f"the adapters are of another text model: they change {layer!r} of "
                    f"{tuple(added.shape)}, and this one has {found}"
                )
            own.data += added.to(own)

    def save(self, folder: Path) -> None:
        """Write them into an existing folder as safetensors and JSON."""
        from safetensors.numpy import save_file

        save_file({_PREFIX + name: each for name, each in self.weights.items()}, folder / _WEIGHTS)
        layers = sorted({name.removesuffix(_DOWN) for name in self.weights if _DOWN in name})
        about = {"peft_type": "LORA", "r": self.rank, "lora_alpha": self.alpha, "bias": "none"}
        (folder / _CONFIG).write_text(json.dumps({**about, "target_modules": layers}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What was saved, here or by peft; raises ArtifactError where it cannot be read."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            about = json.loads((folder / _CONFIG).read_text())
            loaded = cls(
                {
                    name.removeprefix(_PREFIX): each
                    for name, each in load_file(folder / _WEIGHTS).items()
                },
                int(about["r"]),
                float(about["lora_alpha"]),
            )
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError,
                SafetensorError) as error:  # fmt: skip
            raise ArtifactError(f"{folder} holds no LoRA adapters: {error!r}") from None
        loaded._check(folder)
        return loaded

    def _check(self, folder: Path) -> None:
        """Raise ArtifactError where they are no pairs of thin matrices of one rank."""
        if self.rank < 1 or not np.isfinite(self.alpha):
            raise ArtifactError(
                f"{folder}: adapters have a rank of 1 or more and a finite lora_alpha; "
                f"got {self.rank} and {self.alpha}"
            )
        for name, values in self.weights.items():
            pair = name.replace(_DOWN, _UP) if name.endswith(_DOWN) else name.replace(_UP, _DOWN)
            ranked = values.shape[0 if name.endswith(_DOWN) else -1] if values.ndim == 2 else None
            if pair == name or pair not in self.weights or ranked != self.rank:
                raise ArtifactError(
                    f"{folder}: {name[:100]!r} of {values.shape} is no half of a pair of rank "
                    f"{self.rank}"
                )
            if not np.isfinite(values).all():
                raise ArtifactError(f"{folder}: {name[:100]!r} holds values that are not finite")

    @classmethod
    def of(cls, state: Mapping[str, Floats], rank: int, alpha: float) -> Self:
        """From the state of a model that peft has adapted."""
        weights = {
            name.removeprefix(_PREFIX): np.ascontiguousarray(each, np.float32)
            for name, each in state.items()
        }
        return cls(weights, rank, alpha)
