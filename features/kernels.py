"""Compiled kernels, and where their machine code is kept between processes."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

from numba import njit
from numba.core import caching, config
from numba.core.dispatcher import Dispatcher

Function = TypeVar("Function", bound=Callable[..., Any])

_log = logging.getLogger("recsys")

_caching: Any = caching  # which has no types

KERNELS: list[Any] = []
"""Every kernel that has been imported, also those that only other kernels call."""


@overload
def compiled(function: Function) -> Function: ...


@overload
def compiled(
    *, fastmath: bool = False, forceinline: bool = False
) -> Callable[[Function], Function]: ...


def compiled(function: Any = None, *, fastmath: bool = False, forceinline: bool = False) -> Any:
    """Compile a function by numba without the GIL, as `njit` does, at its first call.

    Its machine code is read from where it was kept, in a place that may be read alone, and kept
    where something may be written; where nothing may be, each process compiles for itself.
    """
    if function is None:
        return lambda own: _compiled(own, fastmath, forceinline)
    return _compiled(function, fastmath, forceinline)


def _compiled(function: Callable[..., Any], fastmath: bool, forceinline: bool) -> Any:
    made: Any = njit(nogil=True, fastmath=fastmath, forceinline=forceinline)(function)
    if isinstance(made, Dispatcher):  # NUMBA_DISABLE_JIT leaves the function
        vars(made)["_cache"] = _Kept(function)
        KERNELS.append(made)
    return made


def folders(source: Path) -> list[Path]:
    """Where the machine code of a module may be kept, in the order in which it is looked for.

    NUMBA_CACHE_DIR alone where it is set, else beside the module, then in the user's cache.
    """
    own = hashlib.sha1(bytes(source.parent)).hexdigest()
    below = f"{source.parent.name}_{own}"  # as numba names it: an older cache goes on to serve
    if chosen := getattr(config, "CACHE_DIR", ""):
        return [Path(chosen) / below]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return [source.parent / "__pycache__", user / "numba" / below]


class _Kept(_caching.NullCache):  # type: ignore[misc]
    """The machine code of one kernel in several folders: read from any, written to the first that
    takes it. Nothing is touched before the kernel is called.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _places(self) -> "list[_Place]":
        source = Path(self._function.__code__.co_filename)
        return [_Place(self._function, folder) for folder in folders(source)]

    @property
    def cache_path(self) -> str:
        return str(self._places[0].cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept for a signature; None where no folder has it, or what it has is no code."""
        for place in self._places:
            try:
                found = place.load_overload(sig, target_context)
            except Exception as error:  # damaged bytes raise whatever pickle makes of them
                _log.debug("%s cannot be read: %s", place.cache_path, error)
                continue
            if found is not None:
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code of a signature where something may be written."""
        for place in self._places:
            try:
                place.keep(sig, data)
                return
            except OSError:
                continue
        _tell_that_nothing_is_kept(str(self._places[0].cache_path))

    def flush(self) -> None:
        for place in self._places:
            place.flush()


class _Place(_caching.FunctionCache):  # type: ignore[misc]
    """What numba keeps of one kernel in one folder."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._folder = folder
        super().__init__(function)

    def keep(self, sig: Any, data: Any) -> None:
        """Write the code of a signature; raises OSError where nothing can be written."""
        try:
            self.save_overload(sig, data)
        except OSError:
            raise
        except Exception:  # the index is damaged: what it lists is lost
            self.flush()
            self.save_overload(sig, data)

    def _impl_class(self, function: Callable[..., Any]) -> "_Impl":
        return _Impl(function, self._folder)


class _Impl(_caching.CompileResultCacheImpl):  # type: ignore[misc]
    """How numba writes code, in a folder that is told."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._locator_classes = [_Locator(function, folder)]
        super().__init__(function)


class _Locator:
    """What numba asks of a folder; it need not be writable, as that of numba's own must."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._function, self._folder = function, folder
        self._py_file = function.__code__.co_filename

    def from_function(self, function: Callable[..., Any], source: str) -> "_Locator":
        return self

    def ensure_cache_path(self) -> None:
        """Make the folder; raises OSError where it cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_disambiguator(self) -> str:
        return str(self._function.__code__.co_firstlineno)

    def get_source_stamp(self) -> str:
        """The hash of all sources that the code depends on: those of called kernels too."""
        return hashlib.sha256(b"".join(map(_hash, sorted(_sources(self._function))))).hexdigest()


def _sources(function: Callable[..., Any]) -> set[str]:
    """The files of a kernel and of the kernels that it calls."""
    found = {function.__code__.co_filename}
    for called in _called(function):
        found |= _sources(called)
    return found


def _called(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    for name in function.__code__.co_names:
        called = function.__globals__.get(name)
        if isinstance(called, Dispatcher) and called.py_func is not function:
            yield called.py_func


@cache
def _hash(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()


@cache
def _tell_that_nothing_is_kept(folder: str) -> None:
    _log.warning(
        "compiled kernels are not kept, as %s cannot be written: each process compiles them anew; "
        "set NUMBA_CACHE_DIR to a folder that can be, or bake one into the image",
        folder,
    )
