"""Typed settings: frozen, and loud about an unknown key, a wrong type or a value out of range."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from recsys.features.errors import SettingsError

_LONGEST = 80  # characters of a value that a message repeats


class Settings(BaseModel):
    """The base of all settings: keyword only, never changed after they are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _as_settings_error(type(self), error) from None

    # Without this mark pydantic would call __init__ for nested settings too, and an error in one
    # of them would lose its place in the whole.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Settings from a table of TOML or JSON, of which `where` is the dotted place.

        Raises SettingsError, which names every wrong key, the rule it breaks and its value.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _as_settings_error(cls, error, where) from None


def check_at_most(made: object, **bounds: float) -> None:
    """Raise SettingsError where an attribute of `made` is above its bound.

    Without a bound a slip of the keyboard asks for more memory than there is. None says nothing.
    """
    for name, most in bounds.items():
        value = getattr(made, name)
        if value is not None and value > most:
            raise SettingsError(f"{name} must be at most {most:,}; got {value}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one most like it, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(sorted(known)) or 'none'}"


def _as_settings_error(
    model: type[BaseModel], error: ValidationError, where: str = ""
) -> SettingsError:
    lines = [_line(model, detail, where) for detail in error.errors(include_url=False)]
    return SettingsError("; ".join(lines))


def _line(model: type[BaseModel], detail: ErrorDetails, where: str) -> str:
    parts = [str(part) for part in detail["loc"]]
    path = ".".join([where, *parts] if where else parts)
    if detail["type"] == "extra_forbidden":
        return f"unknown setting {path!r}; {nearest(parts[-1], _names_at(model, parts[:-1]))}"
    if detail["type"] == "missing":
        return f"setting {path!r} is missing"
    rule = detail["msg"].removeprefix("Value error, ")
    if not path:
        return rule
    value = repr(detail["input"])
    shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
    return f"setting {path!r}: {rule}; got {shown}"


def _names_at(model: type[BaseModel], parts: list[str]) -> set[str]:
    """The names of the settings that are known at a dotted place."""
    models = [model]
    for part in parts:
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if fields:  # else the part is a key of a table, a number in a list or a name in a union
            models = [inner for annotation in fields for inner in _models_in(annotation)]
    return {name for each in models for name in each.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
