"""The report of an evaluation: one HTML page that needs nothing but itself."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from recsys import __version__
from recsys.features.errors import DataError
from recsys.features.outputs import shortened, write_whole
from recsys.features.small_files import EVALUATION_BYTES, SETTINGS_BYTES, parse_json, read_small
from recsys.reporting import breakdown, figures, findings, importance, quality, stages
from recsys.reporting.findings import Headline, headline
from recsys.reporting.outcome import Outcome
from recsys.reporting.tables import Cell, Row, Table, table_of
from recsys.targets import check_targets

EVALUATION, PAGE = "evaluation.json", "report.html"

_FACTS = {"Data": "data.json", "Environment": "environment.json"}

_SETTINGS = ("settings.toml", "settings.json")

_SECTIONS = {
    "quality": "Quality",
    "certainty": "Differences",
    "stages": "Where positives end",
    "sources": "Sources",
    "ranking": "Ranking",
    "importance": "What the ranker goes by",
    "slices": "For whom",
    "cost": "Quality and cost",
    "beyond": "Beyond accuracy",
    "calibration": "Calibration",
    "windows": "Over time",
    "seeds": "Seeds",
    "learning": "Learning",
    "lists": "Lists",
    "run": "The run",
}
"""The sections of the page, in the order in which someone decides by it."""


@dataclass(frozen=True)
class Run:
    """An evaluation, and what stands beside it in its run folder."""

    outcome: Outcome
    facts: Mapping[str, Mapping[str, Any]]  # by their heading: the data, the machine
    settings: str  # the text of settings.toml or settings.json
    file: Path  # the evaluation

    @classmethod
    def read(cls, path: Path) -> "Run":
        """A run folder or an evaluation's JSON file; raises DataError where it is neither."""
        path = Path(path)
        file = path / EVALUATION if path.is_dir() else path
        if not os.path.lexists(file):
            raise DataError(
                f"{shortened(file)}: there is none; `recsys evaluate` writes an evaluation"
            )
        outcome = Outcome.read(file)
        if not path.is_dir():
            return cls(outcome, {}, "", file)
        files = {said: path / name for said, name in _FACTS.items()}
        facts = {said: _table(each) for said, each in files.items() if each.is_file()}
        return cls(outcome, facts, _settings(path), file)

    @property
    def files(self) -> list[Path]:
        """All that is read of a run folder, or the evaluation alone."""
        names = [*_FACTS.values(), *_SETTINGS] if self.file.name == EVALUATION else []
        return [self.file, *map(self.file.with_name, names)]

    @property
    def page(self) -> Path:
        """Where the report goes: beside the evaluation, under a name of its own."""
        same = self.file.name == EVALUATION
        return self.file.with_name(PAGE) if same else self.file.with_suffix(".html")


@dataclass(frozen=True)
class Report:
    """A page that was written, and its gist."""

    page: Path
    headline: Headline
    work_on: str  # a sentence, empty where the evaluation has no account

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "report": str(self.page),
            "verdict": self.headline.verdict,
            "title": self.headline.title,
            "detail": self.headline.detail,
            "work_on": self.work_on,
        }


def write_report(path: Path, out: Path | None = None, apart: str | None = None) -> Report:
    """Write the report of a run folder, or of an evaluation's JSON file, to `out`.

    The page takes the place of an earlier one when all of it is written. Raises DataError where
    there is no evaluation, OutputError where `out` cannot be written, and SettingsError where it,
    or `apart` that is written too, is what is read.
    """
    run = Run.read(path)
    page = run.page if out is None else Path(out)
    check_targets({"--out": page, "--json": apart}, reads=run.files)
    write_whole(page, render(run.outcome, run.facts, run.settings))
    return Report(page, headline(run.outcome), findings.to_work_on(run.outcome)[1])


def render(
    outcome: Outcome, facts: Mapping[str, Mapping[str, Any]] | None = None, settings: str = ""
) -> str:
    """The page as text; a part whose data is absent is left out."""
    told = {"More of the protocol": outcome.protocol.others, **(facts or {})}
    tables = [table for said, values in told.items() if (table := _pairs(said, values))]
    found = _found(outcome) | {"facts": tables, "settings": settings}
    shown = {
        "certainty": found["differences"],
        "stages": found["funnel"],
        "ranking": found["ranker"],
        "learning": found["curves"],
        "lists": outcome.examples,
        "run": tables or settings or outcome.notes,
    }
    sections = {key: title for key, title in _SECTIONS.items() if shown.get(key, found.get(key))}
    text: str = _template().render(
        outcome=outcome,
        version=__version__,
        headline=headline(outcome),
        protocol=findings.protocol_sentences(outcome),
        work_on=findings.to_work_on(outcome)[1],
        sections=sections,
        **found,
    )
    return text.lstrip()


def _found(outcome: Outcome) -> dict[str, Any]:
    """Every exhibit by its name in the template."""
    beyond = quality.beyond_accuracy(outcome)
    return {
        "figures": quality.gist(outcome),
        "pair": breakdown.pair(outcome),
        "quality": quality.quality(outcome),
        "accuracy": quality.accuracy(outcome),
        "differences": quality.differences(outcome),
        "beyond": beyond,
        "explained": quality.explained(beyond),
        "seeds": quality.seeds(outcome),
        "funnel": stages.funnel(outcome),
        "bar": stages.bar(outcome),
        "sources": stages.sources(outcome),
        "sources_said": stages.sources_said(outcome),
        "costs": stages.costs(outcome),
        "overlap": stages.overlap(outcome),
        "ranker": stages.ranker(outcome),
        "ranker_said": stages.ranker_said(outcome),
        "importance": importance.importance(outcome),
        "importance_said": importance.importance_said(outcome),
        "slices": breakdown.slices(outcome),
        "slices_said": breakdown.slices_said(outcome),
        "windows": breakdown.windows(outcome),
        "cost": figures.cost(outcome),
        "calibration": figures.calibration(outcome),
        "curves": figures.curves(outcome),
    }


@cache
def _template() -> Template:
    text = resources.files("recsys.reporting").joinpath("report.html.jinja").read_text("utf8")
    page = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return page.from_string(text)


def _table(file: Path) -> Mapping[str, Any]:
    try:
        values = parse_json(read_small(file, EVALUATION_BYTES))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    return values if isinstance(values, dict) else {file.stem: values}


def _settings(folder: Path) -> str:
    files = [folder / name for name in _SETTINGS]
    file = next((each for each in files if each.is_file()), None)
    if file is None:
        return ""
    try:
        return read_small(file, SETTINGS_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def _pairs(caption: str, values: Mapping[str, Any]) -> Table | None:
    rows = [Row(name, (Cell(text),)) for name, text in _flat(values)]
    return table_of(caption, ("What", "Value"), rows)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of a table, those of tables in it after their own name."""
    for key, value in values.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} · ")
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value))
        elif value is not None:
            yield name, f"{value:,}" if isinstance(value, int) and value > 9_999 else str(value)
