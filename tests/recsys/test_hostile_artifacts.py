"""An engine whose manifest agrees with content that lies is refused, or answers as it did."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from recsys.artifact import read_folder, write_folder
from recsys.engine import Engine
from recsys.features.errors import ArtifactError
from recsys.features.stored import read_text
from tests.recsys.hostile import asked
from tests.shops import fitted_engine, quick_settings, small_shop

ROOT = Path(__file__).parents[2]

SOURCES = {
    "next": {"depth": 20},
    "als": {"depth": 5, "factors": 8, "iterations": 2},
    "content": {"depth": 5},
    "popular": {"depth": 5},
    "season": {"kind": "popular", "depth": 5, "by": "weekday"},
    "again": {"kind": "again", "depth": 5, "use": True},
    "bpr": {"kind": "bpr", "depth": 5, "factors": 4, "iterations": 3},
    "graph": {"kind": "graph-filter", "depth": 5, "factors": 4, "use": True},
    "sequence": {
        "kind": "sequence", "depth": 5, "use": True, "width": 8, "layers": 1, "heads": 2,
        "members": 2, "history": 6, "epochs": 1,
    },
    "trending": {"kind": "trending", "depth": 5, "use": True, "by": "category"},
    **{name: {"use": False} for name in ("wide", "near", "tagged", "before", "follow")},
}  # fmt: skip
"""A source of each file format: `next` stands for all that link items, `bpr` for LightFM too."""

OTHERWISE = (
    "catalog/columns.parquet",
    "log/events.npz times negative",
    "ranker/ranker.json served by",
)
"""What may say something else of items, times and the ranker without being damaged."""

SHARE = 8  # of the cases one is tried; CASES=1 tries all of them


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved engine with all kinds of files."""
    settings = quick_settings(
        sources=SOURCES,
        ranker={"hidden": (8,), "epochs": 2, "compression": "int8", "most_loss": 1.0},
        training={"least_positives": 20, "moments": 1},
    )
    shop = small_shop()
    folder = tmp_path_factory.mktemp("hostile") / "engine"
    Engine(settings).fit(shop.events, shop.items).save(folder)
    return folder


def test_every_file_of_an_engine_changed_in_every_way(everything: Path, tmp_path: Path) -> None:
    """In a process of its own: kernels that are told rows out of range end the process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OF": os.environ.get("CASES", str(SHARE))}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.recsys.hostile", str(everything), str(tmp_path / "changed")],
        env=env, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    lines = ran.stdout.splitlines()
    assert lines[-1:] == ["done"], (lines[-1:], ran.stderr[-2000:])
    ended = [line.split(" | ") for line in lines if " | " in line]
    odd = [
        line
        for line in ended
        if line[0] not in ("refused", "equal")
        and not (line[0] == "other" and line[1].startswith(OTHERWISE))
    ]
    assert not odd
    assert sum(line[0] == "refused" for line in ended) > len(ended) / 2 > 50


def replaced_for_ever(target: Path, stop: threading.Event) -> None:
    for number in range(10_000):
        if stop.is_set():
            return

        def fill(draft: Path, number: int = number) -> dict[str, int]:
            for name in ("a", "b", "c"):
                (draft / name).write_text(str(number) * 10_000)
            return {"number": number}

        write_folder(target, "thing", fill, {})


def test_what_is_replaced_all_the_time_is_read_whole(tmp_path: Path) -> None:
    target, stop = tmp_path / "target", threading.Event()
    write_folder(target, "thing", lambda draft: {"number": 0}, {})
    writer = threading.Thread(target=replaced_for_ever, args=(target, stop))
    writer.start()
    try:
        seen: set[int] = set()
        until = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < until:
            number, texts = read_folder(
                target,
                "thing",
                lambda folder, manifest: (
                    manifest["number"],
                    {read_text(folder / name).decode() for name in manifest["files"]},
                ),
            )
            assert texts <= {str(number) * 10_000}
            seen.add(number)
        assert len(seen) == 5
    finally:
        stop.set()
        writer.join()


BLOCK = {"kind": "block", "where": "price > 20"}

WRITES = """
import sys
from pathlib import Path
from recsys.engine import Engine
engines = [Engine.load(folder) for folder in sys.argv[2:]]
print("begun", flush=True)
while True:
    for engine in engines:
        engine.save(sys.argv[1])
"""


def test_an_engine_that_another_process_replaces_is_loaded_whole(tmp_path: Path) -> None:
    """An old or a new one, each time, and no alarm."""
    engines = [fitted_engine(0), fitted_engine(0).with_final({"rules": [BLOCK]})]
    expected = [asked(engine) for engine in engines]
    assert expected[0] != expected[1]
    for number, engine in enumerate(engines):
        engine.save(tmp_path / str(number))
    engines[0].save(tmp_path / "current")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES, *(str(tmp_path / name) for name in ("current", "0", "1"))],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        found = [asked(Engine.load(tmp_path / "current")) for _ in range(6)]
    finally:
        writer.kill()
        writer.wait()
        if writer.stdout is not None:
            writer.stdout.close()
    assert all(each in expected for each in found)


def test_a_file_that_is_written_to_while_it_is_read_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", "thing", lambda draft: (draft / "a").write_text("x") and {}, {})

    def read(folder: Path, manifest: object) -> None:
        (folder / "a").write_text("longer")

    with pytest.raises(ArtifactError, match="a was written to while it was read"):
        read_folder(tmp_path / "one", "thing", read)


@pytest.mark.parametrize("name", ["manifest.json", "engine.json", "log", "log/events.npz", "more"])
def test_links_and_pipes_are_refused_before_they_are_opened(
    everything: Path, tmp_path: Path, name: str
) -> None:
    """A pipe would never end, and a link may lead anywhere."""
    copy = tmp_path / "copy"
    shutil.copytree(everything, copy)
    if (copy / name).exists():
        shutil.move(copy / name, tmp_path / "outside")
    else:
        (tmp_path / "outside").write_text("x")
    (copy / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match=rf"{name} is a link"):
        Engine.load(copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(ArtifactError, match=rf"{name} is a pipe"):
        Engine.load(copy)


def test_a_link_to_the_folder_is_followed(everything: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(everything)
    assert len(Engine.load(tmp_path / "current").users) == 200
