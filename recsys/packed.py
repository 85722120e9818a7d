"""An engine as bytes: the files of its folder in an archive that compresses nothing."""

import io
from typing import TYPE_CHECKING
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from recsys.features.drafts import temporary_folder
from recsys.features.errors import ArtifactError, ForkError
from recsys.features.forks import check_process

if TYPE_CHECKING:
    from recsys.engine import Engine


def packed(engine: "Engine") -> bytes:
    """All that `save` writes; a folder for it is made where the module `tempfile` makes them."""
    buffer = io.BytesIO()
    with temporary_folder() as folder:
        saved = folder / "engine"
        engine.save(saved)
        with ZipFile(buffer, "w", ZIP_STORED) as archive:
            for path in sorted(saved.rglob("*")):
                archive.write(path, path.relative_to(saved))
    return buffer.getvalue()


def unpacked(kind: "type[Engine]", content: bytes) -> "Engine":
    """The engine that was packed, by `load` with all that it checks.

    In a fork that cannot load it is one whose every call says so: a worker of a pool that fails
    while it reads its task ends without a word, and whoever waits for its answer waits for ever.
    """
    try:
        check_process()
    except ForkError:
        return kind()
    with temporary_folder() as folder:
        try:
            with ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(folder)
        except (BadZipFile, NotImplementedError, ValueError, TypeError) as error:
            raise ArtifactError(f"the copy of an engine is damaged: {error}") from None
        return kind.load(folder)
