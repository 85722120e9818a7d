"""A saved ranker's network, made only once its file is known to hold all of its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, FiniteFloat, model_validator

from recsys.features import tensors
from recsys.features.errors import ArtifactError
from recsys.features.schema import floats
from recsys.features.stored import Stored
from recsys.ranking.network import ListNetwork

_FILE = "network.safetensors"

_Count = Annotated[int, Field(ge=0, le=1 << 16)]
_Width = Annotated[int, Field(ge=1, le=1 << 16)]


class Line(Stored):
    """What calibrates one event."""

    slope: FiniteFloat
    intercept: FiniteFloat


class About(Stored):
    """What `ranker.json` says."""

    features: tuple[str, ...]
    hidden: tuple[_Width, ...]
    members: _Width
    cross_layers: _Count = Field(alias="cross layers")
    cross_rank: _Width | None = Field(alias="cross rank")
    events: tuple[str, ...]
    shift: FiniteFloat
    lines: tuple[Line, ...]
    stretch: Annotated[int, Field(ge=0, lt=1 << 62)] | None
    curve: tuple[dict[str, float], ...]
    served_by: Literal["int8", "int8-dynamic", "pruned", "distilled", "onnx"] | None = Field(
        default=None, alias="served by"
    )

    @model_validator(mode="after")
    def _a_line_for_each_event(self) -> Self:
        if len(self.lines) != len(self.events):
            raise ValueError(f"{len(self.lines)} lines for {len(self.events)} events")
        if len(set(self.features)) != len(self.features) or not self.features:
            raise ValueError("features must have names that differ")
        return self


def load_network(folder: Path, about: About, dropout: float) -> ListNetwork:
    """The network of these sizes; raises ArtifactError where the weights are not those of one.

    It is laid out without memory first: what is allocated is as long as the file.
    """
    path = folder / _FILE
    told = tensors.shapes(path)
    layers = about.members * (len(about.hidden) + about.cross_layers + 1)
    if layers > len(told):  # each of them has a weight at the least
        raise ArtifactError(
            f"{folder}: the network does not fit its settings: {layers:,} layers, and "
            f"{len(told):,} arrays in {path.name}"
        )
    with torch.device("meta"):
        network = ListNetwork(
            len(about.features), about.hidden, dropout, len(about.events), about.members,
            about.cross_layers, about.cross_rank,
        )  # fmt: skip
    return with_weights(path, network, f"{folder}: the network does not fit its settings")


def with_weights(path: Path, network: ListNetwork, said: str) -> ListNetwork:
    """A network without memory (on "meta") with the weights of a file, ready to score.

    Raises ArtifactError where the file has others, or some that are not finite.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_shapes(tensors.shapes(path), wanted, said)
    read = tensors.read(path, {name: floats(*shape) for name, shape in wanted.items()})
    weights = {name: torch.from_numpy(value) for name, value in read.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval()


def check_shapes(
    told: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], said: str
) -> None:
    """Raise ArtifactError that names the first array that is missing, added or of another shape."""
    if odd := sorted(told.keys() ^ wanted.keys()):
        raise ArtifactError(f"{said}: {odd[0]!r} is missing or added")
    for name, shape in wanted.items():
        if told[name] != shape:
            raise ArtifactError(f"{said}: {name!r} must be of shape {shape}; got {told[name]}")
