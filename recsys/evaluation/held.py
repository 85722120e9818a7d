"""What was held out: the users who are scored, and what became of everything else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from recsys.evaluation.protocols import Window
from recsys.features import ragged
from recsys.features.arrays import Array
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.policy import Policy
from recsys.ranking.lists import Chosen


@dataclass(frozen=True)
class Held:
    """The users of a window who have something to find, and what they chose of what is allowed."""

    past: Interactions
    catalog: Catalog
    policy: Policy
    histories: Histories  # (b,)
    chosen: Chosen  # (b,) at least one item each
    events: tuple[str, ...]  # what the codes of `chosen.events` mean
    counts: Mapping[str, int]  # what was scored, and what was left out and why

    @classmethod
    def of(cls, window: Window, catalog: Catalog, policy: Policy) -> "Held":
        """Leave out what the policy forbids (bought before, out of stock, not in the catalogue),
        and count it.

        Raises DataError where nothing is left to score.
        """
        moment = window.moment
        within = moment.chosen.within(policy.allowed(moment.histories))
        kept = np.flatnonzero(np.diff(within.offsets) > 0)
        unlisted = int(catalog.unlisted()[moment.chosen.items].sum())
        if not len(kept):
            raise DataError(
                "nothing to score: nobody chose an item that might have been offered"
                + (f"; {unlisted:,} are not in the catalogue" if unlisted else "")
            )
        forbidden = len(moment.chosen.items) - len(within.items)
        unavailable = int((~policy.mask[moment.chosen.items]).sum()) - unlisted
        counts = {
            "users": len(kept),
            "positives": len(within.items),
            "items": int(policy.mask.sum()),
            "users_without_past": moment.left_out,
            "positives_without_past": moment.left_out_positives,
            "users_without_allowed_positives": len(moment.histories) - len(kept),
            "positives_not_allowed": forbidden,
            "positives_unavailable": unavailable,
            "positives_not_in_catalog": unlisted,
            "positives_disliked_later": moment.disliked_positives,
            "positives_had_before": forbidden - unavailable - unlisted,
            "positives_of_unknown_items": window.unknown,
            "users_of_unknown_items": window.unknown_users,
            "users_without_target": window.without_target,
        }
        return cls(
            past=moment.past,
            catalog=catalog,
            policy=policy,
            histories=moment.histories.take(kept),
            chosen=within.take(kept),
            events=window.events,
            counts=counts,
        )

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def owners(self) -> Array:
        """(n,) the user, by position, of each positive."""
        return ragged.owners(self.chosen.offsets)

    @property
    def positives(self) -> Array:
        """(b,) how many items each user chose."""
        return np.diff(self.chosen.offsets)

    def take(self, users: Array) -> "Held":
        """Some of the users, by position; the counts stay those of all."""
        return replace(self, histories=self.histories.take(users), chosen=self.chosen.take(users))

    def blocks(self, size: int) -> Iterator["Held"]:
        """All users in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))
