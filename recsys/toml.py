"""Settings as TOML text, which the standard library only reads."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from recsys.settings import EngineSettings

_BARE = re.compile("[A-Za-z0-9_-]+")
"""A key that needs no quotes."""


def as_toml(settings: EngineSettings) -> str:
    """Whatever differs from the defaults, so that `EngineSettings.from_toml` gives the same."""
    values = settings.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return "\n".join(_lines(values, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The values of a table, then its tables; a table of tables alone needs no head."""
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    if path and (len(inner) < len(table) or not table):
        yield f"[{'.'.join(map(_key, path))}]"
    for name, value in table.items():
        if name not in inner:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in inner.items():
        yield from _lines(value, (*path, name))


def _value(value: Any) -> str:
    """A value on one line; tables within lists are inline ones."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(name)} = {_value(own)}" for name, own in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: Any) -> str:
    """JSON writes text, numbers and booleans as TOML does."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
