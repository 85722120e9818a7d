"""A file that is the old one or the new one at every moment, never half of it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Another name to write under, put in place at the end; an error leaves the old file alone."""
    draft = path.absolute().with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write `text` as a whole file."""
    with draft_of(path) as draft:
        draft.write_text(text, encoding="utf8")
