"""Matrix factorization by alternating least squares, tuned iALS: a source of candidates."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recsys.features import npz, ragged
from recsys.features.arrays import DAY, PAD, Array, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.device import check
from recsys.features.errors import DataError, SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.schema import NO_SIZES, NUMBER, ArraySchema, Sizes, floats
from recsys.features.settings import check_at_most
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.contributions import of_their_item
from recsys.retrieval.dots import cosines, dots, inverse_lengths
from recsys.retrieval.factorization import Factors, Objective, factorize
from recsys.retrieval.index import VectorIndex
from recsys.retrieval.index_settings import IndexSettings
from recsys.retrieval.least_squares import Ridge, explained, solved
from recsys.retrieval.opposites import refused_of, turned, with_opposites

_MOST_HALVINGS = 30.0  # an event keeps a weight above 0 however old it is


_SCHEMAS = {
    "item_factors": floats("items", "factors"),
    "user_gram": ArraySchema("float64", ("factors", "factors")),
    "spectrum": ArraySchema("float64", ("factors",), least=0.0),
    "unobserved": ArraySchema(NUMBER, (), least=0.0),
    "ridges": ArraySchema(NUMBER, (2, 2), least=0.0),
}


@dataclass(frozen=True)
class _Learnt:
    """What a fit leaves behind; nothing in it is changed afterwards."""

    objective: Objective
    items: Floats  # (items, d) in axes in which items'items is diagonal
    user_gram: Array  # (d, d) float64, users'users in the same axes
    spectrum: Array  # (d,) float64, the diagonal of items'items as fitted


@dataclass
class Als:
    """Implicit-feedback matrix factorization (Hu, Koren & Volinsky 2008; Rendle et al. 2021).

    `unobserved` is the weight of all pairs of users and items together, as a multiple of the weight
    of the observed ones. A row's `regularization` is times the weight of its events to the power of
    `frequency_exponent`: 1 is by frequency, 0 the same for all. With a `half_life` (days; the log
    needs a clock) an event weighs half as much for every so many days before the question.

    Where the log has dislikes, a pair of a user and an item that they said no to has the preference
    0 as unobserved pairs have, with a confidence that is `dislike_weight` higher, in units of an
    event of weight 1, however long ago: at 0 it is a pair like any other. Ridges are by events.

    A history is folded in by solving the same least squares for it exactly, so a new user or a
    session needs no refit; `with_items` does the same for new items.
    """

    reason: ClassVar[str] = "chosen by people of similar taste"

    name: str = "als"
    factors: int = 64
    regularization: float = 0.1
    unobserved: float = 100.0
    dislike_weight: float = 2.0
    frequency_exponent: float = 1.0
    half_life: float | None = None
    iterations: int = 8
    seed: int = 0
    device: str = "auto"
    index: IndexSettings = field(default_factory=IndexSettings)
    _learnt: _Learnt = field(init=False, repr=False)
    _known: Mask = field(init=False, repr=False)  # (items,) those that have factors
    _inverse: Floats = field(init=False, repr=False)  # (items,) 1 / length of the factors
    _index: VectorIndex = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_at_most(
            self,
            factors=4_096,
            regularization=1e9,
            unobserved=1e9,
            iterations=1_000,
            half_life=1e6,
            dislike_weight=1e9,
        )
        for name in ("factors", "regularization", "unobserved", "iterations"):
            if not 0 < getattr(self, name) < np.inf:
                raise SettingsError(f"{name} must be above 0; got {getattr(self, name)}")
        if not 0 <= self.frequency_exponent <= 2:
            raise SettingsError(
                f"frequency_exponent must be between 0 and 2; got {self.frequency_exponent}"
            )
        if self.half_life is not None and not 0 < self.half_life < np.inf:
            raise SettingsError(f"half_life must be above 0 days; got {self.half_life}")
        if not self.dislike_weight >= 0:
            raise SettingsError(f"dislike_weight must be 0 or more; got {self.dislike_weight}")
        check(self.device)

    def fit(self, interactions: Interactions, catalog: Catalog) -> Self:
        if self.half_life is not None and interactions.clock != "time":
            raise SettingsError(
                f"half_life needs a log with times; this one has the clock {interactions.clock!r}"
            )
        everyone = np.arange(len(interactions.users), dtype=np.int32)
        histories = Histories.of(interactions, everyone)
        matrix = self._weights(histories, len(interactions.items))
        objective = Objective.of(
            matrix, self.unobserved, self.regularization, self.frequency_exponent
        )
        begun = Factors.drawn(matrix, self.factors, self.seed)
        known: Mask = np.asarray(begun.items.any(axis=1))
        matrix = self._with_dislikes(matrix, histories, known)
        found = factorize(matrix, objective, begun, self.iterations, self.device)
        found, spectrum = found.along_items()
        exact = found.users.astype(np.float64)
        self._hold(_Learnt(objective, found.items, exact.T @ exact, spectrum))
        return self

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        """The `k` items with the largest product with each history's factors."""
        users = histories.once(self._learnt, self.users_of)
        items, scores = self._index.search(users, k, allowed)
        silent = ~users.any(axis=1)  # an empty history, or one of items that nobody had
        items[silent], scores[silent] = PAD, -np.inf
        return Candidates.of_one(histories.users, items, scores, self.name)

    def score(self, histories: Histories, items: Rows) -> Floats:
        each = np.arange(len(histories), dtype=np.int32)[:, None]
        users = histories.once(self._learnt, self.users_of)
        return dots(users, each, self._learnt.items, items)[:, :, 0]

    def likeness(self, sources: Rows, targets: Rows) -> Floats:
        """Cosine of the factors of each past item (b, l) with each target (b, w), as (b, w, l)."""
        return cosines(self._learnt.items, self._inverse, sources, targets)

    def contributions(self, histories: Histories, items: Rows) -> Floats:
        """As the factors of a history are linear in its events (Hu et al. 2008, section 5)."""
        learnt = self._learnt
        known = self._known[histories.items]
        kept = self._faded(_kept(histories, known))
        n = len(learnt.items)
        refused = refused_of(self._with_dislikes(kept.matrix(n), histories, self._known), n)
        shares = np.zeros((len(known), items.shape[1]), np.float32)
        shares[known] = explained(
            kept.offsets, learnt.items[kept.items], kept.weights,
            of_their_item(kept, kept.weights), learnt.items, items, learnt.spectrum,
            learnt.objective.unobserved, learnt.objective.users, refused,
        )  # fmt: skip
        return shares

    def users_of(self, histories: Histories) -> Floats:
        """The factors (b, factors) that histories fold in to; zeros for an empty one."""
        learnt = self._learnt
        if not self._known[histories.items].all():
            histories = _kept(histories, self._known[histories.items])
        matrix = self._weights(histories, len(learnt.items))
        matrix = self._with_dislikes(matrix, histories, self._known)
        return solved(
            matrix, learnt.items, learnt.spectrum, learnt.objective.unobserved,
            learnt.objective.users,
        )  # fmt: skip

    def items_of(self, log: Interactions, rows: Rows) -> Floats:
        """The factors (n, factors) of items (n,) of `log` as those who had them imply.

        Its users are folded in from what they had of the items known since the fit, then each item
        is solved for them as the fit does; zeros for an item that only strangers had.
        """
        learnt = self._learnt
        histories = Histories.of(log, self._who_said(log, rows))
        users = self.users_of(_kept(histories, histories.items < len(learnt.items)))
        known = users.any(axis=1)
        matrix = self._weights(histories, len(log.items))
        had = np.bincount(matrix[known].indices, minlength=len(log.items)) > 0
        matrix = self._with_dislikes(matrix, histories, had)[known]
        wanted = turned(matrix, len(log.items))[rows]
        spectrum, axes = np.linalg.eigh(learnt.user_gram)
        along = (users[known] @ axes).astype(np.float32)
        items = solved(
            wanted, along, np.maximum(spectrum, 0), learnt.objective.unobserved,
            learnt.objective.items,
        )  # fmt: skip
        return np.asarray(items @ axes.T, np.float32)

    def with_items(self, log: Interactions, rows: Rows) -> "Als":
        """A source that knows these items (n,) of `log` besides, or anew; this one stays as it is.

        `log` numbers the items of the fit as the fit did, and new ones behind them. Raises
        DataError where it has fewer items than the fit.
        """
        known = len(self._learnt.items)
        if len(log.items) < known:
            raise DataError(f"the fit knew {known} items; this log has {len(log.items)}")
        items = np.zeros((len(log.items), self.factors), np.float32)
        items[:known] = self._learnt.items
        items[rows] = self.items_of(log, rows)
        other = replace(self)
        other._hold(replace(self._learnt, items=items))
        return other

    def save(self, folder: Path) -> None:
        learnt, objective = self._learnt, self._learnt.objective
        npz.write(
            folder / "als.npz",
            item_factors=learnt.items,
            user_gram=learnt.user_gram,
            spectrum=learnt.spectrum,
            unobserved=np.array(objective.unobserved),
            ridges=np.array([[r.scale, r.exponent] for r in (objective.users, objective.items)]),
        )

    def load(self, folder: Path, sizes: Sizes = NO_SIZES) -> Self:
        told = {**sizes, "factors": self.factors}
        items, gram, spectrum, unobserved, ridges = npz.read(folder / "als.npz", _SCHEMAS, told)
        users, own = (Ridge(*map(float, ridge)) for ridge in ridges)
        self._hold(_Learnt(Objective(float(unobserved), users, own), items, gram, spectrum))
        return self

    def _hold(self, learnt: _Learnt) -> None:
        self._learnt = learnt
        self._index = VectorIndex(self.factors, self.device, self.index)
        self._known = np.asarray(learnt.items.any(axis=1))
        self._inverse = inverse_lengths(learnt.items)
        rows = np.flatnonzero(self._known).astype(np.int32)
        self._index.add(rows, learnt.items[rows])

    def _weights(self, histories: Histories, n_items: int) -> sp.csr_matrix:
        """(b, n_items) the weight of each item in each history, faded by its age."""
        return self._faded(histories).matrix(n_items)

    def _with_dislikes(
        self, matrix: sp.csr_matrix, histories: Histories, known: Mask
    ) -> sp.csr_matrix:
        """Weights (b, n) with what the same histories (b) disliked of the `known` (n,) items."""
        return with_opposites(matrix, histories.dislikes, self.dislike_weight, known)

    def _who_said(self, log: Interactions, rows: Rows) -> Rows:
        """The users, ascending, who had any of these items, or disliked it where that counts."""
        people = log.user_rows[np.isin(log.item_rows, rows)]
        if self.dislike_weight and log.dislikes is not None:
            no = log.dislikes.owners[np.isin(log.dislikes.items, rows)]
            people = np.concatenate([people, no]).astype(people.dtype)
        return np.unique(people)

    def _faded(self, histories: Histories) -> Histories:
        """The same with weights that halve as events grow older, where a half-life is set."""
        if self.half_life is None:
            return histories
        age = histories.now[ragged.owners(histories.offsets)] - histories.times
        halvings = np.clip(age / (self.half_life * DAY), 0, _MOST_HALVINGS)
        faded = (histories.weights * 0.5**halvings).astype(np.float32)
        return replace(histories, weights=faded)


def _kept(histories: Histories, kept: Array) -> Histories:
    """Histories without the events that `kept` (n,) leaves out."""
    lengths = np.bincount(ragged.owners(histories.offsets)[kept], minlength=len(histories))
    return replace(
        histories,
        offsets=ragged.offsets_of(lengths),
        items=histories.items[kept],
        events=histories.events[kept],
        times=histories.times[kept],
        weights=histories.weights[kept],
        hides=None if histories.hides is None else histories.hides[kept],
    )
