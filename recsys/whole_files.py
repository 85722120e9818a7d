"""A file that is the old one or the new one at every moment, never half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.features.drafts import draft_name, remove_abandoned


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Another name to write under, put in place at the end; an error leaves the old file alone.

    Drafts of the same file that killed processes left are removed.
    """
    remove_abandoned(path.absolute().parent, f".{path.name}-")
    draft = path.absolute().with_name(draft_name(path.name))
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write `text` as a whole file."""
    with draft_of(path) as draft:
        draft.write_text(text, encoding="utf8")
