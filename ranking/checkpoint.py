"""A training as it stands between two epochs, in one file that is whole or the one before."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recsys.features.device import pick
from recsys.features.errors import TrainingError
from recsys.features.outputs import check_file, draft_of, writing
from recsys.ranking.lists import TrainingLists
from recsys.ranking.network import ListNetwork

if TYPE_CHECKING:
    from recsys.ranking.neural import NeuralRanker

_log = logging.getLogger("recsys")

Weights = dict[str, Tensor]
Curve = list[dict[str, float]]


@dataclass
class Training:
    """All that the next epoch depends on."""

    network: ListNetwork
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator  # draws the order of the lists
    curve: Curve
    best: Weights  # as of the epoch with the least loss on held-out lists

    @property
    def device(self) -> torch.device:
        """Where the network is, and what draws its dropout."""
        return self.network.mean.device

    def tensors(self) -> Weights:
        """Everything that is an array, by a name that says of what."""
        named = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        named |= {f"best.{name}": value for name, value in self.best.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        named["torch"] = torch.get_rng_state()
        if self.device.type == "cuda":
            named["cuda"] = torch.cuda.get_rng_state(self.device)
        return named

    def about(self) -> dict[str, Any]:
        """Everything else, as JSON has it."""
        return {
            "groups": self.optimizer.state_dict()["param_groups"],
            "schedule": self.schedule.state_dict(),
            "rng": self.rng.bit_generator.state,
            "curve": self.curve,
        }

    def restore(self, tensors: Weights, about: dict[str, Any]) -> None:
        """Become what `tensors` and `about` were taken of; also the numbers that torch draws."""
        self.network.load_state_dict(_under("network.", tensors))
        moments: dict[int, Weights] = {}
        for name, value in _under("optimizer.", tensors).items():
            number, _, moment = name.partition(".")
            moments.setdefault(int(number), {})[moment] = value
        self.optimizer.load_state_dict({"state": moments, "param_groups": about["groups"]})
        self.schedule.load_state_dict(about["schedule"])
        self.rng.bit_generator.state = about["rng"]
        self.curve[:] = about["curve"]
        self.best = {k: v.to(self.device) for k, v in _under("best.", tensors).items()}
        torch.set_rng_state(tensors["torch"])
        if "cuda" in tensors:
            torch.cuda.set_rng_state(tensors["cuda"], self.device)


def _under(prefix: str, tensors: Weights) -> Weights:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


@dataclass(frozen=True)
class Checkpoint:
    """A file for one training, known by the hash of its settings and its lists."""

    path: Path
    fingerprint: str

    @classmethod
    def of(cls, settings: "NeuralRanker", lists: TrainingLists) -> "Checkpoint | None":
        """Where these settings have a training kept; None where they do not.

        Raises OutputError where it cannot be written, before the first epoch.
        """
        if settings.checkpoint is None:
            return None
        check_file(settings.checkpoint, "ranker.checkpoint", makes_folders=True)
        return cls(Path(settings.checkpoint), _fingerprint(settings, lists))

    def write(self, training: Training) -> None:
        """Keep the training; the file before it stays until this one is whole on the disk."""
        tensors = {name: value.cpu().contiguous() for name, value in training.tensors().items()}
        about = {"of": self.fingerprint, "training": json.dumps(training.about())}
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(self.path) as draft:
            save_file(tensors, draft, about)
            _to_disk(draft)

    def resume(self, training: Training) -> None:
        """Go on from what the file holds; where it is of another training, say so and do not.

        Raises TrainingError where the file is no checkpoint at all: it is not overwritten.
        """
        if not self.path.exists():
            return
        if not self.path.is_file():
            raise TrainingError(f"{self.path} is no file, so no checkpoint; name another")
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"{self.path} cannot be read as a checkpoint: {error}") from None
        if "of" not in about:
            raise TrainingError(f"{self.path} holds weights that are no checkpoint; name another")
        if about["of"] != self.fingerprint:
            _log.warning(
                "%s is of other settings or lists: training starts anew and replaces it", self.path
            )
            return
        training.restore(tensors, json.loads(about["training"]))
        _log.info("training goes on after epoch %d of %s", len(training.curve), self.path)


def _fingerprint(settings: "NeuralRanker", lists: TrainingLists) -> str:
    """The same for trainings that would end with the same weights on one machine."""
    own = {f.name: getattr(settings, f.name) for f in fields(settings) if f.init}
    for name in ("checkpoint", "compression", "most_loss", "event_weights"):
        own.pop(name)
    own |= {"device": pick(settings.device), "torch": torch.__version__}
    said = {"settings": own, "names": lists.names, "shape": lists.features.shape}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    more = [each for each in (lists.grades, lists.weights) if each is not None]
    for some in lists.stretches():
        digest.update(np.ascontiguousarray(lists.features[some]).data)
    for array in (lists.labels, lists.filled, lists.users, *more):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
