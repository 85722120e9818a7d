"""How an engine learns: sources on the past, the ranker on what followed, sources again on all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from recsys.features.catalog import Catalog
from recsys.features.errors import TrainingError
from recsys.features.interactions import Interactions
from recsys.features.threads import side_by_side
from recsys.fitted import Fitted, block_size
from recsys.learning import (
    Moment,
    moments_in_time,
    moments_of_drawn_items,
    moments_of_last_items,
)
from recsys.parts import make_ranker, make_sources
from recsys.policy import Policy
from recsys.ranking.item_statistics import ItemStatistics
from recsys.ranking.lists import TrainingLists
from recsys.ranking.pair_features import Knowledge
from recsys.settings import EngineSettings

Progress = Callable[[str, float], None]
"""Is told the step that runs, and which share of it is done."""


def silent(step: str, share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Fitting:
    """One fit: what it is given, and the steps."""

    settings: EngineSettings
    catalog: Catalog  # with the vectors that sources read
    policy: Policy
    progress: Progress = silent

    def run(self, log: Interactions) -> tuple[Fitted, list[str]]:
        """Learn both stages; returns them with notes on what was left out and why."""
        lists, notes = self._training_lists(log)
        ranker = None
        if len(lists) >= self.settings.training.least_positives:
            ranker = make_ranker(self.settings).fit(
                lists, lambda share: self.progress("training the ranker", share)
            )
        else:
            notes.append(
                f"no ranker: {len(lists)} of {lists.queries} past lists hold what was chosen, "
                f"{self.settings.training.least_positives} are needed; lists are fused by rank"
            )
        final, missing = self._learn(log, "fitting sources on everything")
        return Fitted(final.sources, final.knowledge, ranker), missing + notes

    def _training_lists(self, log: Interactions) -> tuple[TrainingLists, list[str]]:
        """Lists of past moments, and how they were made."""
        settings = self.settings.training
        in_time = settings.holdout != "last" and log.clock == "time"
        if settings.holdout == "time" and log.clock != "time":
            return self._of_last_items(log, ["holdout = time needs a clock; the log has none"])
        if not in_time:
            return self._of_last_items(log, [])
        lists = self._lists(moments_in_time(log, settings.moments, settings.stretch))
        if len(lists) >= settings.least_positives or settings.holdout == "time":
            return lists, [_account(lists, f"the newest {settings.moments} stretches of time")]
        few = f"the newest stretches of time give only {len(lists)} lists to learn from"
        return self._of_last_items(log, [few])

    def _of_last_items(
        self, log: Interactions, notes: list[str]
    ) -> tuple[TrainingLists, list[str]]:
        number = self.settings.training.moments
        if log.clock == "none":
            rng = np.random.default_rng((self.settings.seed, number))
            lists = self._lists(moments_of_drawn_items(log, number, rng))
            return lists, [*notes, _account(lists, "items drawn of each user, in no order")]
        lists = self._lists(moments_of_last_items(log, number))
        return lists, [*notes, _account(lists, "each user's last items")]

    def _lists(self, moments: Iterable[Moment]) -> TrainingLists:
        """The lists of all moments, each from sources that were fitted on its past alone."""
        most = max(1, self.settings.training.most_lists // self.settings.training.moments)
        parts = [TrainingLists.none()]
        for number, moment in enumerate(moments, 1):
            if len(moment.past):
                fitted, _ = self._learn(moment.past, f"fitting sources before moment {number}")
                drawn = moment.sample(most, np.random.default_rng((self.settings.seed, number)))
                parts.extend(self._lists_of(drawn, fitted, number))
        return TrainingLists.joined(parts)

    def _lists_of(self, moment: Moment, fitted: Fitted, number: int) -> Iterator[TrainingLists]:
        done = 0
        size = block_size(len(self.catalog))
        for part in side_by_side(
            lambda block: self._lists_of_block(block[1], fitted, (number, block[0])),
            enumerate(moment.blocks(size)),
        ):
            done += part.queries
            self.progress(f"lists of moment {number}", done / len(moment.histories))
            yield part

    def _lists_of_block(
        self, block: Moment, fitted: Fitted, place: tuple[int, int]
    ) -> TrainingLists:
        allowed = self.policy.allowed(block.histories)
        chosen = block.chosen.within(allowed)
        candidates, failed = fitted.candidates(block.histories, allowed)
        if failed:
            raise TrainingError(f"sources failed while lists to learn from were made: {failed}")
        labels = chosen.labels(candidates)
        hit = np.flatnonzero((labels > 0).any(axis=1))
        offered = candidates.take(hit)
        features, names = fitted.features(block.histories.take(hit), offered)
        rng = np.random.default_rng((self.settings.seed, *place))
        lists = TrainingLists.of(
            features, names, offered, labels[hit], self.settings.training.negatives, rng
        )
        return lists.counting(len(block.histories), len(chosen.items))

    def _learn(self, log: Interactions, step: str) -> tuple[Fitted, list[str]]:
        """Everything but the ranker, from one log."""
        sources = make_sources(self.settings)
        done = iter(range(1, len(sources.members) + 1))
        fitted, notes = sources.fit(
            log, self.catalog, lambda _: self.progress(step, next(done) / len(sources.members))
        )
        knowledge = Knowledge.of(fitted.retrievers, ItemStatistics.of(log), self.catalog)
        return Fitted(fitted, knowledge, None), notes


def _account(lists: TrainingLists, where: str) -> str:
    """What the ranker learns from, and what it can not learn."""
    return (
        f"the ranker learns from {where}: {lists.queries:,} users, {lists.positives:,} chosen "
        f"items, of which no source had found {lists.missed:,}; {len(lists):,} lists"
    )
