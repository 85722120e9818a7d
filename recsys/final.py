"""The final list: what stands between the ranker's order and the first k."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Array, Floats, Mask, Rows
from recsys.features.catalog import Catalog
from recsys.features.ragged import owners
from recsys.final_settings import DIVERSITY, EXPLORED, FinalSettings
from recsys.likeness import Likeness
from recsys.order import Order
from recsys.ranked import Ranked, Trail
from recsys.ranking import diversity, exploration
from recsys.ranking.rules import Caps, Filled, Least, filled
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.variants import Variants
from recsys.rules import Rules, moved

_MOST_POOLED = 1_000
"""Candidates of one list that diversity compares at the most: its cost is the square of that."""

_TAKEN = 2
"""Lists of k have so many times k candidates chosen one by one: rules hold some of them back."""

_MOST_RAISED = 300.0
"""Of the logarithm of all factors on one weight; what passes float32 then is its largest."""

_LEAST_LOGIT = np.log(np.finfo(np.float32).tiny)
"""By which lots take what is expected to bring nothing: only where they hold nothing else."""

_CELLS = 4_000_000
"""Pairs of candidates whose similarities are held at a time (16 MB)."""


@dataclass(frozen=True)
class Final:
    """The steps from scored candidates to lists, in this order: boosts, diversity, then pins, caps
    and least shares together, then places by lot. Blocks and price bands have acted in retrieval.
    """

    settings: FinalSettings
    rules: Rules
    likeness: Likeness | None  # where lists are made diverse
    variants: Variants | None  # where a list shows one of each product
    caps: Caps  # those of the rules, then the variants of a product as one more that is no rule
    fresh: Mask  # (m, items) what is new by each rule of a least share
    raised: Floats | None  # (items,) what boosts add to the score

    @classmethod
    def of(
        cls, settings: FinalSettings, rules: Rules, catalog: Catalog, variants: Variants | None
    ) -> "Final | None":
        """None where settings ask for nothing; raises SettingsError where they cannot be met."""
        if not settings.is_on:
            return None
        own = [(cap.values, cap.most) for cap in rules.caps]
        if variants is not None:
            rules.check_products(variants.groups, catalog.items.ids)
            own.append((variants.groups, 1))
        new = [rule.items for rule in rules.fresh]
        return cls(
            settings=settings,
            rules=rules,
            likeness=Likeness.of(settings.diversity, catalog),
            variants=variants,
            caps=Caps.of(own, len(catalog)),
            fresh=np.array(new, bool).reshape(len(new), len(catalog)),
            raised=rules.raised(),
        )

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
            ids = ids.cast(pl.Int64, wrap_numerical=True)  # one id, one hash, of whatever width
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

        With a `longest` above `k`, the candidates that are on no list of `k` follow it in their
        order, by no rule. Without `keys` (b,) no place is given by lot.
        """
        slots = 0 if keys is None else self.settings.exploration.slots
        order = self._diversified(self._boosted(scored), k)
        order, pinned = self._with_pins(order, allowed, max(k, len(self.rules.pins) + slots))
        need = np.array([rule.need(k) for rule in self.rules.fresh], np.int64)
        full = filled(order.items, pinned, self.caps, Least(self.fresh, need), slots)
        order, columns = self._traced(order, full, pinned), full.columns
        propensity: Floats = np.ones(columns.shape, np.float32)
        if keys is not None and slots:
            lots = self._lots(order, columns, keys)
            order = order.put(len(self.names) - 1, order.holds(lots.columns))
            columns, propensity = exploration.placed(columns, lots)
        closed = np.argsort(columns == PAD, axis=1, kind="stable")[:, :k]
        columns = np.take_along_axis(columns, closed, axis=1)
        propensity = np.take_along_axis(propensity, closed, axis=1)
        columns = self._lengthened(order, columns, longest - k)
        certain = np.ones((len(columns), columns.shape[1] - propensity.shape[1]), np.float32)
        trail = Trail(
            rules=np.where(columns == PAD, 0, np.take_along_axis(order.trail, columns, axis=1)),
            propensity=np.concatenate([propensity, certain], axis=1),
            unmet=self._unmet(full),
            held=self._held(full),
            held_by=self._held_by(full, columns),
        )
        return _listed(scored, order, columns, trail)

    def _boosted(self, scored: Ranked) -> Order:
        """Candidates by their scores, boosts among them.

        The logarithm of a factor is added to the ranker's logits, which makes it one on the odds.
        Any other score, fused or an expected value, is a weight and multiplied; one below 0 is
        divided, so that no boost moves an item back.
        """
        order = Order.of(scored)
        order = order.at(order.best_first())
        if self.raised is None:
            return order
        raised = self.raised[order.items]  # PAD stays at -inf
        logits, weights = order.scores + raised, _weighed(order.scores, raised)
        order = replace(order, scores=np.where(order.are_logits[:, None], logits, weights))
        before = order.best_first()
        order = order.at(before)
        for boost in self.rules.boosts:
            order = order.marked(boost.rule, moved(boost, order.items, before))
        return order

    def _diversified(self, order: Order, k: int) -> Order:
        """The order that trades relevance against likeness within the first of the candidates.

        Relevance is a logit, of a weight its logarithm, scaled to [0, 1] within the list: it is the
        same in whatever unit values are. What is expected to bring nothing stays behind the rest.
        """
        if self.likeness is None:
            return order
        settings, (queries, width) = self.settings.diversity, order.items.shape
        pool = min(width, settings.pool * k, _MOST_POOLED)
        places = np.tile(np.arange(width), (queries, 1))
        logits, step = order.logits, max(1, _CELLS // (pool * pool))
        for start in range(0, queries, step):
            stretch = slice(start, start + step), slice(pool)
            places[stretch] = diversity.diversified(
                diversity.relevance(logits[stretch]),
                self.likeness.similarity(order.items[stretch]),
                settings.strength,
                "dpp" if settings.method == "dpp" else "mmr",
                _TAKEN * k,
            )
        moved_on = (places != np.arange(width)) & order.candidates.filled
        return order.at(places).marked(len(self.names) - 2, moved_on)

    def _with_pins(self, order: Order, allowed: Allowed, k: int) -> tuple[Order, Rows]:
        """With pinned items among the candidates, and the column of each place (b, k) or PAD.

        What a query may not be offered is not pinned for it. There are more places than `k` where
        a pin stands further back.
        """
        pins, (queries, width) = self.rules.pins, order.items.shape
        pinned = np.full((queries, max([k, *(pin.place + 1 for pin in pins)])), PAD, np.int32)
        if not pins:
            return order, pinned
        items = np.array([pin.item for pin in pins], np.int32)
        matches = order.items[:, :, None] == items  # (b, w, pins)
        found, may = matches.any(axis=1), _may(allowed, items)
        columns = np.where(found, matches.argmax(axis=1), width + np.arange(len(items)))
        pinned[:, [pin.place for pin in pins]] = np.where(may, columns, PAD)
        return order.with_more(np.where(may & ~found, items, np.int32(PAD))), pinned

    def _traced(self, order: Order, full: Filled, pinned: Rows) -> Order:
        """With pins, caps and least shares in the trail of what they put where it is."""
        for number, cap in enumerate(self.rules.caps):
            overtook = np.maximum.accumulate(full.held == number, axis=1)
            order = order.marked(cap.rule, overtook & (full.held == PAD))
        for number, rule in enumerate(self.rules.fresh):
            order = order.marked(rule.rule, full.pulled == number)
        for pin in self.rules.pins:
            order = order.put(pin.rule, order.holds(pinned[:, [pin.place]]))
        return order

    def _lots(self, order: Order, columns: Rows, keys: Array) -> exploration.Drawn:
        settings = self.settings.exploration
        able = np.isfinite(order.scores)
        lots = exploration.lots(
            order.items, able, columns, self.caps, settings.slots, settings.depth
        )
        near = np.argsort(lots == PAD, axis=1, kind="stable")[:, : settings.depth]
        lots = np.take_along_axis(lots, near, axis=1)
        logits = np.take_along_axis(np.maximum(order.logits, _LEAST_LOGIT), near, axis=1)
        heat = settings.temperature if settings.draw == "softmax" else None
        chances = exploration.probabilities(lots, logits, settings.slots, heat)
        return exploration.drawn(chances, keys).among(near)

    def _lengthened(self, order: Order, columns: Rows, more: int) -> Rows:
        """The lists with up to `more` other candidates behind them, by column."""
        if more <= 0:
            return columns
        used = order.holds(columns) | (order.items == PAD)
        rest = np.where(used, PAD, np.arange(used.shape[1], dtype=np.int32))
        whole = np.concatenate([columns, rest], axis=1)
        if self.variants is not None:
            items = np.where(whole == PAD, PAD, np.take_along_axis(order.items, whole, axis=1))
            whole = np.where(self.variants.first_of_each(items), whole, np.int32(PAD))
        rest = whole[:, columns.shape[1] :]
        closed = np.argsort(rest == PAD, axis=1, kind="stable")[:, :more]
        return np.concatenate([columns, np.take_along_axis(rest, closed, axis=1)], axis=1)

    def _unmet(self, full: Filled) -> Array:
        return full.short @ np.array([1 << rule.rule for rule in self.rules.fresh], np.int64)

    def _held(self, full: Filled) -> Mask:
        """(b,) whether a cap of the rules held anything back."""
        held = (full.held != PAD) & (full.held < len(self.rules.caps))
        return np.asarray(held.any(axis=1), np.bool_)

    def _held_by(self, full: Filled, columns: Rows) -> Rows:
        """(b, n) the rule of the cap that held back the candidate at each column."""
        caps = np.where(columns == PAD, PAD, np.take_along_axis(full.held, columns, axis=1))
        rules = [cap.rule for cap in self.rules.caps]
        return np.array([*rules, PAD, PAD], np.int32)[caps]  # variants are no rule, PAD is the last


def _listed(scored: Ranked, order: Order, columns: Rows, trail: Trail) -> Ranked:
    """The candidates at these columns (b, n)."""
    on = columns != PAD
    scores = np.take_along_axis(order.scores, columns, axis=1)
    scores = np.where(on & np.isfinite(scores), scores, np.float32(-np.inf))
    candidates = order.candidates.at(columns).where(on)
    return Ranked(candidates, scores, scored.by_ranker, scored.failed, trail)


def _weighed(weights: Floats, raised: Floats) -> Floats:
    """Weights (b, w) by the factors of which `raised` (b, w) are the logarithms; -inf stays."""
    factors = np.exp(np.clip(raised.astype(np.float64), -_MOST_RAISED, _MOST_RAISED))
    changed = np.where(weights < 0, weights / factors, weights * factors)
    most = np.finfo(np.float32).max
    changed = np.where(np.isfinite(weights), np.clip(changed, -most, most), weights)
    return np.asarray(changed, np.float32)


def _may(allowed: Allowed, items: Rows) -> Mask:
    """(b, n) which of the items each query may be offered."""
    span = np.int64(len(allowed.mask))
    barred = owners(allowed.offsets) * span + allowed.excluded
    asked = np.arange(len(allowed))[:, None] * span + items
    may: Mask = allowed.mask[items] & ~np.isin(asked, barred)
    return may


def lot_keys(final: Final | None, ids: pl.Series, now: Array) -> Array | None:
    """(b,) what lots hang on; None where no place is given by lot."""
    return None if final is None or not final.explores else final.keys(ids, now)
