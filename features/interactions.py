"""The validated log: who did what to which item, when, sorted by user and time."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, model_validator

from recsys.features import npz, ragged
from recsys.features.arrays import MOST_TIME, PAD, Array, Floats, Mask, Offsets, Rows, Times
from recsys.features.dislikes import Dislikes
from recsys.features.errors import ArtifactError
from recsys.features.repeats import Repeats
from recsys.features.schema import NO_SIZES, ArraySchema, Sizes, floats, rows
from recsys.features.shown import Shown
from recsys.features.stored import Stored, exists, read_json
from recsys.features.ties import runs_of
from recsys.features.vocabulary import Vocabulary

Clock = Literal["time", "order", "none"]

_SHOWN, _DISLIKES = "shown.npz", "dislikes.npz"
_MOST_EVENTS = 256  # that a code of one byte tells apart


@dataclass(frozen=True)
class Interactions:
    """A log in rows, sorted by (user, time); at one time by rank, and where none says as drawn."""

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
    ranks: NDArray[np.int64] | None = None  # (n,) ascending at one time; None where nothing says
    dislikes: Dislikes | None = None  # (users) where the log can tell any; they are no events

    def __len__(self) -> int:
        return len(self.item_rows)

    @cached_property
    def offsets(self) -> Offsets:
        """(users + 1,) where each user's events begin and end."""
        return ragged.offsets_of(np.bincount(self.user_rows, minlength=len(self.users)))

    @cached_property
    def tied(self) -> Mask:
        """(n,) whether nothing says which came first: an event or one of the user with another
        item, at the same time."""
        runs = self._runs()
        mixed = np.zeros(int(runs.max(initial=-1)) + 1, np.bool_)
        other = (runs[1:] == runs[:-1]) & (self.item_rows[1:] != self.item_rows[:-1])
        mixed[runs[1:][other]] = True
        tied: Mask = mixed[runs]
        return tied

    def _runs(self) -> Array:
        """(n,) the number of each event's run, in which nothing says what came first."""
        ranks = () if self.ranks is None else (self.ranks,)
        return runs_of(self.user_rows, self.times, *ranks)

    def redrawn(self, seed: int) -> "Interactions":
        """The same with another draw of what came first, where nothing says: of its items in a run,
        whose events stay together.
        """
        tied = np.flatnonzero(self.tied)
        if not len(tied):
            return self
        runs = self._runs()[tied]
        groups = runs_of(runs, self.item_rows[tied])
        lots = np.random.default_rng(seed).permutation(int(groups[-1]) + 1)[groups]
        order = np.arange(len(self))
        order[tied] = tied[np.lexsort((lots, runs))]
        return self._taken(order)

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

    @cached_property
    def repeats(self) -> Repeats:
        """What of the log a user did before, of the same kind and with the same item."""
        kinds = len(self.events)
        return Repeats.of(self.offsets, self.item_rows, self.event_codes, len(self.items), kinds)

    @cached_property
    def item_users(self) -> Array:
        """(items,) how many different users have an event with each item."""
        one_kind = np.zeros(len(self), np.uint8)
        own = Repeats.of(self.offsets, self.item_rows, one_kind, len(self.items), 1)
        return np.bincount(self.item_rows[own.earlier == PAD], minlength=len(self.items))

    def where(self, kept: Mask) -> "Interactions":
        """The events that `kept` (n,) marks; the vocabularies, and so all rows, stay.

        Of the impressions those stay that were over at the newest of these events, and of a user's
        dislikes those before the first event that is left out behind all that are kept.
        """
        return replace(
            self._taken(kept),
            shown=self._shown_before(self.times[kept]),
            dislikes=self._disliked_before(kept),
        )

    def _taken(self, places: Array) -> "Interactions":
        """The events at these places, or those that a mask marks."""
        return replace(
            self,
            user_rows=self.user_rows[places],
            item_rows=self.item_rows[places],
            event_codes=self.event_codes[places],
            times=self.times[places],
            weights=self.weights[places],
            positions=None if self.positions is None else self.positions[places],
            ranks=None if self.ranks is None else self.ranks[places],
        )

    def of_interest(self) -> "Interactions":
        """Without the events of items that their users came to dislike, then or later."""
        if self.dislikes is None or not len(self.dislikes):
            return self
        disliked = self.dislikes.cover(self.user_rows, self.item_rows, self.times)
        return replace(self.where(~disliked), shown=self.shown, dislikes=self.dislikes)

    def _disliked_before(self, kept: Mask) -> Dislikes | None:
        """The dislikes that are known where some of our events (n,) are all that is."""
        if self.dislikes is None or self.clock == "none":
            return self.dislikes
        position = np.arange(len(self))
        last = np.full(len(self.users), -1)
        np.maximum.at(last, self.user_rows[kept], position[kept])
        behind = ~kept & (position > last[self.user_rows])
        until = np.full(len(self.users), np.iinfo(np.int64).max)
        np.minimum.at(until, self.user_rows[behind], self.times[behind])
        return self.dislikes.before(until)

    def _shown_before(self, times: Times) -> Shown | None:
        """The impressions that are known at the newest of some of our times (m,)."""
        if self.shown is None or self.clock != "time" or not len(self):
            return self.shown
        newest = times.max(initial=np.iinfo(np.int64).min)
        return self.shown if newest == self.times.max() else self.shown.split_at(int(newest))[0]

    def split_at(self, cutoff: int) -> tuple["Interactions", "Interactions"]:
        """(events before `cutoff`, events at or after it), with what was shown or disliked then."""
        before = self.times < cutoff
        past, rest = self.where(before), self.where(~before)
        if self.dislikes is not None:
            early = self.dislikes.times < cutoff
            past = replace(past, dislikes=self.dislikes.where(early))
            rest = replace(rest, dislikes=self.dislikes.where(~early))
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
        optional = {"positions": self.positions, "ranks": self.ranks}
        more: dict[str, Any] = {name: own for name, own in optional.items() if own is not None}
        npz.write(
            folder / "events.npz",
            user_rows=self.user_rows,
            item_rows=self.item_rows,
            event_codes=self.event_codes,
            times=self.times,
            weights=self.weights,
            **more,
        )
        if self.shown is not None:
            self.shown.save(folder / _SHOWN)
        if self.dislikes is not None:
            self.dislikes.save(folder / _DISLIKES)
        about = {"events": self.events, "clock": self.clock, "worths": self.worths}
        (folder / "log.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path, sizes: Sizes = NO_SIZES) -> "Interactions":
        """The log that was saved; `sizes` tell how many users and items it has, where known.

        Raises ArtifactError where a file is damaged or does not hold a sorted log.
        """
        about = read_json(folder / "log.json", _About)
        users = Vocabulary.load(folder / "users.parquet", "user", sizes.get("users"))
        items = Vocabulary.load(folder / "items.parquet", "item", sizes.get("items"))
        own = {"users": len(users), "items": len(items), "events": len(about.events)}
        path = folder / "events.npz"
        schemas = _SCHEMAS if about.clock == "time" else {**_SCHEMAS, "times": _ORDER}
        arrays = npz.read_named(path, schemas, own)
        if not _is_sorted(*(arrays[name] for name in _SORTED if name in arrays)):
            raise ArtifactError(f"{path} must be sorted by {', '.join(_SORTED)}")
        shown = Shown.load(folder / _SHOWN) if exists(folder / _SHOWN) else None
        no = folder / _DISLIKES
        dislikes = Dislikes.load(no, own) if exists(no) else None
        told = {"events": about.events, "clock": about.clock, "worths": about.worths}
        return cls(users, items, shown=shown, dislikes=dislikes, **arrays, **told)  # type: ignore[arg-type]


class _About(Stored):
    """What `log.json` says."""

    events: tuple[str, ...]
    clock: Clock
    worths: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _each_event_once(self) -> Self:
        if len(set(self.events)) != len(self.events) or len(self.events) > _MOST_EVENTS:
            raise ValueError(f"events must be at most {_MOST_EVENTS} names that differ")
        if self.worths and len(self.worths) != len(self.events):
            raise ValueError(f"{len(self.worths)} worths for {len(self.events)} events")
        return self


_SCHEMAS = {
    "user_rows": rows("users", "n"),
    "item_rows": rows("items", "n"),
    "event_codes": ArraySchema("uint8", ("n",), below="events"),
    "times": ArraySchema("int64", ("n",), -MOST_TIME, MOST_TIME),
    "weights": floats("n", least=0.0),
    "positions": ArraySchema("uint16", ("n",), optional=True),
    "ranks": ArraySchema("int64", ("n",), optional=True),
}
_SORTED = ("user_rows", "times", "ranks")
_ORDER = ArraySchema("int64", ("n",))


def _is_sorted(first: Array, *others: Array) -> bool:
    """By the first column, where that is equal by the next, and so on?"""
    equal, falls = first[1:] == first[:-1], first[1:] < first[:-1]
    for column in others:
        falls |= equal & (column[1:] < column[:-1])
        equal &= column[1:] == column[:-1]
    return not falls.any()
