"""The settings of an engine as flags of a command, laid over those of a file."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from recsys.features.errors import SettingsError
from recsys.settings import OF_PROTOCOLS, EngineSettings

_TABLES, _COLUMNS, _RUN = "Tables", "Columns", "Run"

Column: TypeAlias = str | None
Columns: TypeAlias = list[str] | None


def _option(help: str, panel: str) -> Any:
    return typer.Option(help=help, rich_help_panel=panel)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What a command that learns is given: a file of settings, flags, or both."""

    config: Annotated[
        Path | None, typer.Argument(help="A TOML file of settings; flags are laid over it.")
    ] = None
    interactions: Annotated[
        Columns,
        _option(
            "A CSV, Parquet or JSON lines file of the log, or a glob; may be repeated.", _TABLES
        ),
    ] = None
    items: Annotated[
        Columns, _option("A CSV, Parquet or JSON lines file of the catalogue, or a glob.", _TABLES)
    ] = None
    data_dir: Annotated[Path | None, _option("Where relative paths of tables begin.", _TABLES)] = (
        None
    )
    user: Annotated[Column, _option("Ids of users.", _COLUMNS)] = None
    item: Annotated[Column, _option("Ids of items, in both tables.", _COLUMNS)] = None
    time: Annotated[Column, _option("When: dates, or epoch in s, ms or us.", _COLUMNS)] = None
    order: Annotated[
        Column, _option("A number that sorts events without a time, or at one time.", _COLUMNS)
    ] = None
    event: Annotated[Column, _option("view, cart, purchase, ...", _COLUMNS)] = None
    weight: Annotated[Column, _option("How much an event counts.", _COLUMNS)] = None
    quantity: Annotated[Column, _option("How many were bought.", _COLUMNS)] = None
    position: Annotated[Column, _option("At which place of a list, from 1.", _COLUMNS)] = None
    text: Annotated[Columns, _option("Text of items; may be repeated.", _COLUMNS)] = None
    title: Annotated[Column, _option("What people call an item.", _COLUMNS)] = None
    category: Annotated[Columns, _option("Categories of items; may be repeated.", _COLUMNS)] = None
    tags: Annotated[Columns, _option("Lists, or text divided by |.", _COLUMNS)] = None
    price: Annotated[Column, _option("Prices of items.", _COLUMNS)] = None
    available: Annotated[Column, _option("May the item be offered?", _COLUMNS)] = None
    seed: Annotated[int | None, _option("Of all that is drawn at random.", _RUN)] = None
    device: Annotated[str | None, _option("auto, cpu or cuda.", _RUN)] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="Any rejected row is an error.", rich_help_panel=_RUN)
    ] = False
    quarantine: Annotated[
        Path | None, _option("Write the rejected rows of the log to this Parquet file.", _RUN)
    ] = None
    json: Annotated[
        str | None, _option("Write the result as JSON; - is standard output.", _RUN)
    ] = None
    runs: Annotated[Path | None, _option("The folder that gets a folder of this run.", _RUN)] = None
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Keep no run folder.", rich_help_panel=_RUN)
    ] = False


_LOG = ("user", "item", "time", "order", "event", "weight", "quantity", "position")
_CATALOG = ("item", "text", "title", "category", "tags", "price", "available")


def flagged(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of `Flags`, its first parameter, as parameters of its own."""
    others = list(inspect.signature(command).parameters.values())[1:]
    own = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=each.type,
        )
        for each in fields(Flags)
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        command(Flags(**{each.name: given.pop(each.name) for each in own}), **given)

    run.__signature__ = inspect.Signature([*own, *others])  # type: ignore[attr-defined]
    return run


def settings_of(flags: Flags, **evaluation: Any) -> EngineSettings:
    """The settings of the file with the flags laid over them.

    `evaluation` are values of `EvaluationSettings`; None says nothing. Raises SettingsError where
    neither a file nor a log is given, or a setting is wrong; `check_parts_in` is yet to look at the
    tables of parts.
    """
    if flags.config is None and not flags.interactions:
        raise SettingsError("name the log: give a CONFIG or --interactions PATH")
    values = _of_file(flags)
    values["interactions"] = _log(flags, values.get("interactions", {}))
    catalog = _catalog(flags, values.get("catalog"))
    if catalog is not None:
        values["catalog"] = catalog
    values["evaluation"] = _evaluation(_said(evaluation), values.get("evaluation", {}))
    tracking = {"folder": flags.runs, "use": False if flags.no_run else None}
    values["tracking"] = {**values.get("tracking", {}), **_said(tracking)}
    values |= _said({"seed": flags.seed, "device": flags.device})
    return EngineSettings.parse(values)


def _of_file(flags: Flags) -> dict[str, Any]:
    if flags.config is not None:
        return EngineSettings.unchecked(flags.config).model_dump(exclude_unset=True)
    return {"name": Path(flags.interactions[0]).stem} if flags.interactions else {}


def _log(flags: Flags, values: Mapping[str, Any]) -> dict[str, Any]:
    said = _said({"path": flags.interactions, **{name: getattr(flags, name) for name in _LOG}})
    clocks = {"time", "order", "time_format"} if {"time", "order"} & set(said) else set()
    return {**{name: value for name, value in values.items() if name not in clocks}, **said}


def _catalog(flags: Flags, values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    said = _said({"path": flags.items, **{name: getattr(flags, name) for name in _CATALOG}})
    if values is not None or flags.items:
        return {**(values or {}), **said}
    described = [f"--{name}" for name in said if name != "item"]
    if described:
        raise SettingsError(f"{', '.join(described)}: of which table? Give --items PATH")
    return None


def _evaluation(said: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What was said over those of the file, less what a protocol that was said does not use."""
    protocol = said.get("protocol")
    idle = {name for name, users in OF_PROTOCOLS.items() if protocol and protocol not in users}
    return {**{name: value for name, value in values.items() if name not in idle}, **said}


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that were given."""
    return {name: value for name, value in values.items() if value not in (None, [], ())}
