"""The validated log: who did what to which item, when, sorted by user and time."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys.features import ragged
from recsys.features.arrays import Array, Floats, Mask, Offsets, Rows, Times
from recsys.features.shown import Shown
from recsys.features.vocabulary import Vocabulary

Clock = Literal["time", "order", "none"]

_SHOWN = "shown.npz"


@dataclass(frozen=True)
class Interactions:
    """A log in rows, sorted by (user, time); events at one time stay as they came."""

    users: Vocabulary
    items: Vocabulary
    user_rows: Rows  # (n,)
    item_rows: Rows  # (n,)
    event_codes: NDArray[np.uint8]  # (n,) positions in `events`
    times: Times  # (n,) microseconds where `clock` is "time", else an order number
    weights: Floats  # (n,) > 0: event weight x weight x damped quantity
    events: tuple[str, ...]  # names, such as ("view", "cart", "purchase")
    clock: Clock
    worths: tuple[float, ...] = ()  # of `events`, each by itself; () where settings told none
    positions: NDArray[np.uint16] | None = None  # (n,) places in lists from 1, 0 where unknown
    shown: Shown | None = None  # impressions, where the log has any with a place

    def __len__(self) -> int:
        return len(self.item_rows)

    @cached_property
    def offsets(self) -> Offsets:
        """(users + 1,) where each user's events begin and end."""
        return ragged.offsets_of(np.bincount(self.user_rows, minlength=len(self.users)))

    @cached_property
    def end(self) -> int:
        """When the last event of all was; 0 without any."""
        return int(self.times.max()) if len(self) else 0

    @property
    def counts(self) -> Array:
        """(users,) how many events each user has."""
        return np.diff(self.offsets)

    @cached_property
    def item_counts(self) -> Array:
        """(items,) how many events each item has."""
        return np.bincount(self.item_rows, minlength=len(self.items))

    def where(self, kept: Mask) -> "Interactions":
        """The events that `kept` (n,) marks; the vocabularies, and so all rows, stay.

        Of the impressions those stay that were over at the newest of these events.
        """
        return replace(
            self,
            user_rows=self.user_rows[kept],
            item_rows=self.item_rows[kept],
            event_codes=self.event_codes[kept],
            times=self.times[kept],
            weights=self.weights[kept],
            positions=None if self.positions is None else self.positions[kept],
            shown=self._shown_before(self.times[kept]),
        )

    def _shown_before(self, times: Times) -> Shown | None:
        """The impressions that are known at the newest of some of our times (m,)."""
        if self.shown is None or self.clock != "time" or not len(self):
            return self.shown
        newest = times.max(initial=np.iinfo(np.int64).min)
        return self.shown if newest == self.times.max() else self.shown.split_at(int(newest))[0]

    def split_at(self, cutoff: int) -> tuple["Interactions", "Interactions"]:
        """(events before `cutoff`, events at or after it), with the impressions of these times."""
        before = self.times < cutoff
        past, rest = self.where(before), self.where(~before)
        if self.shown is None or self.clock != "time":
            return past, rest
        shown, later = self.shown.split_at(cutoff)
        return replace(past, shown=shown), replace(rest, shown=later)

    def split_last(self, n: int = 1, least: int = 1) -> tuple["Interactions", "Interactions"]:
        """(all but each user's last `n` events, those events).

        A user who would be left with fewer than `least` events keeps all of them.
        """
        position = np.arange(len(self)) - self.offsets[self.user_rows]
        counts = self.counts[self.user_rows]
        held = (position >= counts - n) & (counts >= n + least)
        return self.where(~held), self.where(held)

    def split_drawn(self, rng: np.random.Generator) -> tuple["Interactions", "Interactions"]:
        """(all but one event of each user that is drawn, those events).

        A user with a single event keeps it.
        """
        counts = self.counts
        place = rng.integers(np.maximum(counts, 1))
        held = np.zeros(len(self), bool)
        held[(self.offsets[:-1] + place)[counts > 1]] = True
        return self.where(~held), self.where(held)

    def active_users(self) -> Rows:
        """Rows of the users who have an event here, ascending."""
        return np.flatnonzero(self.counts).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the log into `folder` as Parquet (vocabularies), npz (arrays) and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.users.save(folder / "users.parquet")
        self.items.save(folder / "items.parquet")
        positions: dict[str, Any] = {} if self.positions is None else {"positions": self.positions}
        np.savez(
            folder / "events.npz",
            user_rows=self.user_rows,
            item_rows=self.item_rows,
            event_codes=self.event_codes,
            times=self.times,
            weights=self.weights,
            **positions,
        )
        if self.shown is not None:
            self.shown.save(folder / _SHOWN)
        about = {"events": self.events, "clock": self.clock, "worths": self.worths}
        (folder / "log.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> "Interactions":
        about = json.loads((folder / "log.json").read_text())
        shown = Shown.load(folder / _SHOWN) if (folder / _SHOWN).exists() else None
        with np.load(folder / "events.npz", allow_pickle=False) as arrays:
            return cls(
                users=Vocabulary.load(folder / "users.parquet", "user"),
                items=Vocabulary.load(folder / "items.parquet", "item"),
                **arrays,
                events=tuple(about["events"]),
                clock=about["clock"],
                worths=tuple(about["worths"]),
                shown=shown,
            )
