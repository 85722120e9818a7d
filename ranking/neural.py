"""The neural ranker: learns from lists which candidate was chosen, then orders new ones."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.errors import SettingsError, TrainingError
from recsys.features.settings import check_at_most, nearest
from recsys.features.stored import read_json
from recsys.features.threads import one_thread, seeded
from recsys.ranking.calibration import Platt
from recsys.ranking.lists import TrainingLists
from recsys.ranking.scorers import NetworkScorer, in_chunks, scored

Precision = Literal["float32", "bfloat16"]
Compression = Literal["none", "int8", "int8-dynamic", "pruned", "distilled", "onnx"]

_MOST_UNITS = 8_192
_MOST: Mapping[str, float] = {
    "members": 32, "cross_layers": 16, "cross_rank": _MOST_UNITS, "epochs": 10_000,
    "batch": 1_000_000, "learning_rate": 1e30, "weight_decay": 1_000, "patience": 10_000,
    "event_loss": 1e300, "most_gradient": 1e30, "processes": 256, "most_loss": 1,
}  # fmt: skip


@dataclass
class NeuralRanker:
    """A list-wise network trained with AdamW under one cycle of the learning rate.

    It stops when the loss on held-out users has not fallen for `patience` epochs and keeps the
    best epoch. `fit` raises TrainingError where the loss or a feature is not finite, or a list has
    no chosen candidate. An event with fewer than 50 outcomes, or fewer than 50 candidates without
    it, is not foretold; a feature that is constant is left out of account. With a file for a
    `checkpoint`, a fit that was stopped goes on after its last epoch when it is called again with
    the same settings and lists, and ends with the same weights.
    """

    hidden: tuple[int, ...] = (64, 32)
    members: int = 2
    """Networks that learn side by side; the mean of their scores orders."""
    cross_layers: int = 0  # beside the hidden ones: products of features (DCN-v2)
    cross_rank: int | None = None  # of their matrices; None: full
    dropout: float = 0.1  # share of the hidden units that a list does without while it is learnt
    epochs: int = 12
    batch: int = 64  # lists
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    event_weights: Mapping[str, float] = field(default_factory=dict)
    """By event what its probability counts in the order; by default the lists' score orders."""
    held_out: float = 0.1  # share of the users whose lists decide when to stop
    patience: int = 3  # epochs
    event_loss: float = 0.3  # what the loss of the events' heads weighs beside that of the lists
    most_gradient: float | None = None  # norm; a larger gradient is shortened to it
    precision: Precision = "float32"  # of the products while training, never of scores
    processes: int = 1  # that train together; spawned, so a script needs its `__main__` guard
    checkpoint: Path | None = None
    compression: Compression = "none"  # what `compress` is to try after a fit
    most_loss: float = 0.01  # of NDCG@10, relative, that it may cost
    seed: int = 0
    device: str = "auto"
    names_: tuple[str, ...] = field(default=(), init=False, repr=False)
    network_: Any = field(default=None, init=False, repr=False)
    scorer_: Any = field(default=None, init=False, repr=False)  # the network as it serves
    events_: tuple[str, ...] = field(default=(), init=False, repr=False)  # that have heads
    shift_: float = field(default=0.0, init=False, repr=False)  # of log-odds: see `log_odds`
    lines_: tuple[Platt, ...] = field(default=(), init=False, repr=False)  # of each event
    stretch_: int | None = field(default=None, init=False, repr=False)
    """The microseconds in which an event of that probability happens; None: as the next choice."""
    served_by_: Compression = field(default="none", init=False, repr=False)
    threshold_: float | None = field(default=None, init=False, repr=False)  # not saved
    curve_: list[dict[str, float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(self, **_MOST)
        for name in ("members", "epochs", "batch", "patience", "learning_rate", "processes"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0; got {getattr(self, name)}")
        if self.most_gradient is not None and not self.most_gradient > 0:
            raise SettingsError(f"most_gradient must be above 0; got {self.most_gradient}")
        for name in ("dropout", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} must be at least 0, below 1; got {getattr(self, name)}"
                )
        self._check_cross_layers()
        if not self.event_loss >= 0:
            raise SettingsError(f"event_loss must not be negative; got {self.event_loss}")
        self._check_event_weights()
        if self.event_weights and self.compression != "none":
            raise SettingsError(
                "ranker.event_weights order by probabilities, which no compression serves; got "
                f"{dict(self.event_weights)} and compression = {self.compression!r}"
            )
        for name, known in (("compression", Compression), ("precision", Precision)):
            if (value := getattr(self, name)) not in get_args(known):
                raise SettingsError(
                    f"unknown {name} {value!r}; {nearest(str(value), get_args(known))}"
                )
        if self.processes > 1 and ":" in self.device:
            raise SettingsError(
                f"each of {self.processes} processes has a device of its own; got device = "
                f"{self.device!r}"
            )
        if not self.most_loss >= 0:
            raise SettingsError(f"most_loss must be 0 or more; got {self.most_loss}")
        if not self.weight_decay >= 0:
            raise SettingsError(f"weight_decay must not be negative; got {self.weight_decay}")
        if len(self.hidden) > 16 or any(not 1 <= units <= _MOST_UNITS for units in self.hidden):
            raise SettingsError(
                f"hidden must name at most 16 layers of 1 to {_MOST_UNITS:,} units; got "
                f"{self.hidden}"
            )

    def _check_cross_layers(self) -> None:
        if self.cross_layers < 0:
            raise SettingsError(f"cross_layers must not be negative; got {self.cross_layers}")
        if self.cross_rank is not None and not (self.cross_layers and self.cross_rank > 0):
            raise SettingsError(
                "cross_rank must be above 0, and cross_layers too where it is set; got cross_rank "
                f"= {self.cross_rank} and cross_layers = {self.cross_layers}"
            )
        if self.cross_layers and self.compression not in ("none", "distilled"):
            raise SettingsError(
                "cross_layers are served by no compression but 'distilled'; got cross_layers = "
                f"{self.cross_layers} and compression = {self.compression!r}"
            )

    def _check_event_weights(self) -> None:
        for name, weight in self.event_weights.items():
            if not 0 <= weight < np.inf:
                raise SettingsError(
                    f"ranker.event_weights.{name} must be finite and 0 or more; got {weight}"
                )
        if self.event_weights and not (any(self.event_weights.values()) and self.event_loss):
            raise SettingsError(
                "ranker.event_weights need one above 0, and event_loss above 0; got "
                f"{dict(self.event_weights)} and event_loss = {self.event_loss}"
            )

    def fit(self, lists: TrainingLists, progress: Callable[[float], None] | None = None) -> Self:
        """Learn from lists; `progress` is told the share of the epochs that is done."""

        from recsys.ranking.distributed import train_together
        from recsys.ranking.training import train

        if len(lists) < 2:
            raise TrainingError(f"at least 2 lists are needed, one to hold out; got {len(lists)}")
        if bad := _not_finite(lists):
            raise TrainingError(f"features are not finite: {bad}")
        if empty := int((~(lists.labels > 0).any(axis=1)).sum()):
            raise TrainingError(
                f"each list needs a chosen candidate; {empty:,} of {len(lists):,} have none"
            )
        self.threshold_ = self._threshold(self._lots(lists.users))
        with one_thread(), seeded(self.seed):
            taught = train_together if self.processes > 1 else train
            network, self.curve_, heads = taught(lists, self, progress)
        self._hold(network)
        self.events_ = tuple(lists.events[head] for head in heads)
        self.shift_, self.lines_ = _shift(lists), (Platt(),) * len(heads)
        if missing := sorted(self.event_weights.keys() - set(self.events_)):
            raise TrainingError(
                f"ranker.event_weights name {missing}, which too few candidates were chosen by, or "
                f"which the log has not; there are probabilities of {list(self.events_)}"
            )
        self.names_ = lists.names
        return self

    @property
    def in_half(self) -> bool:
        """Is it trained in bfloat16?"""
        return self.precision == "bfloat16"

    def network(self, features: int, heads: int) -> Any:
        """A fresh ListNetwork of these settings, for so many features and events."""
        from recsys.ranking.network import ListNetwork

        return ListNetwork(
            features, self.hidden, self.dropout, heads,
            self.members, self.cross_layers, self.cross_rank,
        )  # fmt: skip

    def holds_out(self, users: Rows) -> Mask:
        """(n,) whether each list, by its user (n,), is kept from learning and decides when to stop.

        It is drawn for each user alone: whom a fit has held out is held out among whichever others
        one asks about afterwards. Before a fit at least one of several users (n,) is, never all.
        PAD, nobody known, is a user alone.
        """
        lots = self._lots(users)
        held: Mask = lots <= (self._threshold(lots) if self.threshold_ is None else self.threshold_)
        return held

    def _lots(self, users: Rows) -> Array:
        """(n,) a number between 0 and 1 for each user (n,)."""
        nobody = users == PAD
        beyond = int(users.max(initial=PAD)) + 1
        own = np.where(nobody, beyond + np.cumsum(nobody) - 1, users)
        lots: Array = np.random.default_rng((self.seed, 1)).random(int(own.max(initial=PAD)) + 1)
        return lots[own]

    def _threshold(self, lots: Array) -> float:
        """The lot up to which users are held out; below all where there is but one user."""
        different = np.unique(lots)
        if len(different) < 2:
            return -1.0
        return float(np.clip(self.held_out, different[0], different[-2]))

    def scores(self, features: Floats, names: tuple[str, ...], filled: Mask) -> Floats:
        """Scores (b, w) of candidates with these features (b, w, f); -inf where not filled."""
        if self.event_weights:
            weights = [self.event_weights.get(name, 0.0) for name in self.events_]
            scores = self.probabilities(features, names, filled) @ np.array(weights, np.float32)
            return np.where(filled & np.isfinite(scores), scores, np.float32(-np.inf))
        self._check(names)
        return scored(self.scorer_, features, filled)

    def compress(self, lists: TrainingLists) -> str:
        """Serve by what `compression` makes of the network; says what that is and costs.

        `lists` are those of the fit; probabilities are those of the full network all the same.
        Raises QualityError, and changes nothing, where more than `most_loss` would be lost.
        """
        from recsys.ranking.compression import compress

        found = compress(self, self.compression, lists, self.most_loss)
        self.scorer_, self.served_by_ = found.scorer, self.compression
        return str(found)

    def log_odds(self, features: Floats, names: tuple[str, ...]) -> Floats:
        """(b, w, h) of each event of `events_`, or a stronger one, before `lines_` calibrate them.

        Lists to learn from leave out candidates that were not chosen, all of lists without a chosen
        one; `shift_` is the logarithm of the share that they keep (King & Zeng 2001).
        """
        import torch

        if not self.events_:
            raise TrainingError("this ranker foretells no event: too few were there to learn from")
        self._check(names)

        def odds(part: Floats) -> Floats:
            values = torch.from_numpy(part).to(self.network_.mean.device)
            of_heads: Floats = self.network_.with_heads(values)[1].cpu().numpy()
            return of_heads

        with torch.inference_mode():
            flat = in_chunks(odds, features.reshape(-1, len(names)))
        return flat.reshape(*features.shape[:2], len(self.events_)) + np.float32(self.shift_)

    def calibrate(
        self, log_odds: Floats, outcomes: Mask, lists: int, stretch: int | None = None
    ) -> None:
        """Fit `lines_` to log-odds (n, h) of candidates of held-out lists, and outcomes (n, h).

        `stretch` are the microseconds in which they came true; None: with the next choice.
        """
        pairs = zip(log_odds.T.astype(np.float64), outcomes.T, strict=True)
        self.lines_ = tuple(Platt.fitted(odds, came, lists) for odds, came in pairs)
        self.stretch_ = stretch

    def probabilities(self, features: Floats, names: tuple[str, ...], filled: Mask) -> Floats:
        """(b, w, h) that a user who comes back chooses it by each of `events_`, or a stronger one.

        NaN where not filled. No stronger event is more probable than a weaker one.
        """
        log_odds = self.log_odds(features, names)
        each = [line(log_odds[..., place]) for place, line in enumerate(self.lines_)]
        ordered = np.minimum.accumulate(np.stack(each, axis=-1), axis=-1)
        return np.where(filled[..., None], ordered, np.nan).astype(np.float32)

    def _check(self, names: tuple[str, ...]) -> None:
        if names != self.names_:
            odd = sorted(set(names) ^ set(self.names_))
            raise TrainingError(f"the ranker was trained on other features; they differ in {odd}")

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors) and what they belong to (JSON) into `folder`."""
        from safetensors.torch import save_file

        weights = {name: value.contiguous() for name, value in self.network_.state_dict().items()}
        save_file(weights, folder / "network.safetensors")
        about: dict[str, Any] = {
            "features": self.names_,
            "hidden": self.hidden,
            "members": self.members,
            "cross layers": self.cross_layers,
            "cross rank": self.cross_rank,
            "events": self.events_,
            "shift": self.shift_,
            "lines": [asdict(line) for line in self.lines_],
            "stretch": self.stretch_,
            "curve": self.curve_,
        }
        if self.served_by_ != "none":
            about["served by"] = self.served_by_
            self.scorer_.save(folder)
        (folder / "ranker.json").write_text(json.dumps(about))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where it is damaged or does not fit."""
        from recsys.ranking.stored_network import About, load_network

        about = read_json(folder / "ranker.json", About)
        self._hold(load_network(folder, about, self.dropout).to(self._device()))
        self.names_, self.events_ = about.features, about.events
        self.shift_, self.stretch_ = about.shift, about.stretch
        self.lines_ = tuple(Platt(line.slope, line.intercept) for line in about.lines)
        self.curve_ = list(about.curve)
        if about.served_by is not None:
            from recsys.ranking.compression import load_scorer

            self.served_by_ = about.served_by
            self.scorer_ = load_scorer(about.served_by, folder, len(about.features))
        return self

    def _hold(self, network: Any) -> None:
        self.network_, self.scorer_ = network, NetworkScorer(network)
        self.served_by_ = "none"

    def _device(self) -> str:
        from recsys.features.device import pick

        return pick(self.device)


def _not_finite(lists: TrainingLists) -> list[str]:
    """The features that are not finite everywhere."""
    finite = np.ones(len(lists.names), bool)
    for some in lists.stretches():
        finite &= np.isfinite(lists.features[some]).all(axis=(0, 1))
    return [name for name, own in zip(lists.names, finite, strict=True) if not own]


def _shift(lists: TrainingLists) -> float:
    """The logarithm of the share of candidates not chosen that the lists keep; 0 if unknown."""
    kept = int((lists.filled & (lists.labels == 0)).sum())
    if lists.offered is None or not kept:
        return 0.0
    others = lists.offered - int((lists.labels > 0).sum())
    return float(np.log(min(1.0, kept / others)))


def order(scores: Floats) -> Array:
    """Places (b, w) of candidates from the best score to the worst; equals keep their order."""
    return np.argsort(-scores, axis=1, kind="stable")
