"""Vectors kept on disk by the hash of what they were made from."""

import logging
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from recsys.features import npz
from recsys.features.arrays import Array, Floats, Mask
from recsys.features.drafts import remove_abandoned, tag
from recsys.features.errors import ArtifactError
from recsys.features.outputs import umask
from recsys.features.schema import ArraySchema, floats

_log = logging.getLogger(__name__)
_DRAFT = ".vectors-"  # before the tag of who writes it
_SMALL = 1 << 16  # bytes of a file that is always absorbed
_HASHES = ArraySchema("bytes128", ("n",))


def hashes_of(texts: list[str]) -> Array:
    """(n,) the 128-bit BLAKE2b hash of each text, as bytes that sort and compare."""
    digests = b"".join(blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, "S16")


@dataclass(frozen=True)
class VectorCache:
    """A folder of npz files (their CRCs tell damage), each a sorted list of hashes and vectors.

    Files are written under another name, then renamed, and never changed: many processes may read
    and write one cache at once. A new file absorbs those of up to twice its size, so few remain.
    """

    folder: Path

    def get(self, hashes: Array, dimension: int) -> tuple[Mask, Floats]:
        """Which of these hashes (n,) are kept, and their vectors (n, d), zero where not."""
        found = np.zeros(len(hashes), bool)
        vectors = np.zeros((len(hashes), dimension), np.float32)
        for path in self._files():
            kept, kept_vectors = self._read(path, dimension)
            if len(kept):
                place = np.minimum(np.searchsorted(kept, hashes), len(kept) - 1)
                hit = kept[place] == hashes
                vectors[hit] = kept_vectors[place[hit]]
                found |= hit
        return found, vectors

    def put(self, hashes: Array, vectors: Floats) -> None:
        """Keep vectors (n, d) under distinct hashes (n,)."""
        if not len(hashes):
            return
        absorbed = []
        for path in sorted(self._files(), key=_size):
            if _size(path) > _SMALL + 2 * vectors.nbytes:
                break
            kept, kept_vectors = self._read(path, vectors.shape[1])
            new = ~np.isin(kept, hashes)
            hashes = np.concatenate([hashes, kept[new]])
            vectors = np.concatenate([vectors, kept_vectors[new]])
            absorbed.append(path)
        order = np.argsort(hashes)
        try:
            target = self._write(hashes[order], vectors[order])
        except OSError as error:
            _log.warning("vectors are not kept in %s: %s", self.folder, error)
            return
        for path in absorbed:
            if path != target:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.npz"))

    def _read(self, path: Path, dimension: int) -> tuple[Array, Floats]:
        """The contents of a file; nothing where another process absorbed it, or it is damaged."""
        nothing = np.zeros(0, "S16"), np.zeros((0, dimension), np.float32)
        if not path.exists():
            return nothing
        try:
            schemas = {"hashes": _HASHES, "vectors": floats("n", dimension)}
            hashes, vectors = npz.read(path, schemas)
            return hashes, vectors
        except ArtifactError as error:
            fault = str(error)
        _log.warning("%s is damaged (%s): removed; its vectors are computed anew", path, fault)
        path.unlink(missing_ok=True)
        return nothing

    def _write(self, hashes: Array, vectors: Floats) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{blake2b(hashes.tobytes(), digest_size=16).hexdigest()}.npz"
        remove_abandoned(self.folder, _DRAFT)
        name = self.folder / f"{_DRAFT}{tag()}"
        try:
            with open(name, "xb", opener=_of_the_owner) as file:
                np.savez(file, hashes=hashes, vectors=vectors)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~umask())
            os.replace(name, target)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
        return target


def _of_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
