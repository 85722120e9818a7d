"""A folder that is written whole or not at all."""

import ctypes
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recsys.features.drafts import new_folder, short_name
from recsys.features.errors import ArtifactError
from recsys.features.outputs import check_folder_place, to_disk, umask, writing
from recsys.manifest import FORMAT, check_folder, read_folder, read_manifest
from recsys.manifest import as_text as _text
from recsys.manifest import digest as _digest
from recsys.manifest import file_hash as _hash
from recsys.manifest_file import manifest_file, write_json

__all__ = ["FORMAT", "check_folder", "check_target", "read_folder", "write_folder"]

_log = logging.getLogger("recsys")

_SHOWN = 3  # files that a message names
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


Seal = Callable[[Path, bytes], None]
"""Writes the text of a manifest into a folder."""


def write_folder(
    target: Path,
    kind: str,
    fill: Callable[[Path], Mapping[str, Any]],
    about: Mapping[str, Any],
    seal: Seal = write_json,
) -> str:
    """Let `fill` write files into a new folder, add a manifest of their hashes, put it at `target`.

    The manifest holds the `kind`, `about` and what `fill` returns; its own SHA-256 is returned. All
    is written under a temporary name beside `target`, for its owner alone, brought to disk, given
    the modes of the umask and renamed. A link at `target` stays one: what it points at is written.
    What stood there is replaced if it is a folder of that kind too, and stays untouched if anything
    fails. Raises ArtifactError where it is something else, or holds files that its manifest does
    not name, and OutputError where the system refuses. What a process that was killed while it
    wrote left beside it is removed.
    """
    check_target(target, kind)
    target = Path(os.path.realpath(target))
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = new_folder(target.parent, f".{short_name(target.name)}-")
        try:
            found = fill(draft)
            files = {str(path.relative_to(draft)): _hash(path) for path in _files(draft)}
            manifest = {**about, **found, "format": FORMAT, "kind": kind, "files": files}
            manifest["sha256"] = _digest(manifest)
            seal(draft, _text(manifest))
            mask = umask()
            for path in [*draft.rglob("*"), draft]:
                path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
                to_disk(path)
            _swap(draft, target)
            _spare_strangers(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return str(manifest["sha256"])


def check_target(target: Path, kind: str) -> None:
    """Raise ArtifactError where something other than a folder of this kind stands, or one with
    files that its manifest does not name, and OutputError where none can be written.
    """
    check_folder_place(target)
    target = Path(os.path.realpath(target))
    if not target.exists() or not any(target.iterdir()):
        return
    if not manifest_file(target).exists():
        raise ArtifactError(f"{target} exists and is not an artifact; nothing was written")
    other = read_manifest(target).get("kind")
    if other != kind:
        raise ArtifactError(f"{target} is of kind {other!r}, not {kind!r}; nothing was written")
    if odd := _strangers(target):
        shown = ", ".join(odd[:_SHOWN]) + (f" and {len(odd) - _SHOWN} more" * (len(odd) > _SHOWN))
        raise ArtifactError(
            f"{target} holds what its manifest does not name: {shown}; move it away "
            "first, as the folder is replaced whole; nothing was written"
        )


def _strangers(folder: Path) -> list[str]:
    """What lies in an artifact and is not of it; folders of nothing but such do not count."""
    known = read_manifest(folder).get("files")
    own = {manifest_file(folder).name, *(known if isinstance(known, dict) else ())}
    found = [
        os.path.relpath(os.path.join(above, name), folder)
        for above, folders, names in os.walk(folder)
        for name in [*names, *(each for each in folders if os.path.islink(f"{above}/{each}"))]
    ]
    return sorted(set(found) - own)


def _spare_strangers(old: Path, target: Path) -> None:
    """Keep what stood at `target` until now, and is at `old`, if files came to it meanwhile."""
    if manifest_file(old).exists() and _strangers(old):
        kept = target.with_name(f"{short_name(target.name)}.old-{secrets.token_hex(4)}")
        old.rename(kept)
        _log.warning("files were put into %s while it was replaced; they are in %s", target, kept)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _swap(draft: Path, target: Path) -> None:
    """Put `draft` at `target`; what stood there is removed last."""
    if not target.exists():
        draft.rename(target)
    elif not _exchanged(draft, target):
        _replace(draft, target)
    to_disk(target.parent)


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
    aside = new_folder(target.parent, f".{short_name(target.name)}-old-")
    old = target.rename(aside / "old")
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
