"""Named arrays in one file."""

import zipfile
from pathlib import Path

import numpy as np

from recsys.features.arrays import Array
from recsys.features.errors import ArtifactError


def write(path: Path, **arrays: Array) -> None:
    """Write arrays under their names."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read(path: Path, *names: str) -> list[Array]:
    """The arrays of these names; raises ArtifactError where one is missing or damaged (CRC-32)."""
    try:
        # Opened here: numpy leaves the file open where it turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path} does not hold {', '.join(names)}: {error}") from error
