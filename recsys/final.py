"""The final list: what stands between the ranker's order and the first k."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.ragged import owners
from recsys.features.settings import nearest
from recsys.final_settings import DIVERSITY, EXPLORED, Diversity, FinalSettings
from recsys.ranked import Ranked, Trail
from recsys.ranking import diversity, exploration
from recsys.ranking.rules import Caps, Filled, Least, filled
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.variants import Variants
from recsys.rules import Rules, added, moved

_MOST_POOLED = 1_000
"""Candidates of one list that diversity compares at the most: its cost is the square of that."""

_CELLS = 4_000_000
"""Pairs of candidates whose similarities are held at a time (16 MB)."""


@dataclass(frozen=True)
class Likeness:
    """How alike items are: by vectors, or by their categories."""

    vectors: Floats | None = None  # (items, d)
    codes: Rows | None = None  # (c, items)

    @classmethod
    def of(cls, settings: Diversity, catalog: Catalog) -> "Likeness | None":
        """Raises SettingsError where the catalogue does not have what is asked for."""
        if not settings.is_on:
            return None
        on, categories = settings.on, catalog.categories()
        if on == "auto":
            on = "text" if "text" in catalog.vectors else "categories"
        if on in catalog.vectors:
            return cls(vectors=catalog.vectors[on])
        if on == "categories" and categories:
            return cls(codes=np.stack(list(categories.values())))
        if on == "categories":
            raise SettingsError(
                "final.diversity needs vectors of text or categories; the catalogue has neither"
            )
        raise SettingsError(
            f"final.diversity.on must name vectors of the catalogue or 'categories'; got {on!r}: "
            f"{nearest(on, [*catalog.vectors, 'categories'])}"
        )

    def similarity(self, items: Rows) -> Floats:
        """(b, p, p) of the items (b, p) of each list."""
        if self.vectors is not None:
            return diversity.cosines(self.vectors, items)
        if self.codes is None:
            raise SettingsError("items are alike by vectors or by categories; there are neither")
        return diversity.shared_labels(self.codes, items)


@dataclass(frozen=True)
class _Order:
    """Candidates of one block in an order, before anything is cut off."""

    candidates: Candidates  # (b, w)
    logits: Floats  # (b, w) -inf where PAD, and where nobody gave a score
    trail: Array  # (b, w) int64

    def at(self, places: Array) -> "_Order":
        """The same at other places (b, w)."""
        return _Order(
            self.candidates.at(places),
            np.take_along_axis(self.logits, places, axis=1),
            np.take_along_axis(self.trail, places, axis=1),
        )

    def marked(self, rule: int, mask: Mask) -> "_Order":
        """The same with a rule in the trail of what `mask` (b, w) holds of."""
        return _Order(self.candidates, self.logits, self.trail | np.where(mask, 1 << rule, 0))

    def put(self, rule: int, mask: Mask) -> "_Order":
        """The same with nothing else in the trail of what `mask` holds of: this alone put it."""
        return _Order(self.candidates, self.logits, np.where(mask, 1 << rule, self.trail))


@dataclass(frozen=True)
class Final:
    """The steps from scored candidates to lists, in this order: boosts, diversity, then pins, caps
    and least shares together, then places by lot. Blocks and price bands have acted in retrieval.
    """

    settings: FinalSettings
    rules: Rules
    likeness: Likeness | None
    variants: Variants | None  # where a list shows one of each product
    items: int

    @classmethod
    def of(
        cls, settings: FinalSettings, rules: Rules, catalog: Catalog, variants: Variants | None
    ) -> "Final | None":
        """None where settings ask for nothing; raises SettingsError where they cannot be met."""
        if not settings.is_on:
            return None
        likeness = Likeness.of(settings.diversity, catalog)
        return cls(settings, rules, likeness, variants, len(catalog))

    @property
    def names(self) -> tuple[str, ...]:
        """What each bit of a trail stands for."""
        return (*self.rules.names, DIVERSITY, EXPLORED)

    @property
    def explores(self) -> bool:
        """Are any places given by lot?"""
        return self.settings.exploration.slots > 0

    def keys(self, ids: pl.Series, now: Array) -> Array:
        """(b,) uint64: what the lots of each query hang on, its id, the moment and the seed."""
        if ids.dtype.is_integer():
            ids = ids.cast(pl.Int64)
        own = ids.hash(self.settings.exploration.seed).to_numpy()
        return exploration.mixed(own ^ exploration.mixed(now.astype(np.uint64)))

    def check(self, k: int) -> None:
        """Raise SettingsError where lists of `k` cannot keep the rules."""
        self.rules.check(k, self.settings.exploration.slots)

    def arranged(
        self,
        scored: Ranked,
        allowed: Allowed,
        k: int,
        longest: int = 0,
        keys: Array | None = None,
    ) -> Ranked:
        """Lists of at most `k` of all candidates, which may come in any order.

        With a `longest` above `k` the places behind the list of `k` hold the candidates that are
        not on it, in the order before the rules. Without `keys` (b,) no place is given by lot.
        """
        order = self._diversified(self._boosted(scored), k)
        slots = self.settings.exploration.slots if keys is not None else 0
        order, pinned = self._with_pins(order, allowed, max(k, len(self.rules.pins) + slots))
        caps = self._caps()
        full = filled(order.candidates.items, pinned, caps, self._least(k), slots)
        order = self._traced(order, full, pinned)
        columns, propensity = full.columns, np.ones(full.columns.shape, np.float32)
        if keys is not None and slots:
            columns, propensity = self._explored(order, columns, caps, keys)
            by_lot = _spread(columns != full.columns, columns, order)
            order = order.put(len(self.names) - 1, by_lot)
        closed = np.argsort(columns == PAD, axis=1, kind="stable")[:, :k]
        columns = np.take_along_axis(columns, closed, axis=1)
        more = self._lengthened(order, columns, longest - k)
        propensity = _wide(np.take_along_axis(propensity, closed, axis=1), more.shape[1])
        held = (full.held != PAD).any(axis=1)
        return _listed(scored, order, more, propensity, self._unmet(full), held)

    def _boosted(self, scored: Ranked) -> _Order:
        """Candidates by their scores as logits, boosts among them.

        A fused score is no logit but a weight, so its logarithm is: a factor on the odds is a
        factor on that weight.
        """
        items, scores = scored.candidates.items, scored.scores
        with np.errstate(divide="ignore"):
            fused = np.log(np.where(np.isfinite(scores), np.maximum(scores, 0), 0))
        logits = np.where(scored.by_ranker[:, None], scores, fused).astype(np.float32)
        order = _Order(scored.candidates, logits, np.zeros(items.shape, np.int64))
        order = order.at(_best_first(logits, scored.candidates.filled))
        if not self.rules.boosts:
            return order
        raised = order.logits + np.where(
            order.candidates.filled, added(self.rules.boosts, self.items)[order.candidates.items], 0
        )
        before = _best_first(raised, order.candidates.filled)
        order = _Order(order.candidates, raised.astype(np.float32), order.trail).at(before)
        for boost in self.rules.boosts:
            order = order.marked(boost.rule, moved(boost, order.candidates.items, before))
        return order

    def _diversified(self, order: _Order, k: int) -> _Order:
        if self.likeness is None:
            return order
        settings = self.settings.diversity
        width = order.logits.shape[1]
        pool = min(width, max(k, min(settings.pool * k, _MOST_POOLED)), _MOST_POOLED)
        places = np.broadcast_to(np.arange(width), order.logits.shape).copy()
        step = max(1, _CELLS // (pool * pool))
        for start in range(0, len(places), step):
            items = order.candidates.items[start : start + step, :pool]
            places[start : start + step, :pool] = diversity.diversified(
                diversity.relevance(order.logits[start : start + step, :pool]),
                self.likeness.similarity(items),
                settings.strength,
                "dpp" if settings.method == "dpp" else "mmr",
            )
        shifted = places != np.arange(width)
        order = order.at(places)
        return order.marked(len(self.names) - 2, shifted & order.candidates.filled)

    def _with_pins(self, order: _Order, allowed: Allowed, k: int) -> tuple[_Order, Rows]:
        """With pinned items among the candidates, and the column of each place (b, k) or PAD.

        What a query may not be offered is not pinned for it.
        """
        pins = self.rules.pins
        last = max((pin.place for pin in pins), default=-1)
        pinned = np.full((len(order.logits), max(k, last + 1)), PAD, np.int32)
        if not pins:
            return order, pinned
        items = np.array([pin.item for pin in pins], np.int32)
        found = order.candidates.items[:, :, None] == items  # (b, w, pins)
        may = _may(allowed, items)
        more = np.where(may & ~found.any(axis=1), items, np.int32(PAD))
        width = order.logits.shape[1]
        columns = np.where(found.any(axis=1), found.argmax(axis=1), width + np.arange(len(items)))
        for number, pin in enumerate(pins):
            pinned[:, pin.place] = np.where(may[:, number], columns[:, number], PAD)
        return _with_more(order, more), pinned

    def _caps(self) -> Caps:
        """The caps, and the variants of a product as one more that is no rule."""
        own = [(cap.values, cap.most) for cap in self.rules.caps]
        if self.variants is not None:
            own.append((self.variants.groups, 1))
        values = np.array([values for values, _ in own], np.int32).reshape(len(own), self.items)
        return Caps(values, np.array([most for _, most in own], np.int64))

    def _least(self, k: int) -> Least:
        fresh = self.rules.fresh
        marked = np.array([rule.items for rule in fresh], bool).reshape(len(fresh), self.items)
        return Least(marked, np.array([rule.need(k) for rule in fresh], np.int64))

    def _traced(self, order: _Order, full: Filled, pinned: Rows) -> _Order:
        """With pins, caps and least shares in the trail of what they put where it is."""
        for number, cap in enumerate(self.rules.caps):
            overtook = np.maximum.accumulate(full.held == number, axis=1)
            order = order.marked(cap.rule, overtook & (full.held == PAD))
        for number, rule in enumerate(self.rules.fresh):
            order = order.marked(rule.rule, full.pulled == number)
        for pin in self.rules.pins:
            place = pinned[:, pin.place, None]
            order = order.put(pin.rule, _spread(place != PAD, place, order))
        return order

    def _explored(
        self, order: _Order, columns: Rows, caps: Caps, keys: Array
    ) -> tuple[Rows, Floats]:
        """The same columns (b, k) with the last empty places filled by lot, and propensities."""
        settings = self.settings.exploration
        items, able = order.candidates.items, np.isfinite(order.logits)
        dealt = exploration.lots(items, able, columns, caps, settings.slots, settings.depth)
        heat = settings.temperature if settings.draw == "softmax" else None
        chances = exploration.probabilities(dealt, order.logits, settings.slots, heat)
        drawn = exploration.drawn(chances, keys)
        columns, propensity = columns.copy(), np.ones(columns.shape, np.float32)
        free = np.argsort(columns != PAD, axis=1, kind="stable")
        empty = (columns == PAD).sum(axis=1)
        for slot in range(settings.slots):
            place = free[np.arange(len(free)), np.maximum(empty - settings.slots + slot, 0)]
            columns[np.arange(len(free)), place] = drawn.columns[:, slot]
            propensity[np.arange(len(free)), place] = drawn.propensity[:, slot]
        return columns, propensity

    def _lengthened(self, order: _Order, columns: Rows, more: int) -> Rows:
        """The lists with up to `more` other candidates behind them, by column."""
        if more <= 0:
            return columns
        items, on = order.candidates.items, _spread(columns != PAD, columns, order)
        rest = np.argsort(on | (items == PAD), axis=1, kind="stable")
        rest = np.where(np.take_along_axis(on | (items == PAD), rest, axis=1), PAD, rest)
        whole = np.concatenate([columns, rest.astype(np.int32)], axis=1)
        if self.variants is not None:
            listed = np.where(whole == PAD, PAD, np.take_along_axis(items, whole, axis=1))
            whole = np.where(self.variants.first_of_each(listed), whole, np.int32(PAD))
        rest = whole[:, columns.shape[1] :]
        closed = np.argsort(rest == PAD, axis=1, kind="stable")[:, :more]
        return np.concatenate([columns, np.take_along_axis(rest, closed, axis=1)], axis=1)

    def _unmet(self, full: Filled) -> Array:
        bits = np.array([1 << rule.rule for rule in self.rules.fresh], np.int64)
        return full.short @ bits


def _wide(propensity: Floats, width: int) -> Floats:
    return np.pad(propensity, [(0, 0), (0, width - propensity.shape[1])], constant_values=1)


def _listed(
    scored: Ranked, order: _Order, columns: Rows, propensity: Floats, unmet: Array, held: Mask
) -> Ranked:
    """The candidates at these columns (b, k), with scores of the kind that they had."""
    on, places = columns != PAD, np.maximum(columns, 0)
    logits = np.take_along_axis(order.logits, places, axis=1)
    scores = np.where(scored.by_ranker[:, None], logits, np.exp(logits))
    scores = np.where(on & np.isfinite(logits), scores, np.float32(-np.inf))
    rules = np.where(on, np.take_along_axis(order.trail, places, axis=1), 0)
    trail = Trail(rules, propensity, unmet, held)
    candidates = order.candidates.at(places).where(on)
    return Ranked(candidates, scores, scored.by_ranker, scored.failed, trail)


def _best_first(logits: Floats, filled: Mask) -> Array:
    """Places (b, w) from the best to the worst, then those without a score, then PAD."""
    known = np.where(filled, np.maximum(logits, np.finfo(np.float32).min), -np.inf)
    return np.argsort(-known, axis=1, kind="stable")


def _may(allowed: Allowed, items: Rows) -> Mask:
    """(b, n) which of the items each query may be offered."""
    span = np.int64(len(allowed.mask))
    barred = owners(allowed.offsets) * span + allowed.excluded
    asked = np.arange(len(allowed))[:, None] * span + items
    may: Mask = allowed.mask[items] & ~np.isin(asked, barred)
    return may


def _with_more(order: _Order, items: Rows) -> _Order:
    """The same with items (b, n) behind that no source offered and nobody gave a score."""
    before, shape = order.candidates, items.shape
    deep = (*shape, len(before.sources))
    candidates = Candidates(
        before.users,
        np.concatenate([before.items, items], axis=1),
        np.concatenate([before.scores, np.full(deep, -np.inf, np.float32)], axis=1),
        np.concatenate([before.ranks, np.full(deep, PAD, np.int32)], axis=1),
        before.sources,
    )
    logits = np.concatenate([order.logits, np.full(shape, -np.inf, np.float32)], axis=1)
    return _Order(candidates, logits, np.pad(order.trail, [(0, 0), (0, shape[1])]))


def _spread(mask: Mask, columns: Rows, order: _Order) -> Mask:
    """(b, w) which candidates are at those `columns` (b, n) of which `mask` (b, n) holds."""
    on = np.zeros(order.logits.shape, bool)
    rows, places = np.nonzero(mask & (columns != PAD))
    on[rows, columns[rows, places]] = True
    return on
