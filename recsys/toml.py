"""Settings as TOML text, which the standard library only reads."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from recsys.settings import EngineSettings


def as_toml(settings: EngineSettings) -> str:
    """Whatever differs from the defaults, so that `EngineSettings.from_toml` gives the same."""
    values = settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return "\n".join(_lines(values, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The values of a table, then its tables; a table of tables alone needs no head."""
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    if path and (len(inner) < len(table) or not table):
        yield f"[{'.'.join(map(_text, path))}]"
    for name, value in table.items():
        if name not in inner:
            yield f"{_text(name)} = {_text(value)}"
    for name, value in inner.items():
        yield from _lines(value, (*path, name))


def _text(value: Any) -> str:
    """A key or a value: JSON writes text, numbers, booleans and lists of them as TOML does."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
