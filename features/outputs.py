"""Files that are written whole or not at all, at places that are tried before the work."""

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.features.drafts import draft_name, remove_abandoned, short_name
from recsys.features.errors import OutputError, RecsysError

Place = Path | int
"""Where a path leads when its links are followed; /dev/stdout and its like are an open file of this
process, known by its number."""

_OPEN_FILE = re.compile(r"/proc/(\d+)/(?:task/\d+/)?fd/(\d+)")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how Rust tells it: polars and safetensors do
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LINKS = 40  # that the system follows too
_PATIENCE = 10.0  # seconds that a FIFO may be without a reader
_TRIAL = 4096  # bytes: a disk that cannot take them is full
_LONGEST = 200  # characters of a path that a message repeats

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a disk",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
}


def check_file(path: Path | str, flag: str = "", *, makes_folders: bool = False) -> None:
    """Raise OutputError where no file can be written to `path`: before the work, not after it.

    A file is made beside it and removed. A FIFO or a device is written into, never replaced. With
    `makes_folders` the folders above it need not be there.
    """
    with _tried(path, f"{flag} ".lstrip(), "no file can be written there"):
        place = place_of(Path(path))
        if isinstance(place, int):
            os.fstat(place)
            return
        status = _status(place)
        if status is not None and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, "it is write-protected")
        if _is_stream(status):
            return
        if status is not None and _is_mount(place):
            raise OSError(errno.EBUSY, "it is a mount point, which cannot be replaced whole")
        _try(_nearest(place.parent) if makes_folders else place.parent)


def check_folder_place(path: Path | str, flag: str = "") -> None:
    """Raise OutputError where no folder can be made, or put in place of one, at `path`."""
    with _tried(path, f"{flag} ".lstrip(), "no folder can be written there"):
        place = Path(os.path.realpath(path))
        str(place).encode()  # what writes tables takes names in UTF-8 alone
        status = os.stat(place) if os.path.lexists(place) else None
        if status is not None and not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, f"it is {kind_of(status)}")
        if status is not None:
            here = Path.cwd()
            if place == here or place in here.parents:
                raise OSError(errno.EBUSY, "this process stands in it")
            if _is_mount(place):
                raise OSError(errno.EBUSY, "it is a mount point; name a folder in it")
        if len(os.fsencode(place.name)) > 255:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        _try(_nearest(place.parent))


def check_inside(folder: Path | str, flag: str = "") -> None:
    """Raise OutputError where files cannot be written into `folder`, which is made if need be."""
    with _tried(folder, f"{flag} ".lstrip(), "no files can be written there"):
        _try(_nearest(Path(os.path.realpath(folder))))


@contextmanager
def draft_of(path: Path | str) -> Iterator[Path]:
    """Another name to write under, put in place at the end; an error leaves the old file alone.

    Links are followed. The file has the mode of the one that it replaces, or that of the umask; the
    draft is for its owner alone. A FIFO, a device or an open file such as /dev/stdout gets what
    was written as a stream. Raises OutputError where the system refuses.
    """
    with writing(path):
        place = place_of(Path(path))
        own = None if isinstance(place, int) else place  # a place that may hold a file of its own
        status = None if own is None else _status(own)
        streams = own is None or _is_stream(status)
        beside = Path(tempfile.gettempdir()) if own is None or streams else own.parent
        short = "stream" if own is None else short_name(own.name)
        remove_abandoned(beside, f".{short}-")
        draft = beside / draft_name(short)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield draft
            to_disk(draft)
            if own is None or streams:
                _pour(draft, place)
            else:
                _put(draft, own, status)
        finally:
            draft.unlink(missing_ok=True)


def write_whole(path: Path | str, text: str) -> None:
    """Write `text` as a whole file."""
    with draft_of(path) as draft:
        draft.write_text(text, encoding="utf8")


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Tell what the system refuses while `path` is written as an OutputError that names it."""
    try:
        yield
    except RecsysError:
        raise
    except Exception as error:
        code = _code(error)
        if code is None and not isinstance(error, OSError):
            raise
        raise _refused(path, "", "cannot be written", error, code) from error


def place_of(path: Path) -> Place:
    """Where a path leads; the last link may point at what is not there yet."""
    place = path
    for _ in range(_LINKS):
        if place.name in ("", ".", ".."):
            return Path(os.path.realpath(place))
        place = Path(os.path.realpath(place.parent), place.name)
        opened = _OPEN_FILE.fullmatch(str(place))
        if opened and int(opened[1]) == os.getpid():
            return int(opened[2])
        if not place.is_symlink():
            return place
        place = place.parent / os.readlink(place)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def umask() -> int:
    """The bits that new files lack; read without setting them, as other threads make files too."""
    with suppress(OSError), open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def shortened(path: Path | str) -> str:
    """A path as a message repeats it."""
    text = str(path) or repr(str(path))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def kind_of(status: os.stat_result) -> str:
    """What something that is no regular file is, in words."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "of no known kind")


def free_space(path: Path | str) -> str:
    """What is free on the disk of a path that need not be there yet, in words."""
    free = shutil.disk_usage(_nearest(Path(os.path.realpath(path)))).free
    return f"{free / 1e9:.1f} GB" if free >= 1e8 else f"{free / 1e6:.1f} MB"


@contextmanager
def _tried(path: Path | str, flag: str, rule: str) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL or half a character
        raise _refused(path, flag, rule, error, _code(error)) from error


def _refused(
    path: Path | str, flag: str, rule: str, error: Exception, code: int | None
) -> OutputError:
    shown = shortened(path)
    if isinstance(error, FileNotFoundError):
        reason = f"there is no folder {Path(path).parent}"
    elif isinstance(error, OSError):
        reason = error.strerror or str(error)
    else:
        reason = str(error) if code is None else os.strerror(code)
    with suppress(OSError, ValueError):
        if code in _FULL and not _is_stream(os.stat(path) if os.path.exists(path) else None):
            reason += f"; {free_space(path)} are free on its disk"
    return OutputError(f"{flag}{shown}: {rule}: {reason}")


def _code(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = _OS_ERROR.search(str(error))
    return None if found is None else int(found[1])


def _status(place: Path) -> os.stat_result | None:
    """What is at a place; None for nothing. Raises OSError where nothing can be written over it."""
    try:
        status = os.lstat(place)
    except FileNotFoundError:
        return None
    if stat.S_IFMT(status.st_mode) in (stat.S_IFDIR, stat.S_IFSOCK, stat.S_IFBLK):
        raise OSError(errno.EINVAL, f"it is {kind_of(status)}")
    return status


def _is_stream(status: os.stat_result | None) -> bool:
    return status is not None and stat.S_IFMT(status.st_mode) in (stat.S_IFIFO, stat.S_IFCHR)


def _is_mount(place: Path) -> bool:
    """Whether something is mounted there: also one file, as containers have it."""
    if os.path.ismount(place):
        return True
    with suppress(OSError), open("/proc/self/mountinfo", errors="surrogateescape") as lines:
        mounted = str(place).replace("\\", r"\134").replace(" ", r"\040")
        return any(line.split(" ")[4] == mounted for line in lines)
    return False


def _nearest(folder: Path) -> Path:
    """The folder, or the lowest one above it that is there."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _try(folder: Path) -> None:
    """Write a little into a folder and remove it."""
    if not folder.is_dir():
        missing = not folder.exists()
        said = f"there is no folder {folder}" if missing else f"{folder} is no folder"
        raise NotADirectoryError(errno.ENOTDIR, said)
    try:
        handle, name = tempfile.mkstemp(prefix=".recsys-", dir=folder)
    except FileNotFoundError:  # /proc says so of what it lets nobody make
        raise PermissionError(errno.EPERM, f"{folder} takes no files") from None
    except OSError as error:
        raise OSError(error.errno, f"{folder} takes no files: {error.strerror}") from None
    try:
        os.write(handle, bytes(_TRIAL))
        os.fsync(handle)
    finally:
        os.close(handle)
        os.unlink(name)


def to_disk(draft: Path) -> None:
    """Wait until a file or folder is on the disk: a rename must not be there before it."""
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(draft: Path, place: Path, old: os.stat_result | None) -> None:
    """Let a draft take its place with the mode, and for root the owner, of what it replaces."""
    draft.chmod(0o666 & ~umask() if old is None else stat.S_IMODE(old.st_mode))
    if old is not None and os.geteuid() == 0:
        os.chown(draft, old.st_uid, old.st_gid)
    os.replace(draft, place)


def _pour(draft: Path, place: Place) -> None:
    """Write a draft into what is no file of its own."""
    for stream in (sys.stdout, sys.stderr):  # what was printed before comes before
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    handle = os.dup(place) if isinstance(place, int) else _opened(place)
    with os.fdopen(handle, "wb") as target, draft.open("rb") as source:
        shutil.copyfileobj(source, target)


def _opened(place: Path) -> int:
    """A FIFO or a device, open for writing; a FIFO without a reader is waited for, a while."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            handle = os.open(place, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                raise OSError(errno.ENXIO, "nobody reads it") from None
            time.sleep(0.05)
        else:
            os.set_blocking(handle, True)
            return handle
