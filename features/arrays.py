"""The array types that every floor speaks in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PAD = -1
"""Stands in a `Rows` array where there is nothing."""

Rows = NDArray[np.int32]
"""Positions in a `Vocabulary`; `PAD` where there is none."""

Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]
"""(n + 1,) where list i of a ragged array begins and ends."""

Times = NDArray[np.int64]
"""Microseconds since 1970 (UTC) where the log has a clock, else an order number."""

MOST_TIME = 1 << 62
"""Such times lie between this and its negative, so that the difference of two is an int64."""

DAY = 86_400_000_000
MINUTE = 60_000_000
"""A day and a minute in the microseconds of such times."""

Mask = NDArray[np.bool_]
Array = NDArray[Any]
