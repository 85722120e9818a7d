"""Names of drafts, which say who writes them: what a killed process left behind is known by it."""

import hashlib
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_log = logging.getLogger("recsys")

_OWNER = re.compile(r"(?P<place>[0-9a-f]{6})\.(?P<process>\d+)\.(?P<start>\d+)")
_TAG = re.compile(rf"{_OWNER.pattern}\.[0-9a-f]{{8}}")
_REPEATED = 150  # bytes of a name that that of a draft repeats: with its tag it has to fit into 255
_ABANDONED = 24 * 3600  # seconds after which what another machine or container began is given up


def draft_name(name: str) -> str:
    """A hidden name that nobody else takes, for a draft of what will be called `name`."""
    return f".{name}-{tag()}"


def tag() -> str:
    """This process and a random number, for a name."""
    return f"{owner()}.{secrets.token_hex(4)}"


def new_folder(parent: Path, prefix: str) -> Path:
    """Make a folder `<prefix><tag>` that only its owner may read; abandoned ones are removed."""
    remove_abandoned(parent, prefix)
    folder = parent / f"{prefix}{tag()}"
    folder.mkdir(mode=0o700)
    return folder


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for as long as it is needed, where the module `tempfile` makes them."""
    folder = new_folder(Path(tempfile.gettempdir()), "recsys-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def short_name(name: str) -> str:
    """As much of a name as that of a draft beside it repeats: file systems count bytes."""
    return os.fsdecode(os.fsencode(name)[:_REPEATED])


def owner() -> str:
    """This process, told apart from all others, also from later ones of the same number."""
    return f"{_place()}.{os.getpid()}.{_start(os.getpid()) or 0}"


def is_gone(who: str) -> bool:
    """Whether the process that called itself so lives no more; False where nobody can know."""
    found = _OWNER.fullmatch(who)
    if found is None or found["place"] != _place():
        return False
    start = _start(int(found["process"]))
    return start is None or start != int(found["start"])


def remove_abandoned(folder: Path, prefix: str) -> list[Path]:
    """Remove the drafts `<prefix><tag>` in a folder whose processes were killed; what it removed.

    One of another machine or container goes once nothing of it has changed for a day.
    """
    removed = []
    for path in _drafts(folder, prefix):
        said = path.name.removeprefix(prefix)
        if not (is_gone(said.rpartition(".")[0]) or _is_old(path, said)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # another user's
                path.unlink(missing_ok=True)
        if path.exists():
            continue
        _log.warning("removed %s, which a process that was killed had left", path)
        removed.append(path)
    return removed


def _drafts(folder: Path, prefix: str) -> list[Path]:
    try:
        names = os.listdir(folder)
    except OSError:  # it is not there, or may not be read
        return []
    ours = [n for n in names if n.startswith(prefix) and _TAG.fullmatch(n.removeprefix(prefix))]
    return [folder / name for name in sorted(ours)]


def _is_old(path: Path, said: str) -> bool:
    if said.startswith(_place()):
        return False
    try:
        changed = max(each.lstat().st_mtime for each in [path, *path.rglob("*")])
    except OSError:  # somebody is at it
        return False
    return time.time() - changed > _ABANDONED


def _start(process: int) -> int | None:
    """When a process was started, in ticks since the machine was; None where there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _signalled(process)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie writes nothing more


def _signalled(process: int) -> int | None:
    """Where the system has no /proc: 0 for a process that is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return 0
    return 0


@cache
def _place() -> str:
    """This start of this machine or container, in 6 hexadecimal digits."""
    known = [os.uname().nodename]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            known.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text())
        except OSError:
            continue
    return hashlib.sha256("".join(known).encode()).hexdigest()[:6]
