"""A past moment to try a trained ranker on, by users whom it has not learnt from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from recsys.features.columns import EventType
from recsys.features.errors import TrainingError
from recsys.fitted import Fitted, block_size
from recsys.learning import Moment
from recsys.policy import Policy
from recsys.ranking.grades import Grades
from recsys.ranking.neural import NeuralRanker
from recsys.retrieval.candidates import Candidates


@dataclass(frozen=True)
class Trial:
    """A past moment, and sources that were fitted on its past: what they find is what is served."""

    moment: Moment
    fitted: Fitted
    policy: Policy

    def held_out(self, ranker: NeuralRanker) -> "Trial":
        """The same with the users alone whom the ranker has not learnt from."""
        held = np.flatnonzero(ranker.holds_out(self.moment.histories.users))
        return Trial(self.moment.take(held), self.fitted, self.policy)

    def blocks(self) -> Iterator[tuple[Moment, Candidates]]:
        """As `asked`; raises TrainingError where a source fails."""
        for block, candidates, failed in self.asked():
            if failed:
                raise TrainingError(f"sources failed while the ranker was tried: {failed}")
            yield block, candidates

    def asked(self) -> Iterator[tuple[Moment, Candidates, list[str]]]:
        """Users who chose what they might have been offered, all of their candidates, and the
        sources that failed.
        """
        for whole in self.moment.blocks(block_size(len(self.policy.mask))):
            chosen = whole.chosen.within(self.policy.allowed(whole.histories))
            kept = np.flatnonzero(np.diff(chosen.offsets) > 0)
            if not len(kept):
                continue
            block = replace(whole, chosen=chosen).take(kept)
            allowed = self.policy.allowed(block.histories)
            candidates, failed = self.fitted.candidates(block.histories, allowed)
            yield block, candidates, failed


def event_grades(names: tuple[str, ...], events: Mapping[str, EventType]) -> Grades:
    """The grades of a log's events, by their weights in the settings."""
    return Grades.of(names, event_weights(names, events))


def event_weights(names: tuple[str, ...], events: Mapping[str, EventType]) -> list[float]:
    """(events,) what the settings say that each event of a log is worth."""
    return [events.get(name, EventType()).weight for name in names]
