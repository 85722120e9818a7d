"""What an array of a file has to be, checked before anything computes with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys.features.arrays import PAD, Array

Sizes = Mapping[str, int]
"""How many users, items and events there are, by these names; a size not told is of the file."""

NO_SIZES: Sizes = {}

Size = int | str
"""A length: a number, or the name of a size, such as "items" or "items+1"."""

NUMBER = ("float64", "int64")
"""The types that a number of settings is saved as."""

_BLOCK = 1 << 20  # values that are looked at together: it bounds the memory of a check
_WIDEST = 8  # dimensions


class Mismatch(ValueError):
    """An array is not what its schema says."""


@dataclass(frozen=True, slots=True)
class ArraySchema:
    """Type, shape and range of one array; numbers of floating point have to be finite."""

    dtype: str | tuple[str, ...]
    shape: tuple[Size, ...]
    least: Size | float | None = None
    most: Size | float | None = None
    below: Size | None = None  # instead of `most`: rows of so many
    each: Literal["any", "rising", "order"] = "any"
    """"rising": offsets, which start at 0 and never fall; "order": every row from 0 once, along
    the last dimension."""
    optional: bool = False

    @property
    def dtypes(self) -> tuple[str, ...]:
        return (self.dtype,) if isinstance(self.dtype, str) else self.dtype


def rows(of: Size, *shape: Size, pad: bool = False) -> ArraySchema:
    """Rows of a vocabulary of so many; with `pad` some may be PAD."""
    return ArraySchema("int32", shape, least=PAD if pad else 0, below=of)


def offsets(lists: Size, dtype: str | tuple[str, ...] = "int64") -> ArraySchema:
    """Where each of so many lists, and one more, begins."""
    return ArraySchema(dtype, (f"{lists}+1",), each="rising")


def floats(*shape: Size, least: float | None = None, most: float | None = None) -> ArraySchema:
    """Finite float32."""
    return ArraySchema("float32", shape, least, most)


def check_header(
    name: str, dtype: str, shape: tuple[int, ...], schema: ArraySchema, sizes: dict[str, int]
) -> None:
    """Check what is told of an array before it is read; a size not yet in `sizes` is noted there.

    Raises Mismatch.
    """
    if dtype not in schema.dtypes:
        raise Mismatch(f"{name!r} must be {' or '.join(schema.dtypes)}; got {dtype}")
    if len(shape) != len(schema.shape) or len(shape) > _WIDEST or min(shape, default=0) < 0:
        raise Mismatch(f"{name!r} must be of shape {_told(schema.shape, sizes)}; got {shape}")
    for length, wanted in zip(shape, schema.shape, strict=True):
        known = _size(wanted, sizes)
        if known is None:
            base, more = _parts(str(wanted))
            known = length if length >= more else None
            sizes[base] = length - more
        if known != length:
            raise Mismatch(f"{name!r} must be of shape {_told(schema.shape, sizes)}; got {shape}")


def check_values(name: str, values: Array, schema: ArraySchema, sizes: Sizes) -> None:
    """Check the numbers of an array whose header is right; raises Mismatch."""
    least, most = _limit(schema.least, sizes), _limit(schema.most, sizes)
    if schema.below is not None:
        most = _size(schema.below, sizes)
        most = None if most is None else most - 1
    flat = values.reshape(-1)
    if flat.dtype.kind == "f":
        _check_finite(name, flat)
    if flat.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise Mismatch(f"{name!r} must hold 0 and 1; got {flat.view(np.uint8).max()}")
    if len(flat) and (least is not None or most is not None):
        low, high = flat.min(), flat.max()
        if (least is not None and low < least) or (most is not None and high > most):
            raise Mismatch(
                f"{name!r} must lie between {_bound(least)} and {_bound(most)}; got {low} to {high}"
            )
    if schema.each == "rising":
        check_rising(name, values)
    if schema.each == "order":
        _check_order(name, values)


def check_rising(name: str, values: Array) -> None:
    """Check that offsets start at 0 and never fall; raises Mismatch."""
    if len(values) and values[0] != 0:
        raise Mismatch(f"{name!r} must begin with 0; got {values[0]}")
    if (values[1:] < values[:-1]).any():
        raise Mismatch(f"{name!r} must never fall")


def check_lists(names: tuple[str, str], starts: Array, values: Array) -> None:
    """Check that offsets end where the values of lists do, and each list ascends, none twice.

    Raises Mismatch.
    """
    if int(starts[-1]) != len(values):
        raise Mismatch(f"{names[0]!r} must end at {len(values)}; got {starts[-1]}")
    first = np.zeros(len(values) + 1, np.bool_)
    first[starts] = True
    for begin in range(1, len(values), _BLOCK):
        end = min(begin + _BLOCK, len(values))
        falls = values[begin:end] <= values[begin - 1 : end - 1]
        if (falls & ~first[begin:end]).any():
            raise Mismatch(f"{names[1]!r} must ascend within each list")


def _check_finite(name: str, flat: Array) -> None:
    """By the least and the largest, which need no memory and are NaN where any is."""
    if len(flat) and not (np.isfinite(flat.min()) and np.isfinite(flat.max())):
        raise Mismatch(f"{name!r} must be finite")


def _check_order(name: str, values: Array) -> None:
    for order in values.reshape(-1, values.shape[-1]):
        seen = np.zeros(len(order), np.bool_)
        if len(order) and (order.min() < 0 or order.max() >= len(order)):
            raise Mismatch(f"{name!r} must hold rows below {len(order)}")
        seen[order] = True
        if not seen.all():
            raise Mismatch(f"{name!r} must hold every row once")


def _limit(limit: Size | float | None, sizes: Sizes) -> float | None:
    if isinstance(limit, str):
        return _size(limit, sizes)
    return limit


def _size(wanted: Size, sizes: Sizes) -> int | None:
    """A length as a number, None where it is not known yet."""
    if isinstance(wanted, int):
        return wanted
    base, more = _parts(wanted)
    return sizes[base] + more if base in sizes else None


def _parts(wanted: str) -> tuple[str, int]:
    base, _, more = wanted.partition("+")
    return base, int(more or 0)


def _told(shape: tuple[Size, ...], sizes: Sizes) -> str:
    known = [_size(each, sizes) for each in shape]
    told = [str(each if size is None else size) for each, size in zip(shape, known, strict=True)]
    return f"({', '.join(told)})"


def _bound(limit: float | None) -> str:
    return "anything" if limit is None else f"{limit:g}"
