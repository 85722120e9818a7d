"""A network that reads a history in its order and points at what comes next."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from recsys.features import ragged, tensors
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows, Times
from recsys.features.catalog import Catalog
from recsys.features.device import check, pick
from recsys.features.errors import ArtifactError, SettingsError, TrainingError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, ArraySchema, Sizes, floats
from recsys.features.settings import check_at_most
from recsys.features.stored import Stored, read_json
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.dots import cosines, dots, inverse_lengths
from recsys.retrieval.index import VectorIndex
from recsys.retrieval.sequence_kernel import Weights, pointed, stacked, unstacked

if TYPE_CHECKING:  # torch is loaded by those who train
    from recsys.retrieval.sequence_training import Rounds, Shape, Stream, Trained

PAUSES = 24
"""Classes of the time between two events: 0 where it is not known, else by powers of four."""

_MORE = 1_600_000  # events read in all where it goes on, by at least 4 epochs and at most 10
_FEW = 300_000  # events of a small log, which has time for two networks and to go on at full rate
_OFTEN = 50  # events per item, from which vectors are less in danger of learning events by heart
_SLOWER = 0.3  # the rate of more epochs of a log that is not small, as a share of the rate
_MOST = {"id_dropout": 0.9, "dropout": 0.9, "weight_decay": 10.0, "rate": 1.0}
_MOST_COUNTS = {
    "width": 2_048, "layers": 32, "heads": 64, "members": 16, "history": 10_000,
    "dimensions": 65_536, "epochs": 1_000, "more_epochs": 1_000, "most_events": 1 << 40,
    "batch": 1_000_000, "negatives": 1_000_000,
}  # fmt: skip


class _About(Stored):
    """What `sequence.json` says."""

    clock: bool


@dataclass(frozen=True, slots=True)
class _Learnt:
    table: Floats  # (items, members x width), a zero row where nothing is known of an item
    known: Mask  # (items,)
    inverse: Floats  # (items,) 1 / the length of each row of the table
    members: tuple[Weights, ...]
    clock: bool  # do times say how long a pause was?
    index: VectorIndex


@dataclass(kw_only=True)
class Sequence:
    """A small causal transformer whose user vectors point into a space of items.

    An item's vector is one of its own plus a linear map of its text vector and attributes; an
    item that nobody had lies where its content puts it. It learns by a sampled softmax with logQ
    correction, or the full one where the catalogue has no more items than `negatives`. After
    Kang & McAuley 2018 (SASRec), with the loss of Klenitskiy & Vasilev 2023.
    """

    reason: ClassVar[str] = "fits what you chose lately"

    name: str = "sequence"
    width: int = 64  # numbers per vector
    layers: int = 2
    heads: int = 4
    members: int | None = None  # that learn apart; a score is their mean. None: 2 of a small log
    history: int = 100  # how many of the newest events are read
    vectors: str = "text"  # which of `catalog.vectors` is content, where there is one
    dimensions: int = 128  # principal axes kept of the text, and as many of the attributes
    epochs: int = 20
    more_epochs: int | None = None  # on what it learnt of an older log; None: 4, of a small one 10
    most_events: int = 20_000_000  # read in a fit: of larger logs fewer epochs, then the newest
    batch: int = 1600  # events per step
    negatives: int = 512  # items drawn per step, shared by all its events
    rate: float = 3e-3  # the highest learning rate of a one-cycle schedule
    weight_decay: float = 0.05
    dropout: float | None = None  # None: 0.3 where items were had seldom, else 0.1
    id_dropout: float = 0.1  # how often an item is shown by its content alone
    seed: int = 0
    device: str = "auto"
    _held: _Learnt | None = field(default=None, init=False, repr=False)
    _trained: "tuple[Trained, ...]" = field(default=(), init=False, repr=False)  # not saved

    def __post_init__(self) -> None:
        check_at_most(self, **_MOST_COUNTS)
        for name in _MOST_COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} must be at least 1; got {value}")
        if self.width % (4 * self.heads):
            raise SettingsError(
                f"width must be a multiple of 4 times heads ({self.heads}); got {self.width}"
            )
        for name, most in _MOST.items():
            value = getattr(self, name)
            if value is not None and not 0 <= value <= most:
                raise SettingsError(f"{name} must be between 0 and {most}; got {value}")
        check(self.device)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        """Learn what follows what; nothing where nobody has two events."""
        return self._fit(interactions, catalog, ())

    def refit(self, interactions: Interactions, catalog: Catalog, before: Self) -> Self:
        """Go on from what `before` learnt of an older part of this log: `more_epochs` are enough.

        They read of each user the newest events that a row holds. Both logs have the same items.
        As `fit` where `before` was loaded, or its network is of another shape.
        """
        return self._fit(interactions, catalog, before._trained)

    def _fit(
        self, interactions: Interactions, catalog: Catalog, before: "tuple[Trained, ...]"
    ) -> Self:
        from recsys.retrieval.sequence_content import content_of
        from recsys.retrieval.sequence_training import fits, fitted

        clock = interactions.clock == "time"
        if not (interactions.counts > 1).any():
            table, weights = self._untaught(interactions)
            self._hold(table, (weights,) * (self.members or 1), clock)
            self._trained = ()
            return self
        shape = self._shape(interactions)
        content = content_of(catalog, self.vectors, self.dimensions, self.seed)
        if before and not fits(shape, content, before[0]):
            before = ()
        small = len(interactions) <= _FEW
        members = self.members or len(before) or (2 if small else 1)
        if len(before) != members:
            before = ()
        stream = _stream(interactions, clock)
        newest = self._newest(interactions.counts, again=bool(before))
        if newest is not None:
            stream = stream.take(np.arange(len(interactions.counts)), newest)
        rounds = self._rounds(len(stream.items), again=bool(before), small=small)
        begun = before or (None,) * members
        self._trained = tuple(
            fitted(
                stream, content, interactions.item_counts, shape, rounds, seed, pick(self.device),
                own,
            )
            for seed, own in zip(self._seeds(members), begun, strict=True)
        )  # fmt: skip
        table = np.concatenate([each.table for each in self._trained], axis=1)
        self._hold(table, tuple(each.weights for each in self._trained), clock)
        return self

    def _seeds(self, members: int) -> list[int]:
        """One for each member: the first has the source's own."""
        others = np.random.SeedSequence(self.seed).generate_state(members - 1)
        return [self.seed, *map(int, others)]

    def _untaught(self, interactions: Interactions) -> tuple[Floats, Weights]:
        """The vectors and weights of one who knows of no item."""
        d, layers = self.width, self.layers

        def zeros(*shape: int) -> Floats:
            return np.zeros(shape, np.float32)

        return zeros(len(interactions.items), d * (self.members or 1)), Weights(
            events=zeros(len(interactions.events), d), pauses=zeros(PAUSES, d),
            asks=zeros(layers, d, d), tells=zeros(layers, d, 2 * d),
            nearness=zeros(layers, self.heads, self.history), answers=zeros(layers, d, d),
            gates=zeros(layers, d, 4 * d), downs=zeros(layers, 2 * d, d), point=zeros(d, d),
        )  # fmt: skip

    def _shape(self, interactions: Interactions) -> "Shape":
        from recsys.retrieval.sequence_training import Shape

        dropout = _dropout(interactions.item_counts) if self.dropout is None else self.dropout
        return Shape(
            width=self.width, layers=self.layers, heads=self.heads, history=self.history,
            events=len(interactions.events), pauses=PAUSES, dropout=dropout,
            id_dropout=self.id_dropout,
        )  # fmt: skip

    def _newest(self, counts: Array, again: bool) -> int | None:
        """How many of each user's newest events are read; None: all.

        Going on, as many as a row has, and one to be foretold; of a log above `most_events` as many
        as one epoch may have, but two at the least, without which nothing follows anything.
        """
        newest = self.history + 1 if again else None
        if counts.sum() <= self.most_events:
            return newest
        with_more = len(counts) - np.cumsum(np.bincount(counts))  # users with more than 0, 1, ...
        fitting = np.searchsorted(np.cumsum(with_more), self.most_events, side="right")
        return max(2, min(int(fitting), newest or int(fitting)))

    def _rounds(self, events: int, again: bool, small: bool) -> "Rounds":
        from recsys.retrieval.sequence_training import Rounds

        wanted = (self.more_epochs or _more(events)) if again else self.epochs
        return Rounds(
            epochs=max(1, min(wanted, self.most_events // events)), batch=self.batch,
            history=self.history, negatives=self.negatives,
            rate=self.rate * (_SLOWER if again and not small else 1), decay=self.weight_decay,
        )  # fmt: skip

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The `k` items that lie furthest in the direction in which each history points."""
        users = histories.once(self._learnt, self.users_of)
        items, scores = self._learnt.index.search(users, k, allowed)
        silent = ~users.any(axis=1)  # an empty history, or one of items of which nothing is known
        items[silent], scores[silent] = PAD, -np.inf
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        each = np.arange(len(histories), dtype=np.int32)[:, None]
        users = histories.once(self._learnt, self.users_of)
        return dots(users, each, self._learnt.table, items)[:, :, 0]

    def likeness(self, sources: Rows, targets: Rows) -> Floats:
        """Cosine of each past item (b, l) with each target (b, w), as (b, w, l): in the spaces of
        all members side by side, where an item's longer vectors count for more.
        """
        learnt = self._learnt
        return cosines(learnt.table, learnt.inverse, sources, targets)

    def users_of(self, histories: Histories) -> Floats:
        """Where each history points, (b, members x width); zeros where its items are unknown."""
        learnt = self._learnt
        owner = ragged.owners(histories.offsets)
        pauses = _pauses(histories.times, owner, learnt.clock)
        known = np.flatnonzero(learnt.known[histories.items])
        counts = np.bincount(owner[known], minlength=len(histories))
        age = np.cumsum(counts)[owner[known]] - 1 - np.arange(len(known))
        read = known[age < self.history]
        events = np.minimum(histories.events[read], len(learnt.members[0].events) - 1)
        offsets = ragged.offsets_of(np.minimum(counts, self.history))
        pointing = [
            pointed(
                weights, learnt.table, offsets, histories.items[read], events, pauses[read],
                left=place * self.width,
            )
            for place, weights in enumerate(learnt.members)
        ]  # fmt: skip
        return np.concatenate(pointing, axis=1) / np.float32(len(learnt.members))

    def save(self, folder: Path) -> None:
        """Write the vectors and weights (safetensors) and what they belong to (JSON)."""
        from safetensors.numpy import save_file

        learnt = self._learnt
        arrays = {"table": learnt.table, **stacked(learnt.members)}
        save_file(arrays, folder / "sequence.safetensors")
        (folder / "sequence.json").write_text(json.dumps({"clock": learnt.clock}))

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        """Read what `save` wrote; raises ArtifactError where it is damaged or made otherwise."""
        clock = read_json(folder / "sequence.json", _About).clock
        path = folder / "sequence.safetensors"
        found = tensors.shapes(path)
        members, history = (found.get(name, (0,)) for name in ("point", "nearness"))
        if history[-1] not in (0, self.history):
            raise ArtifactError(f"{folder} reads {history[-1]} events, the settings {self.history}")
        if members[0] and self.members not in (None, members[0]):
            raise ArtifactError(f"{folder} has {members[0]} members, the settings {self.members}")
        arrays = tensors.read(path, self._schemas(members[0]), sizes)
        table = arrays.pop("table")
        self._hold(table, unstacked(arrays), clock)
        self._trained = ()
        return self

    def _schemas(self, members: int) -> dict[str, ArraySchema]:
        """What the arrays of a network of these settings have to be."""
        d, layers = self.width, self.layers
        return {
            "table": floats("items", members * d), "events": floats(members, "kinds", d),
            "pauses": floats(members, PAUSES, d), "asks": floats(members, layers, d, d),
            "tells": floats(members, layers, d, 2 * d),
            "nearness": floats(members, layers, self.heads, self.history),
            "answers": floats(members, layers, d, d), "gates": floats(members, layers, d, 4 * d),
            "downs": floats(members, layers, 2 * d, d), "point": floats(members, d, d),
        }  # fmt: skip

    @property
    def _learnt(self) -> _Learnt:
        if self._held is None:
            raise TrainingError(f"{self.name} is not fitted; call fit() or load() first")
        return self._held

    def _hold(self, table: Floats, members: tuple[Weights, ...], clock: bool) -> None:
        index = VectorIndex(table.shape[1], self.device)
        known: Mask = (table != 0).any(axis=1)
        rows = np.flatnonzero(known).astype(np.int32)
        index.add(rows, table[rows])
        self._held = _Learnt(table, known, inverse_lengths(table), members, clock, index)


def _more(events: int) -> int:
    """The epochs of a log of so many events, where an older part of it was learnt before."""
    return max(4, min(10, _MORE // events))


def _dropout(counts: Array) -> float:
    """The default for items that were had so often (items,)."""
    return 0.1 if counts.sum() >= _OFTEN * np.count_nonzero(counts) else 0.3


def _stream(interactions: Interactions, clock: bool) -> "Stream":
    from recsys.retrieval.sequence_training import Stream

    pauses = _pauses(interactions.times, ragged.owners(interactions.offsets), clock)
    return Stream(interactions.offsets, interactions.item_rows, interactions.event_codes, pauses)


def _pauses(times: Times, owner: Array, clock: bool) -> Array:
    """(n,) the class of the time since the event before; 0 where it is not known."""
    classes = np.zeros(len(times), np.int64)
    if clock and len(times):
        seconds = np.diff(times) // 1_000_000
        power = 1 + (np.log2(np.maximum(seconds, 1)) / 2).astype(np.int64)
        known = (owner[1:] == owner[:-1]) & (seconds > 0)
        classes[1:] = np.where(known, np.minimum(power, PAUSES - 1), 0)
    return classes
