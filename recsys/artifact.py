"""A folder that is written whole or not at all."""

import ctypes
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recsys.features.drafts import new_folder
from recsys.features.errors import ArtifactError
from recsys.manifest import FORMAT, check_folder, read_folder, read_manifest
from recsys.manifest import MANIFEST as _MANIFEST
from recsys.manifest import as_text as _text
from recsys.manifest import digest as _digest
from recsys.manifest import file_hash as _hash

__all__ = ["FORMAT", "check_folder", "check_target", "read_folder", "write_folder"]

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def write_folder(
    target: Path, kind: str, fill: Callable[[Path], Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """Let `fill` write files into a new folder, add a manifest of their hashes, put it at `target`.

    The manifest holds the `kind`, `about` and what `fill` returns. All is written under a temporary
    name beside `target`, brought to disk and renamed. What stood at `target` is replaced if it is a
    folder of that kind too, and stays untouched if anything fails. What a process that was killed
    while it wrote left beside it is removed.
    """
    target = Path(target)
    check_target(target, kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = new_folder(target.parent, f".{target.name}-")
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
    other = read_manifest(target).get("kind")
    if other != kind:
        raise ArtifactError(f"{target} is of kind {other!r}, not {kind!r}; nothing was written")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


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
    aside = new_folder(target.parent, f".{target.name}-old-")
    old = target.rename(aside / "old")
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
