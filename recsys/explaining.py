"""How an explanation is made: by the path that made the list, and then backwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from recsys.explanation import Explanation
from recsys.explanation_words import in_words
from recsys.features.arrays import PAD, Array, Mask, Rows
from recsys.features.histories import Histories
from recsys.final import lot_keys
from recsys.learnt import Learnt
from recsys.policy import Policy
from recsys.ranked import Ranked
from recsys.ranking.pair_features import families
from recsys.reasons import main_source
from recsys.reporting.findings import counted
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.retriever import Retriever, explains_scores
from recsys.retrieval.sources import named
from recsys.tables import Asked, Lists, as_table

_RULES, _ROUNDING = "rules", "rounding"
"""Families of what adds to a score and is no feature."""


def explained(
    learnt: Learnt, asked: Asked, policy: Policy, k: int, items: Rows | None = None
) -> Explanation:
    """Why one asker's list of `k` is as it is, or where given items (m,) stand and why."""
    fitted, histories = learnt.fitted, asked.histories
    if fitted.final is not None:
        fitted.final.check(k)
    allowed = policy.allowed(histories)
    most = min(k, len(learnt.catalog))
    candidates, failed = fitted.candidates(histories, allowed, most)
    longest = most if items is None else most + candidates.items.shape[1]
    keys = lot_keys(fitted.final, asked.ids, histories.now)
    ranked = fitted.listed(histories, allowed, candidates, failed, most, longest, keys)
    table = _table(learnt, asked, allowed, ranked, k)
    rows = ranked.candidates.items[0]
    if items is None:
        table = table.with_columns(pl.lit(None, pl.String).alias("rule"))
    else:
        rules = _rules_of(items, k, learnt, policy, asked.histories, candidates, ranked)
        table = _of_items(table, learnt.catalog.items.ids_at(items), asked.ids).with_columns(rules)
        rows = items[np.isin(items, rows)]
    rows = rows[
        (rows != PAD) & np.isin(rows, candidates.items[0])
    ]  # a pinned item may be no candidate
    behind = _Behind.of(learnt, histories, candidates, rows, bool(ranked.by_ranker[0]))
    features, baseline = behind.features()
    found = Explanation(
        user_id=asked.ids[0],
        items=table.with_columns(_titles(learnt, table["item_id"])),
        sources=behind.sources(),
        events=behind.events(),
        features=features,
        baseline=baseline,
        rules=_rules(learnt, policy, allowed),
    )
    reasons = {member.name: member.retriever.reason for member in fitted.sources.offering}
    words = in_words(found, behind.main(), reasons)
    return replace(found, items=found.items.with_columns(words))


def _titles(learnt: Learnt, ids: pl.Series) -> pl.Series:
    """(n,) what to call items; null where there is none."""
    rows = pl.Series(learnt.catalog.items.rows(ids)).replace(PAD, None)
    return learnt.catalog.titles().gather(rows.cast(pl.UInt32)).alias("title")


def _of_items(table: pl.DataFrame, ids: pl.Series, user: pl.Series) -> pl.DataFrame:
    """The rows of a list for items (m,), nulls but for its note for those that are not on it."""
    whole = {"user_id": user, "note": table["note"]}  # of the list, not of an item
    of_all = {name: column.gather([0] * len(ids)) for name, column in whole.items()}
    asked_for = pl.DataFrame({"item_id": ids, **of_all})
    return asked_for.join(
        table.drop(*of_all), on="item_id", how="left", maintain_order="left"
    ).select(table.columns)


def _table(learnt: Learnt, asked: Asked, allowed: Allowed, ranked: Ranked, k: int) -> pl.DataFrame:
    """The list as `Engine.recommend` has it."""
    sources = learnt.fitted.sources
    lists = Lists.of(
        asked.histories,
        ranked,
        max(min(k, len(learnt.catalog)), ranked.candidates.items.shape[1]),
        learnt.fitted.available(allowed),
        sources.retrievers,
    )
    offering = [member.name for member in sources.offering]
    rules = () if learnt.fitted.final is None else learnt.fitted.final.names
    return as_table(asked, lists, k, offering, sources.retrievers, learnt.catalog, rules)


@dataclass(frozen=True)
class _Behind:
    """What stands behind some items of one list."""

    learnt: Learnt
    histories: Histories  # (1,)
    candidates: Candidates  # (1, w) of which the list was made
    chosen: Candidates  # (1, m) those that are explained
    places: Array  # (1, m) where they stand among the candidates
    by_ranker: bool

    @classmethod
    def of(
        cls, learnt: Learnt, histories: Histories, candidates: Candidates, rows: Rows,
        by_ranker: bool,
    ) -> "_Behind":  # fmt: skip
        places = (candidates.items[0] == rows[:, None]).argmax(axis=1)[None]
        chosen = candidates.at(places)
        return cls(learnt, histories, candidates, chosen, places, by_ranker)

    @property
    def ids(self) -> pl.Series:
        return self.learnt.catalog.items.ids_at(self.chosen.items[0]).alias("item_id")

    def retriever(self, source: str) -> Retriever:
        return named(self.learnt.fitted.sources.offering, source).retriever

    def sources(self) -> pl.DataFrame:
        ranks, names = self.chosen.ranks[0], self.chosen.sources
        item, source = np.nonzero(ranks != PAD)
        order = np.lexsort((ranks[item, source], item))
        item, source = item[order], source[order]
        reasons = [self.retriever(name).reason.format(item="earlier choices") for name in names]
        return pl.DataFrame(
            {
                "item_id": self.ids.gather(item),
                "source": pl.Series(names, dtype=pl.String).gather(source),
                "rank": pl.Series(ranks[item, source] + 1, dtype=pl.Int32),
                "score": self.chosen.scores[0, item, source],
                "reason": pl.Series(reasons, dtype=pl.String).gather(source),
            }
        )

    def events(self) -> pl.DataFrame:
        """Of the sources that can say what each event adds; items in the order of the list."""
        parts = [self._events_of(place) for place in range(len(self.chosen.sources))]
        return self.ids.to_frame().join(pl.concat(parts), on="item_id", maintain_order="left_right")

    def _events_of(self, source: int) -> pl.DataFrame:
        name = self.chosen.sources[source]
        retriever = self.retriever(name)
        offered = np.where(self.chosen.ranks[:, :, source] == PAD, PAD, self.chosen.items)
        shares = np.zeros((len(self.histories.items), offered.shape[1]))  # (n, m)
        if explains_scores(retriever) and (offered != PAD).any():
            shares = retriever.contributions(self.histories, offered).astype(np.float64)
        event, item = np.nonzero(shares)
        order = np.lexsort((-np.abs(shares[event, item]), item))
        event, item = event[order], item[order]
        sums = shares.sum(axis=0)[item]
        own, log, catalog = self.histories, self.learnt.log, self.learnt.catalog
        past = own.items[event]
        time = pl.Series(own.times[event]).cast(pl.Datetime("us", "UTC"))
        if log.clock != "time":
            time = pl.Series([None] * len(event), dtype=pl.Datetime("us", "UTC"))
        return pl.DataFrame(
            {
                "item_id": self.ids.gather(item),
                "source": pl.repeat(name, len(item), dtype=pl.String, eager=True),
                "past_id": catalog.items.ids_at(past),
                "title": catalog.titles().gather(past),
                "event": pl.Series(log.events, dtype=pl.String).gather(own.events[event]),
                "time": time,
                "contribution": shares[event, item],
                "share": shares[event, item] / np.where(sums == 0, np.nan, sums),
            }
        ).with_columns(pl.col("share").fill_nan(None))

    def features(self) -> tuple[pl.DataFrame, float | None]:
        """What each feature, boost and rounding adds to the ranker's scores, and from where on."""
        from recsys.ranking.attribution import attribution

        fitted = self.learnt.fitted
        if fitted.ranker is None or not self.by_ranker:
            nothing = np.zeros((self.places.shape[1], 0))
            return self._features([], [], nothing, nothing), None
        whole, names = fitted.features(self.histories, self.candidates)
        values = whole[0, self.places[0]]
        found = attribution(fitted.ranker, values)
        kinds = families(self.histories, self.candidates, fitted.knowledge)
        boosts, factors, added = self._boosts()
        none = np.full((len(values), 1), np.nan)
        return (
            self._features(
                [*names, *boosts, _ROUNDING],
                [*(kinds[name] for name in names), *[_RULES] * len(boosts), _ROUNDING],
                np.concatenate([values, factors, none], axis=1),
                np.concatenate([found.shares, added, found.rounding[:, None]], axis=1),
            ),
            found.baseline,
        )

    def _boosts(self) -> tuple[list[str], Array, Array]:
        """The boosts (n,) by name, the factors on the odds (m, n), and what they add (m, n)."""
        final = self.learnt.fitted.final
        boosts = () if final is None else final.rules.boosts
        names = [] if final is None else [final.rules.names[boost.rule] for boost in boosts]
        added = np.zeros((self.places.shape[1], len(boosts)))
        for place, boost in enumerate(boosts):
            added[boost.items[self.chosen.items[0]], place] = boost.added
        return names, np.exp(added), added

    def _features(
        self, names: Sequence[str], kinds: Sequence[str], values: Array, shares: Array
    ) -> pl.DataFrame:
        """Of values and shares (m, f) a row for each share that is not 0, the largest first."""
        item, feature = np.nonzero(shares)
        order = np.lexsort((-np.abs(shares[item, feature]), item))
        item, feature = item[order], feature[order]
        return pl.DataFrame(
            {
                "item_id": self.ids.gather(item),
                "feature": pl.Series(names, dtype=pl.String).gather(feature),
                "family": pl.Series(kinds, dtype=pl.String).gather(feature),
                "value": values[item, feature].astype(np.float32),
                "contribution": shares[item, feature],
            }
        ).with_columns(pl.col("value").fill_nan(None))

    def main(self) -> dict[Any, str]:
        """By item the source that ranked it highest."""
        places = main_source(self.chosen)[0].tolist()
        return dict(zip(self.ids, [self.chosen.sources[place] for place in places], strict=True))


def _rules(learnt: Learnt, policy: Policy, allowed: Allowed) -> tuple[str, ...]:
    """What narrowed down the offer, in words."""
    fitted = learnt.fitted
    amounts = [(what, left_out.sum()) for what, left_out in _left_out(learnt, policy)]
    amounts.append(("had before and not offered again", policy.mask[allowed.excluded].sum()))
    told = [f"{counted(int(n), 'item')} {what}" for what, n in amounts if n]
    if fitted.variants is not None:
        told.append("of the variants of a product the best is shown")
    quotas = fitted.sources.fusion.quotas
    told += [f"at least {n} candidates of {source}" for source, n in quotas.items() if n]
    return tuple(told)


def _left_out(learnt: Learnt, policy: Policy) -> Iterator[tuple[str, Mask]]:
    """Why items are offered to nobody here, and which (items,): masks that do not overlap."""
    catalog, final = learnt.catalog, learnt.fitted.final
    stocked = catalog.offered()
    yield "not in the catalogue", catalog.unlisted()
    yield "not available", ~stocked & ~catalog.unlisted()
    if final is not None:
        for number, name in enumerate(final.rules.names):
            yield f"left out by the rule {name}", stocked & (final.rules.barred == number)
    yield "left out by the request", learnt.policy.mask & ~policy.mask


def _rules_of(
    items: Rows,
    k: int,
    learnt: Learnt,
    policy: Policy,
    histories: Histories,
    candidates: Candidates,
    ranked: Ranked,
) -> pl.Series:
    """(m,) why each item is not on the list of `k`; null for those that are."""
    dislikes = histories.dislikes
    no = np.zeros(0, np.int32) if dislikes is None else dislikes.items
    had = policy.allowed(histories).excluded
    listed_ = ranked.candidates.items[0]
    reasons: list[tuple[str | None, Mask]] = [
        (None, np.isin(items, listed_[:k])),
        *((why, left_out[items]) for why, left_out in _left_out(learnt, policy)),
        ("disliked", np.isin(items, no)),
        ("had before", np.isin(items, had)),
        ("offered by no source", ~np.isin(items, candidates.items[0])),
        *((why, np.isin(items, held)) for why, held in _held_back(learnt, ranked)),
        ("another variant of the product ranks better", ~np.isin(items, listed_)),
        (f"ranked below {k}", np.ones(len(items), bool)),
    ]
    first = np.stack([holds for _, holds in reasons]).argmax(axis=0)
    return pl.Series([why for why, _ in reasons], dtype=pl.String).gather(first).alias("rule")


def _held_back(learnt: Learnt, ranked: Ranked) -> Iterator[tuple[str, Rows]]:
    """The caps that held candidates back, and which (n,)."""
    final, trail = learnt.fitted.final, ranked.trail
    if final is None or trail is None:
        return
    for cap in final.rules.caps:
        held = ranked.candidates.items[trail.held_by == cap.rule]
        yield f"held back by the rule {final.rules.names[cap.rule]}", held
