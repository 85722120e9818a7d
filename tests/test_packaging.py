"""What pyproject.toml says of the package, against the folders that hold it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

import recsys

ROOT = Path(__file__).parent.parent
FLOORS = ("features", "retrieval", "ranking")
ROOMS = ("evaluation", "reporting")
"""Folders of the top floor that are packages of their own."""
NOT_INSTALLED = {"benchmarks", "tests"}


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def import_name(folder: str) -> str:
    return folder if folder == "recsys" else f"recsys.{folder}"


def test_every_folder_of_code_is_a_listed_package(pyproject: dict[str, Any]) -> None:
    folders = {file.parent.name for file in ROOT.glob("*/__init__.py")} - NOT_INSTALLED
    rooms = {f"recsys.{room}" for room in ROOMS}
    setuptools = pyproject["tool"]["setuptools"]
    assert set(setuptools["packages"]) == {import_name(folder) for folder in folders} | rooms
    assert setuptools["package-dir"] == {import_name(folder): folder for folder in folders}


@pytest.mark.parametrize("package", ["recsys", *FLOORS])
def test_packages_are_flat(package: str) -> None:
    folders = [path for path in (ROOT / package).iterdir() if path.is_dir()]
    nested = [path for path in folders if not path.is_symlink() and any(path.rglob("*.py"))]
    assert {path.name for path in nested} == (set(ROOMS) if package == "recsys" else set())


@pytest.mark.parametrize("floor", FLOORS)
def test_links_lead_to_the_floors(floor: str) -> None:
    link = ROOT / "recsys" / floor
    assert link.is_symlink()
    assert link.readlink() == Path("..") / floor
    assert (link / "__init__.py").is_file()


def test_types_and_the_page_travel_with_the_package(pyproject: dict[str, Any]) -> None:
    assert (ROOT / "recsys" / "py.typed").is_file()
    assert (ROOT / "recsys" / "reporting" / "report.html.jinja").is_file()
    assert pyproject["tool"]["setuptools"]["package-data"] == {
        "recsys": ["py.typed"],
        "recsys.reporting": ["report.html.jinja"],
    }


def test_the_version_is_written_once(pyproject: dict[str, Any]) -> None:
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "recsys.__version__"}
    sources = [file for folder in ("recsys", *FLOORS) for file in (ROOT / folder).glob("*.py")]
    holders = [file for file in sources if f'"{recsys.__version__}"' in file.read_text("utf-8")]
    assert holders == [ROOT / "recsys" / "__init__.py"]


def test_constraints_pin_every_dependency(pyproject: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if not line.startswith("#")}
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    tested = [extras[name] for name in ("cpu", "minilm", "lightfm", "dev")]
    wanted = [name for group in (project["dependencies"], *tested) for name in group]
    assert {distribution(requirement) for requirement in wanted} - pinned == set()


def distribution(requirement: str) -> str:
    for end in "<>=":
        requirement = requirement.split(end)[0]
    return requirement.strip().lower()
