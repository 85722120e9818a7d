"""Named arrays as safetensors, each checked against what it has to be before it is read."""

import json
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from recsys.features.arrays import Array
from recsys.features.errors import ArtifactError
from recsys.features.schema import (
    NO_SIZES,
    ArraySchema,
    Mismatch,
    Sizes,
    check_header,
    check_values,
)
from recsys.features.stored import opened

_MOST_HEADER = 1 << 22  # bytes that say names, types and shapes
_TYPES = {"F32": "float32", "F64": "float64", "I8": "int8", "I16": "int16", "I32": "int32"}
_TYPES |= {"I64": "int64", "U8": "uint8", "BOOL": "bool"}
_ABOUT = "__metadata__"


def read(
    path: Path, schemas: Mapping[str, ArraySchema], sizes: Sizes = NO_SIZES
) -> dict[str, Array]:
    """The arrays of these names; raises ArtifactError where one is missing, cut off or not what its
    schema says, or where there are others.

    The format (https://github.com/huggingface/safetensors) is read here, from a file that may be
    held: a header in JSON, then the numbers of one array after those of another.
    """
    bound = dict(sizes)
    try:
        with opened(path) as file:
            told, begin = _header(file)
            if set(told) != set(schemas):
                raise Mismatch(f"other arrays than expected: {sorted(set(told) ^ set(schemas))}")
            for name, schema in schemas.items():
                check_header(name, told[name][0], told[name][1], schema, bound)
            _check_places(told, begin, os.fstat(file.fileno()).st_size)
            found = {name: _array(file, begin, *told[name]) for name in schemas}
        for name, each in found.items():
            check_values(name, each, schemas[name], bound)
        return found
    except (Mismatch, OSError, *_ODD) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None


_ODD = (ValueError, KeyError, TypeError, RecursionError, OverflowError)
_Told = tuple[str, tuple[int, ...], int, int]
"""Type, shape, and where the numbers begin and end."""


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all arrays, from the header alone; raises ArtifactError as `read` does."""
    try:
        with opened(path) as file:
            return {name: told[1] for name, told in _header(file)[0].items()}
    except (OSError, *_ODD) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None


def _header(file: BufferedReader) -> tuple[dict[str, _Told], int]:
    """What is told of each array, and where the numbers begin."""
    length = int.from_bytes(file.read(8), "little")
    size = os.fstat(file.fileno()).st_size
    if not 2 <= length <= min(_MOST_HEADER, size - 8):
        raise Mismatch(f"its header of {length} bytes does not fit a file of {size}")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise Mismatch("its header holds no table")
    told = {name: _told(name, about) for name, about in header.items() if name != _ABOUT}
    return told, 8 + length


def _told(name: str, about: Any) -> _Told:
    dtype, shape, (begin, end) = about["dtype"], about["shape"], about["data_offsets"]
    whole = [*shape, begin, end]
    if not all(type(each) is int and each >= 0 for each in whole):
        raise Mismatch(f"{name!r} has a shape or place that is no whole number")
    return _TYPES.get(dtype, str(dtype)), tuple(shape), begin, end


def _check_places(told: Mapping[str, _Told], begin: int, size: int) -> None:
    """Check that the arrays lie one after the other and fill the file."""
    place = 0
    for name, (dtype, shape, start, end) in sorted(told.items(), key=lambda each: each[1][2:]):
        length = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        if start != place or end - start != length:
            raise Mismatch(
                f"{name!r} must lie from {place} to {place + length}; got {start}, {end}"
            )
        place = end
    if begin + place != size:
        raise Mismatch(f"it has {size} bytes; its arrays end at {begin + place}")


def _array(
    file: BufferedReader, origin: int, dtype: str, shape: tuple[int, ...], begin: int, end: int
) -> Array:
    file.seek(origin + begin)
    values: Array = np.empty(shape, dtype)
    if file.readinto(values.reshape(-1).view(np.uint8)) != end - begin:  # type: ignore[arg-type]
        raise Mismatch("it ends too early")
    return values
