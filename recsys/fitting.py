"""How an engine learns: sources on the past, the ranker on what followed, sources again on all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from recsys.calibrating import calibrate
from recsys.features.arrays import PAD, Array, Floats, Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import QualityError, TrainingError
from recsys.features.interactions import Interactions
from recsys.features.memory import hand_back
from recsys.features.spawning import end_if_importing
from recsys.features.threads import side_by_side
from recsys.fitted import Fitted, block_size, shown_once
from recsys.judging import judge
from recsys.learning import (
    Moment,
    moments_in_time,
    moments_of_drawn_items,
    moments_of_last_items,
)
from recsys.parts import make_fusion, make_ranker, make_sources
from recsys.policy import Policy
from recsys.ranking.day_features import Told
from recsys.ranking.lists import TrainingLists
from recsys.ranking.neural import NeuralRanker
from recsys.ranking.pair_features import Knowledge, feature_names
from recsys.ranking.position_bias import PositionBias
from recsys.ranking.spool import Spool
from recsys.retrieval.mixture import Mixture
from recsys.retrieval.sources import Older
from recsys.settings import EngineSettings
from recsys.trial import Trial, event_grades

_MOST_MIXED = 4_000
"""Users whose lists a mixture is learnt from."""

_NO_EFFECT = (
    "training.refit = false has no effect without a ranker: the sources are fitted on everything"
)

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
    mixture: Mixture | None = None
    bias: PositionBias | None = None  # by which choices to learn from count
    told: Told = field(default_factory=Told)  # by the times of the whole log, at every moment

    def run(self, log: Interactions) -> tuple[Fitted, list[str]]:
        """Learn both stages; returns them with notes on what was left out and why."""
        ranker = make_ranker(self.settings)
        if ranker.compression == "onnx":
            from recsys.ranking.onnx_graph import check_packages

            check_packages()
        if ranker.processes > 1:
            end_if_importing()
        own, said = self._of(log)
        return own._run(log, said)

    def lists(self, log: Interactions) -> TrainingLists:
        """What the ranker learns from."""
        return self._of(log)[0]._training_lists(log)[0]

    def _of(self, log: Interactions) -> tuple[Self, list[str]]:
        """This fit with what is settled once for the whole log, and notes on it."""
        own = replace(self, told=Told.of(log))
        mixture, said = own._mixture(log)
        bias, of_places = own._bias(log)
        return replace(own, mixture=mixture, bias=bias), [*said, *of_places]

    def _run(self, log: Interactions, said: list[str]) -> tuple[Fitted, list[str]]:
        second, older, notes = self._second_stage(log)
        if second.kept is not None:
            final, missing = self._kept(second.kept, log)
        else:
            final, missing = self._learn(
                log, "fitting sources on everything", older if second.ranker else None
            )
        if why := second.unfit(final):
            without = f"no ranker: {why}; lists are fused by rank"
            return final, [*missing, *said, *notes, without]
        final = replace(final, ranker=second.ranker, leader=second.leader)
        return final, missing + said + notes

    def _kept(self, fitted: Fitted, log: Interactions) -> tuple[Fitted, list[str]]:
        """Sources of the newest moment to serve by; all else is as of everything."""
        sources = fitted.sources
        knowledge = Knowledge.of(sources.retrievers, log.of_interest(), self.catalog, self.told)
        said = "training.refit is off: the sources do not know what came after the newest moment"
        return replace(fitted, knowledge=knowledge), [*sources.notes, said]

    def _second_stage(self, log: Interactions) -> tuple["_SecondStage", Older | None, list[str]]:
        """A ranker that was tried, what the sources it learnt from leave, and notes on both."""
        lists, trial, notes = self._training_lists(log)
        older = trial.fitted.sources.older() if trial else None
        least = self.settings.training.least_positives
        if len(lists) < least or trial is None:
            none = (
                f"no ranker: {len(lists)} of {lists.queries} past lists hold what was chosen, "
                f"{least} are needed; lists are fused by rank"
            )
            if not self.settings.training.refit:
                notes = [*notes, _NO_EFFECT]
            return _SecondStage(), older, [*notes, none]
        ranker = make_ranker(self.settings).fit(
            lists, lambda share: self.progress("training the ranker", share)
        )
        hand_back()
        notes += _compressed(ranker, lists)
        tried = trial.held_out(ranker)
        calibrated = calibrate(ranker, tried, self.settings)
        verdict = judge(ranker, tried, self.settings, self.bias)
        read = frozenset(member.name for member in trial.fitted.sources.members)
        kept = None if self.settings.training.refit else trial.fitted
        second = _SecondStage(ranker, verdict.leader, read, kept)
        return second, older, [*notes, *verdict.offered.notes(), verdict.note, *calibrated]

    def _bias(self, log: Interactions) -> tuple[PositionBias | None, list[str]]:
        """How places in lists are looked at, where the log tells it, and a note on it."""
        most = self.settings.training.most_place_weight
        if log.shown is None or log.positions is None or most == 1:
            return None, []
        chosen = np.bincount(log.positions, minlength=1)
        bias = PositionBias.fitted(chosen, log.shown.totals(), most)
        if bias is None:
            return None, ["places in lists count for nothing: too few choices have a place"]
        return bias, [
            f"place p of a list gets p ** -{bias.decay:.2f} of the looks of the first, by "
            f"{len(log.shown):,} impressions; choices count for the inverse, at most {most:g}"
        ]

    def _mixture(self, log: Interactions) -> tuple[Mixture | None, list[str]]:
        """What ranks are worth, where settings ask to learn it, and a note on it.

        From the newest moment alone, with sources fitted on its past: 3 numbers for each source.
        """
        if make_fusion(self.settings).order != "learned":
            return None, []
        least = self.settings.training.least_positives
        for moment in self._newest(log):
            if not len(moment.histories):
                continue
            fitted, _ = self._learn(moment.past, "fitting sources for their mixture")
            held = make_ranker(self.settings).holds_out(moment.histories.users)
            learnt = moment.take(np.flatnonzero(~held))  # on the others it is tried as a rival
            rng = np.random.default_rng((self.settings.seed, 0))
            ranks, labels = self._ranked(learnt.sample(_MOST_MIXED, rng), fitted)
            if len(labels) >= least:
                mixture = Mixture.learnt(_names(fitted), ranks, labels)
                return mixture, [f"the mixture of sources is learnt from {len(labels):,} lists"]
        return None, [
            f"no mixture of sources: fewer than {least} past lists hold what was chosen; "
            "reciprocal ranks are added up"
        ]

    def _newest(self, log: Interactions) -> Iterator[Moment]:
        """The newest moment in time, if that is how lists are made, then that of last items."""
        settings = self.settings.training
        if settings.holdout != "last" and log.clock == "time":
            yield from moments_in_time(log, 1, settings.stretch)
        if log.clock == "none":
            yield from moments_of_drawn_items(log, 1, np.random.default_rng(self.settings.seed))
        else:
            yield from moments_of_last_items(log, 1, self.policy.hides, self.policy.whole)

    def _ranked(self, moment: Moment, fitted: Fitted) -> tuple[Rows, Floats]:
        """The ranks (n, w, s) of candidates and which were chosen (n, w); lists that hold some."""
        ranks, labels = [], []
        for block in moment.blocks(block_size(len(self.catalog))):
            allowed = self.policy.allowed(block.histories)
            candidates, failed = fitted.candidates(block.histories, allowed)
            if failed:
                raise TrainingError(f"sources failed while their mixture was learnt: {failed}")
            own = block.chosen.within(allowed).labels(candidates)
            hit = (own > 0).any(axis=1)
            ranks.append(candidates.ranks[hit])
            labels.append(own[hit])
        return _stacked(ranks, PAD), _stacked(labels, 0)

    def _training_lists(self, log: Interactions) -> tuple[TrainingLists, Trial | None, list[str]]:
        """Lists of past moments, the newest of these, and how they were made."""
        settings = self.settings.training
        in_time = settings.holdout != "last" and log.clock == "time"
        if settings.holdout == "time" and log.clock != "time":
            return self._of_last_items(log, ["holdout = time needs a clock; the log has none"])
        if not in_time:
            return self._of_last_items(log, [])
        lists, trial = self._lists(moments_in_time(log, settings.moments, settings.stretch))
        if len(lists) >= settings.least_positives or settings.holdout == "time":
            return (
                lists,
                trial,
                [_account(lists, f"the newest {settings.moments} stretches of time")],
            )
        few = f"the newest stretches of time give only {len(lists)} lists to learn from"
        return self._of_last_items(log, [few])

    def _of_last_items(
        self, log: Interactions, notes: list[str]
    ) -> tuple[TrainingLists, Trial | None, list[str]]:
        number = self.settings.training.moments
        if log.clock == "none":
            rng = np.random.default_rng((self.settings.seed, number))
            lists, trial = self._lists(moments_of_drawn_items(log, number, rng))
            return lists, trial, [*notes, _account(lists, "items drawn of each user, in no order")]
        policy = self.policy
        moments = moments_of_last_items(log, number, policy.hides, policy.whole)
        lists, trial = self._lists(moments)
        return lists, trial, [*notes, _account(lists, "each user's last items")]

    def _lists(self, moments: Iterable[Moment]) -> tuple[TrainingLists, Trial | None]:
        """The lists of all moments, and the newest with its sources.

        Each is made from sources that were fitted on its past alone. The oldest comes first, so
        that those of the next can go on from there: what was learnt never goes back in time.
        """
        most = max(1, self.settings.training.most_lists // self.settings.training.moments)
        parts: list[list[TrainingLists]] = []
        spool = Spool()
        trial: Trial | None = None
        waiting = list(enumerate(moments, 1))
        while waiting:
            number, moment = waiting.pop()  # none is held longer than it is needed
            if len(moment.past):
                older = trial.fitted.sources.older() if trial else None
                trial = None  # what else its sources learnt is not held while others learn
                trial = self._trial(moment, number, most, older)
                made = self._lists_of(trial.moment, trial.fitted, number)
                parts.append([part.spooled(spool) for part in made])
                hand_back()
        newest_first = [each for part in reversed(parts) for each in part]
        return TrainingLists.joined([TrainingLists.none(), *newest_first]), trial

    def _trial(self, moment: Moment, number: int, most: int, older: Older | None) -> Trial:
        """At most so many users of a moment, and sources that learnt from its past."""
        fitted, _ = self._learn(moment.past, f"fitting sources before moment {number}", older)
        drawn = moment.sample(most, np.random.default_rng((self.settings.seed, number)))
        return Trial(drawn, fitted, self.policy)

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
        labels = chosen.weighed(self.bias).labels(candidates)
        hit = np.flatnonzero((labels > 0).any(axis=1))
        weights = None
        if self.bias is not None:
            weights = labels[hit].sum(axis=1) / chosen.labels(candidates)[hit].sum(axis=1)
        offered = candidates.take(hit)
        features, names = fitted.features(block.histories.take(hit), offered)
        rng = np.random.default_rng((self.settings.seed, *place))
        grades = event_grades(block.past.events, self.settings.events)
        lists = TrainingLists.of(
            features, names, offered, labels[hit], self.settings.training.negatives, rng,
            grades.graded(chosen.take(hit).codes(offered.items)), grades.names, weights,
            block.refused(offered.items, hit),
        )  # fmt: skip
        found = int(candidates.filled[np.diff(chosen.offsets) > 0].sum())
        return lists.counting(len(block.histories), len(chosen.items), found)

    def _learn(
        self, log: Interactions, step: str, older: Older | None = None
    ) -> tuple[Fitted, list[str]]:
        """Everything but the ranker, from one log, by sources that may go on from older ones."""
        log = log.of_interest()
        sources = make_sources(self.settings)
        done = iter(range(1, len(sources.members) + 1))
        fitted, notes = sources.fit(
            log,
            self.catalog,
            lambda _: self.progress(step, next(done) / len(sources.members)),
            older,
        )
        knowledge = Knowledge.of(fitted.retrievers, log, self.catalog, self.told)
        sources = replace(fitted, mixture=self.mixture)
        variants = shown_once(self.catalog, fitted.fusion)
        return Fitted(sources, knowledge, None, variants), notes


@dataclass(frozen=True)
class _SecondStage:
    """The ranker, if there is one, and whose order is served in its place."""

    ranker: NeuralRanker | None = None
    leader: str | None = None
    sources: frozenset[str] = frozenset()  # that the ranker reads
    kept: Fitted | None = None  # what it learnt from, where that is to serve

    def unfit(self, final: Fitted) -> str | None:
        """Why the ranker can not read what was fitted on everything; None where it can."""
        if lacking := sorted(self.sources - {member.name for member in final.sources.members}):
            return f"it reads {lacking}, left out above"
        if self.ranker is None or (names := feature_names(final.knowledge)) == self.ranker.names_:
            return None
        odd = sorted(set(names) ^ set(self.ranker.names_))
        return f"features of everything are not those of the past; they differ in {odd}"


def _compressed(ranker: NeuralRanker, lists: TrainingLists) -> list[str]:
    """Compress a ranker if it is set to; what became of it."""
    if ranker.compression == "none":
        return []
    try:
        return [f"the ranker is compressed by {ranker.compress(lists)}"]
    except QualityError as error:
        return [f"the ranker serves in full; compressed by {error}"]


def _names(fitted: Fitted) -> list[str]:
    return [member.name for member in fitted.sources.offering]


def _stacked(blocks: Sequence[Array], fill: float) -> Array:
    """Blocks (b, w, ...) of different widths as one."""
    width = max((each.shape[1] for each in blocks), default=0)
    rest = [(0, 0)] * (blocks[0].ndim - 2)
    return np.concatenate(
        [
            np.pad(each, [(0, 0), (0, width - each.shape[1]), *rest], constant_values=fill)
            for each in blocks
        ]
    )


def _account(lists: TrainingLists, where: str) -> str:
    """What the ranker learns from, and what it can not learn."""
    return (
        f"the ranker learns from {where}: {lists.queries:,} users, {lists.positives:,} chosen "
        f"items, of which no source had found {lists.missed:,}; {len(lists):,} lists"
    )
