"""Imports every module of the wheel named on the command line, from wherever it was installed."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath
from zipfile import ZipFile

FLOORS = ("features", "retrieval", "ranking")


def main(wheel: str) -> None:
    with ZipFile(wheel) as archive:
        files = [PurePosixPath(name) for name in archive.namelist()]
    check_top_level(files)
    check_typed(files)
    modules = [module_name(file) for file in files if file.suffix == ".py"]
    for module in modules:
        import_module(module)
    print(f"{len(modules)} modules imported from {sys.prefix}")


def check_top_level(files: list[PurePosixPath]) -> None:
    folders = {file.parts[0] for file in files if not file.parts[0].endswith(".dist-info")}
    if folders != {"recsys"}:
        raise SystemExit(f"the wheel must hold recsys alone; it holds {sorted(folders)}")
    if installed := [floor for floor in FLOORS if find_spec(floor) is not None]:
        raise SystemExit(f"no floor may install at the top level; {installed} did")
    if missing := [floor for floor in FLOORS if find_spec(f"recsys.{floor}") is None]:
        raise SystemExit(f"every floor must be in the wheel; {missing} are not")


def check_typed(files: list[PurePosixPath]) -> None:
    if PurePosixPath("recsys/py.typed") not in files:
        raise SystemExit("the wheel must hold recsys/py.typed; it does not")


def module_name(file: PurePosixPath) -> str:
    parts = file.parent.parts if file.stem == "__init__" else file.with_suffix("").parts
    return ".".join(parts)


if __name__ == "__main__":
    main(sys.argv[1])
