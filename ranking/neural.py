"""The neural ranker: learns from lists which candidate was chosen, then orders new ones."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np

from recsys.features.arrays import Array, Floats, Mask
from recsys.features.errors import ArtifactError, SettingsError, TrainingError
from recsys.features.settings import nearest
from recsys.features.threads import one_thread
from recsys.ranking.lists import TrainingLists
from recsys.ranking.scorers import NetworkScorer, scored

Compression = Literal["none", "int8", "int8-dynamic", "pruned", "distilled", "onnx"]


@dataclass
class NeuralRanker:
    """A list-wise network trained with AdamW under one cycle of the learning rate.

    It stops when the loss on held-out users has not fallen for `patience` epochs and keeps the
    best epoch. `fit` raises TrainingError where the loss or a feature is not finite. With a file
    for a `checkpoint`, a fit that was stopped goes on after its last epoch when it is called again
    with the same settings and lists, and ends with the same weights.
    """

    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
    epochs: int = 12
    batch: int = 64  # lists
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    held_out: float = 0.1  # share of the lists that decides when to stop
    patience: int = 3  # epochs
    most_gradient: float | None = None  # norm; a larger gradient is shortened to it
    checkpoint: Path | None = None
    compression: Compression = "none"  # what `compress` is to try after a fit
    most_loss: float = 0.01  # of NDCG@10, relative, that it may cost
    seed: int = 0
    device: str = "auto"
    names_: tuple[str, ...] = field(default=(), init=False, repr=False)
    network_: Any = field(default=None, init=False, repr=False)
    scorer_: Any = field(default=None, init=False, repr=False)  # the network as it serves
    served_by_: Compression = field(default="none", init=False, repr=False)
    curve_: list[dict[str, float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience", "learning_rate"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0; got {getattr(self, name)}")
        if self.most_gradient is not None and not self.most_gradient > 0:
            raise SettingsError(f"most_gradient must be above 0; got {self.most_gradient}")
        for name in ("dropout", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} must be at least 0, below 1; got {getattr(self, name)}"
                )
        if self.compression not in get_args(Compression):
            raise SettingsError(
                f"unknown compression {self.compression!r}; "
                f"{nearest(str(self.compression), get_args(Compression))}"
            )
        if not self.most_loss >= 0:
            raise SettingsError(f"most_loss must be 0 or more; got {self.most_loss}")
        if self.weight_decay < 0 or any(width < 1 for width in self.hidden):
            raise SettingsError("weight_decay must not be negative, and every width at least 1")

    def fit(self, lists: TrainingLists, progress: Callable[[float], None] | None = None) -> Self:
        """Learn from lists; `progress` is told the share of the epochs that is done."""
        import torch

        from recsys.ranking.training import train

        if len(lists) < 2:
            raise TrainingError(f"at least 2 lists are needed, one to hold out; got {len(lists)}")
        if not np.isfinite(lists.features).all():
            bad = np.flatnonzero(~np.isfinite(lists.features).all(axis=(0, 1)))
            raise TrainingError(f"features are not finite: {[lists.names[i] for i in bad]}")
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network, self.curve_ = train(lists, self, progress)
        self._hold(network)
        self.names_ = lists.names
        return self

    def scores(self, features: Floats, names: tuple[str, ...], filled: Mask) -> Floats:
        """Scores (b, w) of candidates with these features (b, w, f); -inf where not filled."""
        if names != self.names_:
            odd = sorted(set(names) ^ set(self.names_))
            raise TrainingError(f"the ranker was trained on other features; they differ in {odd}")
        return scored(self.scorer_, features, filled)

    def compress(self, lists: TrainingLists) -> str:
        """Serve by what `compression` makes of the network; says what that is and costs.

        `lists` are those of the fit. Raises QualityError, and changes nothing, where more than
        `most_loss` would be lost.
        """
        from recsys.ranking.compression import compress

        found = compress(self, self.compression, lists, self.most_loss)
        self.scorer_, self.served_by_ = found.scorer, self.compression
        return str(found)

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors) and what they belong to (JSON) into `folder`."""
        from safetensors.torch import save_file

        weights = {name: value.contiguous() for name, value in self.network_.state_dict().items()}
        save_file(weights, folder / "network.safetensors")
        about = {"features": self.names_, "hidden": self.hidden, "curve": self.curve_}
        if self.served_by_ != "none":
            about["served by"] = self.served_by_
            self.scorer_.save(folder)
        (folder / "ranker.json").write_text(json.dumps(about))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        from recsys.ranking.network import ListNetwork

        about = json.loads((folder / "ranker.json").read_text())
        network = ListNetwork(len(about["features"]), tuple(about["hidden"]), self.dropout)
        try:
            network.load_state_dict(load_file(folder / "network.safetensors"))
        except RuntimeError as error:
            raise ArtifactError(
                f"{folder}: the network does not fit its settings: {error}"
            ) from None
        self._hold(network.eval().to(self._device()))
        self.names_, self.curve_ = tuple(about["features"]), about["curve"]
        if "served by" in about:
            from recsys.ranking.compression import load_scorer

            self.served_by_ = about["served by"]
            self.scorer_ = load_scorer(self.served_by_, folder)
        return self

    def _hold(self, network: Any) -> None:
        self.network_, self.scorer_ = network, NetworkScorer(network)
        self.served_by_ = "none"

    def _device(self) -> str:
        from recsys.features.device import pick

        return pick(self.device)


def order(scores: Floats) -> Array:
    """Places (b, w) of candidates from the best score to the worst; equals keep their order."""
    return np.argsort(-scores, axis=1, kind="stable")
