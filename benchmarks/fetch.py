"""Download public data sets and turn them into the tables that the benchmarks read.

    python -m benchmarks.fetch NAME... --data-dir DIR [--originals FOLDER]

A set that is there already is only checked. Files that were fetched by hand are converted from
FOLDER/NAME. Nothing appears in DIR before all of it is there and has the right fingerprint.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from urllib.error import URLError

from benchmarks.datasets import SETS, DataSet, Original
from recsys.features.errors import DataError, RecsysError

_WAIT = 60  # seconds without a byte


def main() -> None:
    options = _options()
    failed = False
    for name in options.names:
        try:
            print(f"{name}: {fetch(SETS[name], options.data_dir, options.originals)}")
        except RecsysError as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
    sys.exit(failed)


def fetch(data: DataSet, data_dir: Path, kept: Path | None = None) -> str:
    """Put the tables of a data set into its folder of `data_dir`; returns what was done.

    The original is downloaded, or taken from its folder in `kept`. Raises DataError where it
    cannot be had, is damaged or is not the one that the figures are of.
    """
    if (data_dir / data.name).exists():
        data.load(data_dir)
        return f"is there, with the fingerprint {data.fingerprint}"
    if data.convert is None:
        raise DataError(f"not downloaded: {data.by_hand} ({data.page})")
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir, prefix=f".{data.name}.") as folder:
        original = Path(folder, "original") if kept is None else kept / data.name
        if kept is None:
            for each in data.originals:
                download(each, original)
        tables = Path(folder, data.name)
        tables.mkdir()
        data.convert(original, tables)
        data.load(Path(folder))
        tables.rename(data_dir / data.name)
    return f"fetched; terms: {data.terms}; cite: {data.citation}"


def download(original: Original, folder: Path) -> Path:
    """A file from its address, checked and, where it is an archive, unpacked beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / original.name, folder / f"{original.name}.part"
    try:
        with (
            urllib.request.urlopen(original.address, timeout=_WAIT) as answer,
            part.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
    except (URLError, TimeoutError, ConnectionError) as error:
        raise DataError(
            f"{original.address} cannot be had: {error}; fetch it by hand, put it into a folder "
            "with the name of the data set, and name the folder above with --originals"
        ) from None
    _check(original, part)
    part.rename(path)
    if path.suffix == ".zip":
        _unpack(path, folder)
    return path


def _check(original: Original, path: Path) -> None:
    if not original.md5:
        return
    with path.open("rb") as file:
        own = hashlib.file_digest(file, "md5").hexdigest()
    if own != original.md5:
        raise DataError(
            f"{original.address} is damaged or another file: its MD5 is {own}, "
            f"expected {original.md5}"
        )


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name} cannot be unpacked: {error}") from None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(SETS), metavar="NAME")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--originals", type=Path, help="a folder of files fetched by hand")
    return parser.parse_args()


if __name__ == "__main__":
    main()
