"""Change every file of a saved engine in every way, load it, and say what came of it.

Run as a process of its own, since what it looks for may end one: python -m tests.recsys.hostile
ENGINE FOLDER. A line on each case: how it ended, and the case.
"""

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from recsys import artifact
from recsys.engine import Engine
from recsys.features.errors import ArtifactError

SECONDS = 20  # that one case may take
MEMORY = 6 << 30  # bytes of address space

Change = Callable[[np.ndarray], np.ndarray]
Case = tuple[str, Callable[[Path], None]]


def nan_at_the_end(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    if changed.size:
        changed.flat[-1] = np.nan
    return changed


def far(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    if changed.size:
        changed.flat[-1] = np.iinfo(values.dtype).max
    return changed


def negative(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    if changed.size:
        changed.flat[0] = -7
    return changed


OF_ALL: Mapping[str, Change] = {
    "another width": lambda v: v.astype(np.float32 if v.dtype == np.float64 else np.float64),
    "whole numbers": lambda v: v.astype(np.int16),
    "complex": lambda v: v.astype(np.complex64),
    "the other end first": lambda v: v.astype(v.dtype.newbyteorder(">")),
    "cut": lambda v: v[:-1] if v.ndim else v[None],
    "empty": lambda v: np.zeros((0,) * max(1, v.ndim), v.dtype),
    "longer": lambda v: np.concatenate([np.atleast_1d(v)] * 2),
    "turned": lambda v: np.ascontiguousarray(v.T) if v.ndim > 1 else v[:, None] if v.ndim else v,
    "flat": lambda v: v.reshape(-1)[: max(1, v.size // 2)],
}
OF_FLOATS: Mapping[str, Change] = {
    "NaN": nan_at_the_end,
    "infinite": lambda v: np.full_like(v, np.inf),
}
OF_ROWS: Mapping[str, Change] = {
    "far": far,
    "negative": negative,
    "just outside": lambda v: np.where(v == v.max(initial=0), v + 1, v).astype(v.dtype),
    "shifted": lambda v: v + v.dtype.type(100_000),
}
OF_FLAGS: Mapping[str, Change] = {
    "200": lambda v: np.full(v.shape, 200, np.uint8).view(np.bool_),
}


def changes_of(values: np.ndarray) -> Mapping[str, Change]:
    kinds: Mapping[str, Mapping[str, Change]] = {"f": OF_FLOATS, "b": OF_FLAGS, "i": OF_ROWS}
    own = {} if values.dtype == np.int8 else kinds.get(values.dtype.kind, {})  # any weight will do
    return {**OF_ALL, **own}


def array_cases(path: Path, name: Path, read: Callable[..., Any], write: Any) -> Iterator[Case]:
    arrays = {key: np.array(value) for key, value in read(path).items()}

    def changed(key: str, change: Change | None) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            others = {each: value for each, value in arrays.items() if each != key}
            own = {} if change is None else {key: change(arrays[key])}
            write(folder / name, {**others, **own})

        return make

    for key, values in arrays.items():
        yield f"{name} {key} missing", changed(key, None)
        for told, change in changes_of(values).items():
            if name.suffix == ".npz" or told not in ("complex", "the other end first"):
                yield f"{name} {key} {told}", changed(key, change)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    np.savez(path, **dict(arrays))  # type: ignore[arg-type]


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    save_file({name: np.ascontiguousarray(each) for name, each in arrays.items()}, path)


ODD_VALUES = (None, "x", -1, [[[]]], {"a": {"b": 1}}, True, 1e300, 10**400, "\ud800")


def json_cases(path: Path, name: Path) -> Iterator[Case]:
    told = json.loads(path.read_text())

    def changed(own: Any) -> Callable[[Path], None]:
        return lambda folder: (folder / name).write_text(json.dumps(own))  # type: ignore[func-returns-value, return-value]

    for key in told:
        yield f"{name} {key} missing", changed({k: v for k, v in told.items() if k != key})
        for value in ODD_VALUES:
            if value != told[key] or type(value) is not type(told[key]):
                yield f"{name} {key} = {str(value)[:20]!a}", changed({**told, key: value})
    yield f"{name} more", changed({**told, "more": 1})
    yield f"{name} list", changed([told])


def table_cases(path: Path, name: Path) -> Iterator[Case]:
    table = pl.read_parquet(path)
    first = table.columns[0]
    others = {
        "renamed": table.rename({first: "other"}),
        "cut": table.head(-1),
        "empty": table.clear(),
        "longer": pl.concat([table, table]),
        "one value": table.with_columns(table[first].gather([0] * len(table))),
        "nulls": table.with_columns(pl.lit(None).alias(first)),
        "floats": table.with_columns(pl.lit(1.5).alias(first)),
        "bytes": table.with_columns(table[first].cast(pl.String).cast(pl.Binary)),
        "lists": table.with_columns(pl.concat_list(pl.lit([[1]]), pl.lit([[2]])).alias(first)),
        "a column more": table.with_columns(pl.lit(1).alias("more")),
        "turned over": table.reverse() if name.name != "users.parquet" else table.clear(),
    }
    for told, own in others.items():
        yield f"{name} {told}", lambda folder, own=own: own.write_parquet(folder / name)  # type: ignore[misc]


def file_cases(path: Path, name: Path) -> Iterator[Case]:
    content = path.read_bytes()
    rng = np.random.default_rng(len(content))

    def written(own: bytes) -> Callable[[Path], None]:
        return lambda folder: (folder / name).write_bytes(own)  # type: ignore[return-value]

    yield f"{name} emptied", written(b"")
    yield f"{name} half", written(content[: len(content) // 2])
    yield f"{name} as noise", written(rng.bytes(len(content)))
    for place in rng.integers(0, min(len(content), 400), 4):  # where headers are
        flipped = bytearray(content)
        flipped[place] ^= 0x5A
        yield f"{name} byte {place}", written(bytes(flipped))
    ends = 0 if name.suffix == ".safetensors" else 4  # its numbers have no checksum of their own
    for place in rng.integers(max(0, len(content) - 400), len(content), ends):
        flipped = bytearray(content)
        flipped[place] ^= 0x5A
        yield f"{name} byte {place}", written(bytes(flipped))


def cases(engine: Path) -> Iterator[Case]:
    for path in sorted(path for path in engine.rglob("*") if path.is_file()):
        name = path.relative_to(engine)
        if name == Path("manifest.json"):
            continue
        if name.suffix == ".npz":
            yield from array_cases(path, name, np.load, write_npz)
        elif name.suffix == ".safetensors":
            yield from array_cases(path, name, load_file, write_tensors)
        elif name.suffix == ".json":
            yield from json_cases(path, name)
        elif name.suffix == ".parquet":
            yield from table_cases(path, name)
        yield from file_cases(path, name)


def agreeing(folder: Path, name: str) -> None:
    """Write the manifest that an attacker would: with the hash of the changed file."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = artifact._hash(folder / name)
    manifest.pop("sha256")
    manifest["sha256"] = artifact._digest(manifest)
    (folder / "manifest.json").write_bytes(artifact._text(manifest))


def asked(engine: Engine) -> list[list[Any]]:
    """What an engine answers, of every kind of request."""
    users = engine.users.head(4).to_list()
    tables = [
        engine.recommend([*users, "nobody"], k=4),
        engine.recommend(sessions={"v": engine.items.head(3).to_list(), "w": []}, k=3),
        engine.similar_items(engine.items.head(4).to_list(), k=3),
    ]
    shown = [table.select(pl.exclude("score")).to_dict(as_series=False) for table in tables]
    return json.loads(json.dumps(shown))  # type: ignore[no-any-return]


def outcome(folder: Path, expected: list[list[Any]]) -> str:
    signal.alarm(SECONDS)
    try:
        found = asked(Engine.load(folder))
    except ArtifactError as error:
        return "refused" if str(folder.name) in str(error) else f"NAMELESS {error}"
    except BaseException as error:
        return f"RAW {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return "equal" if found == expected else "other"


def main(engine: Path, folder: Path) -> None:
    def late(*_: object) -> None:
        raise TimeoutError(f"{SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    expected = asked(Engine.load(engine))
    shutil.copytree(engine, folder)
    share, of = int(os.environ.get("SHARE", "0")), int(os.environ.get("OF", "1"))
    for number, (case, change) in enumerate(cases(engine)):
        if number % of != share:
            continue
        name = case.split()[0]
        print("began", case, flush=True)
        change(folder)
        agreeing(folder, name)
        print(outcome(folder, expected), "|", case, flush=True)
        shutil.copyfile(engine / name, folder / name)
        shutil.copyfile(engine / "manifest.json", folder / "manifest.json")
    print("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
