"""Named arrays in one file, each checked against what it has to be before it is read."""

import os
import struct
import zipfile
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

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

_MOST_ARRAYS = 256
_MOST_HEADER = 4096  # bytes that say type and shape of one array
_END = b"PK\x05\x06"  # of the record that ends an archive
_END_SIZE = 22


def write(path: Path, **arrays: Array) -> None:
    """Write arrays under their names."""
    whole = {name: np.asarray(each, order="C") for name, each in arrays.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **whole)


def read(path: Path, schemas: Mapping[str, ArraySchema], sizes: Sizes = NO_SIZES) -> list[Array]:
    """As `read_named`, in the order of the schemas, none of which is optional."""
    found = read_named(path, schemas, sizes)
    return [found[name] for name in schemas]


def read_named(
    path: Path, schemas: Mapping[str, ArraySchema], sizes: Sizes = NO_SIZES
) -> dict[str, Array]:
    """The arrays of these names, but for optional ones that are not there.

    Raises ArtifactError where one is missing, damaged (CRC-32) or not what its schema says, or
    where there are others. Type, shape and length are looked at before any memory is asked for,
    and no array is longer than the file.
    """
    bound = dict(sizes)
    try:
        with opened(path) as file, _archive(file) as archive:
            members = _members(archive, schemas)
            for name in members:
                _check_told(archive, name, schemas[name], bound)
            found = {name: _array(archive, name) for name in members}
            for name, each in found.items():
                check_values(name, each, schemas[name], bound)
            return found
    except Mismatch as error:
        raise ArtifactError(f"{path}: {error}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, *_ODD) as error:
        raise ArtifactError(f"{path} does not hold {', '.join(schemas)}: {error}") from error


_ODD = (SyntaxError, RecursionError, OverflowError, NotImplementedError, struct.error, TypeError)
"""What the parser of a header and that of an archive raise besides."""


def _archive(file: BufferedReader) -> zipfile.ZipFile:
    """The archive, once its end says that it has few members: their list is read as a whole."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - _END_SIZE))
    end = file.read(_END_SIZE)
    if len(end) < _END_SIZE or not end.startswith(_END):
        raise zipfile.BadZipFile("it does not end as an archive of arrays does")
    (count,) = struct.unpack("<H", end[10:12])
    if count > _MOST_ARRAYS:
        raise zipfile.BadZipFile(f"it holds {count} members; at most {_MOST_ARRAYS} are read")
    return zipfile.ZipFile(file)


def _members(archive: zipfile.ZipFile, schemas: Mapping[str, ArraySchema]) -> list[str]:
    names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    needed = {name for name, schema in schemas.items() if not schema.optional}
    if len(set(names)) != len(names) or not needed <= set(names) <= set(schemas):
        raise Mismatch(f"it must hold {sorted(needed)}; got {sorted(names)[:20]}")
    return [name for name in schemas if name in names]


def _check_told(
    archive: zipfile.ZipFile, name: str, schema: ArraySchema, sizes: dict[str, int]
) -> None:
    """Check what a member's headers say of it."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise Mismatch(f"{name!r} must be stored as it is; it is packed or encrypted")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        parse = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if parse is None:
            raise Mismatch(f"{name!r} is of version {version} of its format")
        shape, _, dtype = parse(member, max_header_size=_MOST_HEADER)
        told = dtype.name if dtype.isnative and not dtype.hasobject else str(dtype)
        check_header(name, told, shape, schema, sizes)
        length = member.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if length != info.file_size:
        raise Mismatch(f"{name!r} of shape {shape} takes {length} bytes; got {info.file_size}")


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as member:
        values: Array = np.lib.format.read_array(member, allow_pickle=False)
    return np.ascontiguousarray(values) if values.ndim else values
