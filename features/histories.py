"""A batch of queries: for each, what one user did before now, as ragged arrays."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Floats, Mask, Offsets, Rows, Times
from recsys.features.dislikes import Dislikes
from recsys.features.interactions import Interactions

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Histories:
    """What each of `b` users did before `now`, oldest first, `n` events in all."""

    users: Rows  # (b,) PAD for an anonymous session
    offsets: Offsets  # (b + 1,)
    items: Rows  # (n,) never PAD: unknown items are left out and counted by the caller
    events: NDArray[np.uint8]  # (n,)
    times: Times  # (n,)
    weights: Floats  # (n,)
    now: Times  # (b,) the moment of the question; no event is later
    timed: bool = True  # False: nobody told when the events were, and `times` only say now
    dislikes: Dislikes | None = None  # (b) what each of them said no to, where anybody can
    hides: Mask | None = None  # (n,) whether each hides its item; None: as events of its kind do
    _made: dict[tuple[int, str], tuple[object, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.users)

    def __reduce__(self) -> tuple[type["Histories"], tuple[Any, ...]]:
        """Of a copy nothing has been made yet."""
        return Histories, tuple(getattr(self, each.name) for each in fields(self) if each.init)

    @classmethod
    def of(cls, log: Interactions, users: Rows, now: Array | int | None = None) -> "Histories":
        """The histories of these users (rows) as the log has them.

        `now` is a moment, or one for each user; by default everyone's is the end of the log. What
        a user had and dislikes by then is no part of it.
        """
        offsets, flat = ragged.gather(log.offsets, users)
        dislikes = None if log.dislikes is None else log.dislikes.take(users)
        if now is None:
            now = log.end
        elif dislikes is not None:
            dislikes = dislikes.until(now)
        return cls(
            users=users,
            offsets=offsets,
            items=log.item_rows[flat],
            events=log.event_codes[flat],
            times=log.times[flat],
            weights=log.weights[flat],
            now=np.full(users.shape, now, np.int64),
        ).without(dislikes)

    def without(self, dislikes: Dislikes | None) -> "Histories":
        """The same less what was had and then disliked, with these dislikes (b)."""
        if dislikes is None:
            return self
        owners = ragged.owners(self.offsets)
        kept = ~dislikes.cover(owners, self.items, self.times)
        if kept.all():
            return replace(self, dislikes=dislikes)
        return replace(
            self,
            offsets=ragged.offsets_of(np.bincount(owners[kept], minlength=len(self))),
            items=self.items[kept],
            events=self.events[kept],
            times=self.times[kept],
            weights=self.weights[kept],
            hides=None if self.hides is None else self.hides[kept],
            dislikes=dislikes,
        )

    @property
    def lengths(self) -> Array:
        """(b,) the number of events in each history."""
        return np.diff(self.offsets)

    def take(self, queries: Array) -> "Histories":
        """Some of the queries, by position."""
        offsets, flat = ragged.gather(self.offsets, queries)
        return Histories(
            users=self.users[queries],
            offsets=offsets,
            items=self.items[flat],
            events=self.events[flat],
            times=self.times[flat],
            weights=self.weights[flat],
            now=self.now[queries],
            timed=self.timed,
            dislikes=None if self.dislikes is None else self.dislikes.take(queries),
            hides=None if self.hides is None else self.hides[flat],
        )

    def once(self, maker: object, make: Callable[["Histories"], Made]) -> Made:
        """What `make` makes of these histories: made when it is first asked for, held as they are.

        It is held for the `maker` and the name of `make`, whatever that reads besides. Nobody may
        edit it.
        """
        key = id(maker), make.__qualname__
        if key not in self._made:
            self._made[key] = maker, make(self)  # held too, or its id might be another's
        return cast(Made, self._made[key][1])

    def pause(self) -> Times:
        """(b,) the time between each history's last event and now; 0 for an empty one."""
        ends = self.offsets[1:][self.lengths > 0] - 1
        pause = np.zeros(len(self), np.int64)
        pause[self.lengths > 0] = np.maximum(self.now[self.lengths > 0] - self.times[ends], 0)
        return pause

    def last(self, n: int) -> Rows:
        """The last `n` items of each history, newest first, (b, n), PAD where it is shorter."""
        return ragged.last(self.offsets, self.items, n)

    def matrix(self, n_items: int) -> sp.csr_matrix:
        """(b, n_items) sparse: the summed weight of each item in each history."""
        matrix = sp.csr_matrix(
            (self.weights, self.items, self.offsets), shape=(len(self), n_items), copy=True
        )
        matrix.sum_duplicates()
        return matrix


def anonymous(items: Rows, offsets: Offsets, now: int = 0) -> Histories:
    """Histories of sessions of which only the order of the items is known."""
    return Histories(
        users=np.full(len(offsets) - 1, PAD, np.int32),
        offsets=offsets,
        items=items.astype(np.int32),
        events=np.zeros(len(items), np.uint8),
        times=np.full(len(items), now, np.int64),
        weights=np.ones(len(items), np.float32),
        now=np.full(len(offsets) - 1, now, np.int64),
        timed=False,
    )
