"""The paths that a command will write: tried before the work, and none of them what it reads."""

import os
import shutil
from collections.abc import Iterable, Mapping
from glob import glob
from pathlib import Path

from recsys.features.errors import SettingsError
from recsys.features.outputs import (
    Place,
    check_file,
    check_folder_place,
    check_inside,
    free_space,
    place_of,
)
from recsys.settings import EngineSettings

_LITTLE = 1 << 28  # bytes: with fewer free a command says how many

Given = Mapping[str, Path | str | None]
"""Paths by the flag or the setting that named them; None where nothing was given."""


def check_targets(
    files: Given,
    folders: Given | None = None,
    reads: Iterable[Path | str] = (),
    runs: Given | None = None,
) -> list[str]:
    """Try every file and folder that will be written; returns what is to be said of free space.

    `folders` are written whole: nothing else may go into one. `runs` are folders that get new files
    or folders. Raises OutputError where one cannot be written, and SettingsError where two are the
    same, one lies in a folder that is written whole, or one is among `reads`.
    """
    folders, runs = folders or {}, runs or {}
    taken: dict[Place, str] = {}
    for path in reads:
        taken.setdefault(_place(path), "what this command reads")
    for flag, folder in _given(folders):
        check_folder_place(folder, flag)
    for flag, file in _given(files):
        check_file(file, flag)
        place = _place(file)
        if place in taken and not _is_shared(place):
            raise SettingsError(f"{flag} {file}: it is {taken[place]}; name another file")
        taken[place] = f"also that of {flag}"
    for flag, run in _given(runs):
        check_inside(run, flag)
    for flag, path in [*_given(files), *_given(runs)]:
        _check_outside(flag, path, folders)
    return [*_of_space([*_given(folders), *_given(runs)])]


def check_outside(flag: str, path: Path | str | None, folder: Path | str) -> None:
    """Raise SettingsError where a file would be written into a folder that is written whole."""
    if path is not None:
        _check_outside(flag, path, {"": folder})


def inputs_of(settings: EngineSettings, data_dir: Path | None, config: Path | None) -> list[Path]:
    """The files that a command that learns reads."""
    tables = (settings.interactions, settings.catalog, settings.evaluation.test)
    found = [] if config is None else [config]
    for table in tables:
        named = () if table is None else table.path
        for text in [named] if isinstance(named, str | Path) else named or ():
            found += map(Path, glob(os.path.join(data_dir or "", text), recursive=True))
    return found


def checkpoint_of(settings: EngineSettings) -> str | None:
    """The file of the ranker's training, where settings name one."""
    path = settings.ranker.get("checkpoint")
    return None if path is None else str(path)


def _given(paths: Given) -> list[tuple[str, Path | str]]:
    return [(flag, path) for flag, path in paths.items() if path is not None]


def _place(path: Path | str) -> Place:
    try:
        return place_of(Path(path))
    except (OSError, ValueError):
        return Path(path)


def _is_shared(place: Place) -> bool:
    """Whether several may write there: a device, a pipe."""
    return isinstance(place, int) or (place.exists() and not place.is_file())


def _check_outside(flag: str, path: Path | str, folders: Given) -> None:
    place = _place(path)
    for other, folder in _given(folders):
        if isinstance(place, Path) and place.is_relative_to(os.path.realpath(folder)):
            whose = f"that of {other}, " if other else ""
            raise SettingsError(
                f"{flag} {path}: it would lie in the folder {folder}, {whose}which is written and "
                "read whole; name a place outside of it"
            )


def _of_space(paths: Iterable[tuple[str, Path | str]]) -> Iterable[str]:
    """A line per disk that is nearly full."""
    for flag, path in paths:
        place = Path(os.path.realpath(path))
        while not place.exists():
            place = place.parent
        if shutil.disk_usage(place).free < _LITTLE:
            yield f"only {free_space(place)} are free where {flag} {path} goes"
