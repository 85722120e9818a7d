"""What the manifest of a folder says, and whether every file is as it says."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from glob import escape
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from recsys.features.drafts import short_name
from recsys.features.errors import ArtifactError, RecsysError
from recsys.features.stored import exists, files_in, holding, opened
from recsys.manifest_file import JSON, manifest_file, manifest_text

FORMAT = 4
"""The number of the layout; a reader of another number refuses."""

_DEEPEST = 8  # tables in tables of a manifest
_NAMED = 5  # files that a message names
_TRIES = 100  # to hold a folder that is being replaced; one takes milliseconds
_PAUSE = 0.05  # seconds, where a folder is away for the moment

Read = TypeVar("Read")


def check_folder(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder of this kind whose every file is as it was written.

    Raises ArtifactError that names what is missing, changed or added, or is no plain file; no file
    but the manifest has been parsed then.
    """
    folder = Path(folder)
    manifest = _own(folder, kind)
    try:
        paths = files_in(folder)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}") from None
    _check_names(folder, manifest, {str(path.relative_to(folder)) for path in paths})
    for name in manifest["files"]:
        _check_file(folder / name, manifest["files"][name])
    return manifest


def read_folder(folder: Path, kind: str, read: Callable[[Path, Mapping[str, Any]], Read]) -> Read:
    """What `read` makes of a checked folder and its manifest, all of it from one write.

    Its files are opened together and stay open, so it does not matter what takes the folder's place
    while they are read; where it is replaced while they are opened, they are opened again. Raises
    ArtifactError as `check_folder` does, and where a file is written to while it is read.
    """
    folder = _nameable(folder)
    for _ in range(_TRIES):
        before = _identity(folder)
        try:
            with holding(folder.resolve()) as names:
                if _identity(folder) != before:
                    continue
                return _read_held(folder.resolve(), kind, names, read)
        except (RecsysError, OSError) as error:
            if before is not None and _identity(folder) == before:
                if isinstance(error, RecsysError):
                    raise
                raise ArtifactError(f"{folder} cannot be read: {error}") from None
        if _identity(folder) is None and not _set_aside(folder):
            break
        time.sleep(_PAUSE if before is None else 0)
    else:
        raise ArtifactError(f"{folder} was replaced {_TRIES} times while its files were opened")
    raise ArtifactError(_absent(folder))


def file_hash(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return _hash_of(file)


def digest(manifest: Mapping[str, Any]) -> str:
    """The hash of a manifest, which stands in it as `sha256`."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def as_text(manifest: Mapping[str, Any]) -> bytes:
    """A manifest as it stands in its file, to the byte."""
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as it stands, unchecked; raises ArtifactError where there is none."""
    path = manifest_file(folder)
    if not exists(path):
        raise ArtifactError(_absent(folder))
    return _parsed(path, manifest_text(path))


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{path} has been changed: it holds no table")
    if not _is_flat(manifest, _DEEPEST):
        raise ArtifactError(f"{path} has been changed: it is deeper than {_DEEPEST}")
    return manifest


def _own(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder of this kind, in which the names and hashes of files stand."""
    path = manifest_file(folder)
    if not exists(path):
        raise ArtifactError(_absent(folder))
    text = manifest_text(path)
    manifest = _parsed(path, text)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder} is of format {manifest.get('format')!r}; this version reads {FORMAT}"
        )
    as_written = text == as_text(manifest)
    if manifest.pop("sha256", None) != digest(manifest) or not as_written:
        raise ArtifactError(f"{path} has been changed: its own SHA-256 differs")
    if manifest.get("kind") != kind:
        raise ArtifactError(f"{folder} is of kind {manifest.get('kind')!r}, not {kind!r}")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(each, str) for each in files.values()):
        raise ArtifactError(f"{path} has been changed: it holds no table of files and hashes")
    return manifest


def _check_names(folder: Path, manifest: Mapping[str, Any], present: set[str]) -> None:
    odd = sorted((present - {manifest_file(folder).name}) ^ set(manifest["files"]))
    if odd:
        more = f" and {len(odd) - _NAMED:,} more" if len(odd) > _NAMED else ""
        raise ArtifactError(f"{folder}: files missing or added: {odd[:_NAMED]}{more}")


def _check_file(path: Path, expected: str) -> None:
    with opened(path) as file:
        if _hash_of(file) != expected:
            raise ArtifactError(f"{path} has been changed: its SHA-256 differs")


def _read_held(
    folder: Path,
    kind: str,
    names: Mapping[str, int],
    read: Callable[[Path, Mapping[str, Any]], Read],
) -> Read:
    """`read`, once all that is held is as it was written, and if it still is afterwards."""
    manifest = _own(folder, kind)
    _check_names(folder, manifest, set(names))
    before = {name: _state(number) for name, number in names.items()}
    for name, expected in manifest["files"].items():
        _check_file(folder / name, expected)
    made = read(folder, manifest)
    for name, number in names.items():
        if _state(number) != before[name]:
            raise ArtifactError(f"{folder / name} was written to while it was read; load it again")
    return made


def _state(number: int) -> tuple[int, int]:
    told = os.fstat(number)  # not its ctime: that changes where the folder is replaced
    return told.st_size, told.st_mtime_ns


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder stands there, None without any."""
    try:
        told = folder.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino


def _set_aside(folder: Path) -> bool:
    """Is another process about to put a folder there, having moved the old one aside?"""
    return any(folder.parent.glob(f".{escape(short_name(folder.name))}-old-*"))


def _nameable(folder: Path) -> Path:
    """The path, if the system and those who read tables can be asked for it."""
    try:
        text = str(folder).encode().decode()
        if "\0" in text:
            raise ValueError("it holds a NUL")
        Path(folder).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise ArtifactError(f"{str(folder)!a:.200} cannot be read: {error}") from None
    return Path(folder)


def _absent(folder: Path) -> str:
    return f"{folder} is not an artifact: it has no {JSON}"


def _is_flat(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_flat(each, depth - 1) for each in inner)


def _hash_of(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
