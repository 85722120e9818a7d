"""What the log says of each item: how often, how lately, and whether it rises."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from recsys.features import npz
from recsys.features.arrays import Array, Floats, Mask, Times
from recsys.features.interactions import Interactions

_DAY = 86_400_000_000  # microseconds
_WINDOW = 14  # days that count as lately where there is a clock
_STEPS = 5  # each user's newest events count as lately where there is none


@dataclass(frozen=True)
class ItemStatistics:
    """Numbers (items,) by name, as of the end of one log."""

    columns: dict[str, Floats]
    has_clock: bool

    @cached_property
    def table(self) -> Floats:
        """(items, columns) the same numbers side by side."""
        return np.stack(list(self.columns.values()), axis=1)

    def days(self, times: Times) -> Floats:
        """Differences of times in days; 0 where the log had no clock to say so."""
        return (times / _DAY if self.has_clock else np.zeros(len(times))).astype(np.float32)

    @classmethod
    def of(cls, log: Interactions) -> "ItemStatistics":
        lately = _lately(log)
        count = _count(log, np.ones(len(log), bool))
        recent = _count(log, lately)
        expected = count * (lately.mean() if len(log) else 0)
        columns = {
            "popularity": np.log1p(count),
            "recent popularity": np.log1p(recent),
            "trend": np.log((recent + 1) / (expected + 1)),
        }
        if log.clock == "time":
            columns |= _ages(log)
        floats = {name: values.astype(np.float32) for name, values in columns.items()}
        return cls(floats, log.clock == "time")

    def save(self, folder: Path) -> None:
        npz.write(folder / "statistics.npz", **self.columns)
        about = {"columns": list(self.columns), "has_clock": self.has_clock}
        (folder / "statistics.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> Self:
        about = json.loads((folder / "statistics.json").read_text())
        arrays = npz.read(folder / "statistics.npz", *about["columns"])
        return cls(dict(zip(about["columns"], arrays, strict=True)), about["has_clock"])


def _lately(log: Interactions) -> Mask:
    if log.clock == "time":
        lately: Mask = log.times > (log.times.max(initial=0) - _WINDOW * _DAY)
    else:
        lately = np.arange(len(log)) >= log.offsets[log.user_rows + 1] - _STEPS
    return lately


def _count(log: Interactions, chosen: Array) -> Array:
    return np.bincount(log.item_rows[chosen], minlength=len(log.items)).astype(np.float64)


def _ages(log: Interactions) -> dict[str, Array]:
    """Days since the item was first and last seen, on a logarithmic scale."""
    end = log.times.max(initial=0)
    first = np.full(len(log.items), end)
    last = np.full(len(log.items), log.times.min(initial=end))
    np.minimum.at(first, log.item_rows, log.times)
    np.maximum.at(last, log.item_rows, log.times)
    return {
        "age": np.log1p((end - first) / _DAY),
        "days since last event": np.log1p((end - last) / _DAY),
    }
