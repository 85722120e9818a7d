"""A text file that is the old one or the new one at every moment, never half of it."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write `text` under another name, then put it in place; an OSError leaves the old file."""
    draft = path.absolute().with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
