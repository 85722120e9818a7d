"""Small files that are read whole: looked at before they are read, bounded in size and depth."""

import errno
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from recsys.features.outputs import kind_of, place_of

MAX_DEPTH = 64
"""Tables and lists in one another of a JSON or TOML file."""

SETTINGS_BYTES = 16 << 20
USERS_BYTES = 4 << 30
EVALUATION_BYTES = 256 << 20


def read_small(path: Path | str, max_bytes: int) -> bytes:
    """The bytes of a regular file, or of a pipe such as a shell makes of <(...).

    Raises OSError for what else there is (a FIFO by name, a device, a folder: some never end) and
    for more than `max_bytes`, before it is read.
    """
    try:
        place = place_of(Path(path))
        if isinstance(place, int):
            handle, piped = os.dup(place), True
        else:
            _check(os.stat(place), piped=False)
            handle, piped = os.open(place, os.O_RDONLY | os.O_NONBLOCK), False
    except ValueError as error:  # a NUL or half a character in the path
        raise OSError(errno.EINVAL, str(error)) from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _check(status, piped)
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, _too_long(status.st_size, max_bytes))
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, _too_long(len(data), max_bytes))
    return data


def parse_json(data: bytes) -> Any:
    """What JSON in UTF-8 says; raises ValueError where it is none or is nested too deep."""
    try:
        return _bounded(json.loads(data.decode("utf-8-sig")))
    except RecursionError:
        raise ValueError(_too_deep()) from None


def parse_toml(data: bytes) -> dict[str, Any]:
    """What TOML says; raises ValueError where it is none or is nested too deep."""
    try:
        values: dict[str, Any] = _bounded(tomllib.loads(data.decode("utf-8-sig")))
    except RecursionError:
        raise ValueError(_too_deep()) from None
    return values


def _check(status: os.stat_result, piped: bool) -> None:
    is_pipe = piped and stat.S_ISFIFO(status.st_mode)
    if not (stat.S_ISREG(status.st_mode) or is_pipe):
        raise OSError(errno.EINVAL, f"it is {kind_of(status)}, not a file")


def _bounded(value: Any) -> Any:
    """The value itself, found to be no deeper than is allowed; without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return value
        level = [
            below for each in inner for below in (each.values() if isinstance(each, dict) else each)
        ]
    if any(isinstance(each, dict | list) for each in level):
        raise ValueError(_too_deep())
    return value


def _too_deep() -> str:
    return f"it is nested deeper than {MAX_DEPTH} levels"


def _too_long(size: int, max_bytes: int) -> str:
    return f"it has {size:,} bytes or more; at most {max_bytes:,} are read"
