"""The files of a saved folder: opened where they are plain files, held while they are read."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.features.errors import (
    ArtifactError,
    DataError,
    MissingDependency,
    RecsysError,
    SettingsError,
    TrainingError,
)

MOST_TEXT = 32 << 20
"""Bytes of a file of JSON: an engine's are some kilobytes."""

MOST_FILES = 512
"""Files of one engine, all of which are held open while it is read."""

_SHOWN = 300  # characters of an error that a message repeats

Model = TypeVar("Model", bound=BaseModel)

_NOTHING: Mapping[str, int] = MappingProxyType({})
_held: ContextVar[Mapping[str, int]] = ContextVar("held", default=_NOTHING)


class Stored(BaseModel):
    """The base of what a file of JSON has to be: every key, each of its type, and no other."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, sorted; raises ArtifactError where one is no plain file.

    A link may lead out of the folder, a pipe or a device has no end: none of them is opened.
    """
    found: list[Path] = []
    below = [folder]
    while below:
        with os.scandir(below.pop()) as entries:
            listed = list(entries)
        for entry in listed:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif entry.is_file(follow_symlinks=False):
                found.append(path)
            else:
                raise _odd(path, entry.stat(follow_symlinks=False).st_mode)
    return sorted(found)


def opened(path: Path) -> BufferedReader:
    """A plain file to read; raises ArtifactError where there is none.

    What is held is read as it was when it was held, whatever has taken its place since.
    """
    number = _held.get().get(os.path.abspath(path))
    if number is not None:
        file = os.fdopen(os.dup(number), "rb")
        file.seek(0)
        return file
    try:
        return os.fdopen(_descriptor(path), "rb")
    except OSError as error:
        if os.path.lexists(path) and not stat.S_ISREG(mode := os.lstat(path).st_mode):
            raise _odd(path, mode) from None
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None


@contextmanager
def holding(folder: Path) -> Iterator[dict[str, int]]:
    """All files below a folder, held open by name; inside, `opened` gives these and no others."""
    names: dict[str, int] = {}
    try:
        for path in files_in(folder):
            if len(names) == MOST_FILES:
                raise ArtifactError(f"{folder} holds more than {MOST_FILES} files; no engine does")
            names[str(path.relative_to(folder))] = _descriptor(path)
        paths = {os.path.abspath(folder / name): number for name, number in names.items()}
        token = _held.set(paths)
        try:
            yield names
        finally:
            _held.reset(token)
    finally:
        for number in names.values():
            os.close(number)


def exists(path: Path) -> bool:
    """Does it stand there, or among what is held where anything is?"""
    held = _held.get()
    return os.path.abspath(path) in held if held else os.path.lexists(path)


def read_text(path: Path, most: int = MOST_TEXT) -> bytes:
    """A file of JSON; raises ArtifactError, before it is read, where it is longer than `most`."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ArtifactError(f"{path} has {size:,} bytes; at most {most:,} are read")
        return file.read(most + 1)


def read_json(path: Path, model: type[Model]) -> Model:
    """A file of JSON as `model`; raises ArtifactError that names the file, the place and the rule.

    The parser stops at lists in lists, 200 deep, and at numbers of more digits than it has use for.
    """
    try:
        return model.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(
            f"{path} is not what was saved: {place + ': ' if place else ''}{first['msg']}"[:_SHOWN]
        ) from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong inside into an ArtifactError that names `path`.

    What says by itself what to do passes: an ArtifactError, a package that is not installed.
    """
    try:
        yield
    except (ArtifactError, MissingDependency):
        raise
    except (DataError, SettingsError, TrainingError) as error:
        raise ArtifactError(f"{path}: {error}") from None
    except RecsysError:
        raise
    except MemoryError:
        raise ArtifactError(f"{path} asks for more memory than there is") from None
    except (Exception, pl.exceptions.PanicException) as error:
        raise ArtifactError(f"{path} cannot be read: {str(error)[:_SHOWN]}") from error


def _descriptor(path: Path) -> int:
    """An open plain file, which no pipe without a writer keeps waiting for."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        raise _odd(path, mode)
    return number


def _odd(path: Path, mode: int) -> ArtifactError:
    kinds = {
        stat.S_IFLNK: "a link (copy the folder with its links followed)",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
    }
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    return ArtifactError(f"{path} is {kind}; an artifact holds plain files alone")
