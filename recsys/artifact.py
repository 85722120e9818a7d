"""A folder that is written whole or not at all, and read only if not a byte of it has changed."""

import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recsys.features.errors import ArtifactError

FORMAT = 4
"""The number of the layout; a reader of another number refuses."""

_MANIFEST = "manifest.json"

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def write_folder(
    target: Path, kind: str, fill: Callable[[Path], Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """Let `fill` write files into a new folder, add a manifest of their hashes, put it at `target`.

    The manifest holds the `kind`, `about` and what `fill` returns. All is written under a temporary
    name beside `target`, brought to disk and renamed. What stood at `target` is replaced if it is a
    folder of that kind too, and stays untouched if anything fails.
    """
    target = Path(target)
    check_target(target, kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        found = fill(draft)
        files = {str(path.relative_to(draft)): _hash(path) for path in _files(draft)}
        manifest = {**about, **found, "format": FORMAT, "kind": kind, "files": files}
        manifest["sha256"] = _digest(manifest)
        (draft / _MANIFEST).write_bytes(_text(manifest))
        for path in [*draft.rglob("*"), draft]:
            _to_disk(path)
        _swap(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_target(target: Path, kind: str) -> None:
    """Raises ArtifactError where something other than a folder of this kind stands."""
    if not target.exists():
        return
    if not (target / _MANIFEST).is_file():
        raise ArtifactError(f"{target} exists and is not an artifact; nothing was written")
    other = _manifest(target).get("kind")
    if other != kind:
        raise ArtifactError(f"{target} is of kind {other!r}, not {kind!r}; nothing was written")


def check_folder(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder of this kind whose every file is as it was written.

    Raises ArtifactError that names what is missing, changed or added; no file but the manifest has
    been parsed then.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    if manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder} is of format {manifest.get('format')!r}; this version reads {FORMAT}"
        )
    as_written = (folder / _MANIFEST).read_bytes() == _text(manifest)
    if manifest.pop("sha256", None) != _digest(manifest) or not as_written:
        raise ArtifactError(f"{folder / _MANIFEST} has been changed: its own SHA-256 differs")
    if manifest.get("kind") != kind:
        raise ArtifactError(f"{folder} is of kind {manifest.get('kind')!r}, not {kind!r}")
    expected: dict[str, str] = manifest["files"]
    present = {str(path.relative_to(folder)) for path in _files(folder)} - {_MANIFEST}
    if present != set(expected):
        raise ArtifactError(f"{folder}: files missing or added: {sorted(present ^ set(expected))}")
    for name, digest in expected.items():
        if _hash(folder / name) != digest:
            raise ArtifactError(f"{folder / name} has been changed: its SHA-256 differs")
    return manifest


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(manifest: dict[str, Any]) -> str:
    """The hash of a manifest, which stands in it as `sha256`."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _text(manifest: dict[str, Any]) -> bytes:
    """A manifest as it stands in its file, to the byte."""
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{folder} is not an artifact: it has no {_MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / _MANIFEST} cannot be read: {error}") from None
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{folder / _MANIFEST} has been changed: it holds no table")
    return manifest


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap(draft: Path, target: Path) -> None:
    """Put `draft` at `target`; what stood there is removed last."""
    draft.chmod(0o755)
    if not target.exists():
        draft.rename(target)
    elif not _exchanged(draft, target):
        _replace(draft, target)
    _to_disk(target.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders trade names in one step, as Linux can: no name is missing at any moment."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None:
        return False
    here = ctypes.c_int(_HERE)
    failed = exchange(here, bytes(one), here, bytes(other), ctypes.c_uint(_EXCHANGE))
    return bool(failed == 0)


def _replace(draft: Path, target: Path) -> None:
    """Move what stands at `target` aside, and back again if `draft` cannot take its place."""
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    old = target.rename(aside / "old")
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
