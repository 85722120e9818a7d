"""What sources offer of the items that were chosen: the most that any ranker can find."""

from collections import Counter
from dataclasses import dataclass, field

from recsys.features import ragged
from recsys.features.arrays import PAD
from recsys.ranking.lists import Chosen
from recsys.retrieval.candidates import Candidates


@dataclass
class Offered:
    """Items that were chosen, counted a block of users at a time."""

    chosen: int = 0
    anywhere: int = 0  # of these, offered by any source
    by_source: Counter[str] = field(default_factory=Counter)  # and by each of them

    def count(self, chosen: Chosen, candidates: Candidates) -> None:
        """Add what users chose who were offered these candidates."""
        places = chosen.ranks(candidates.items)
        owners = ragged.owners(chosen.offsets)
        by = (candidates.ranks[owners, places] != PAD) & (places != PAD)[:, None]
        self.chosen += len(by)
        self.anywhere += int(by.any(axis=1).sum())
        counts = by.sum(axis=0).tolist()
        self.by_source.update(dict(zip(candidates.sources, counts, strict=True)))

    def notes(self) -> list[str]:
        """The shares in words; nothing where nothing was chosen."""
        if not self.chosen:
            return []
        told = ", ".join(f"{name} {own / self.chosen:.1%}" for name, own in self.by_source.items())
        return [
            f"the sources offer {self.anywhere / self.chosen:.1%} of {self.chosen:,} items that "
            f"held-out users chose, and no ranker can find more: {told}"
        ]
