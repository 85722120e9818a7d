"""What a command will write is tried before its work, and takes nothing that is not its own."""

import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from recsys.artifact import check_folder
from recsys.cli import main
from recsys.engine import Engine
from recsys.exits import Exit
from recsys.export import KIND, export
from recsys.features.errors import ArtifactError, OutputError
from recsys.manifest_file import JSON

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; returns its exit code and the one line of standard error, or all of it."""

    def command(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(each) for each in arguments])
        return int(exit_.value.code or 0), capsys.readouterr().err.strip()

    return command


@pytest.fixture
def shop(shop_folder: Path) -> list[object]:
    return [shop_folder / "shop.toml", "--data-dir", shop_folder]


def alone(*arguments: object, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs a command in a process of its own."""
    code = "from recsys.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **how.pop("env", {})}
    return subprocess.run(command, check=False, env=env, **how)


BAD = ["/nowhere/at/all", "/proc/x", "x" * 300, "log.csv/x", "."]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("flag", ["--json", "--quarantine", "--out", "--runs"])
def test_no_path_is_found_out_about_after_the_work(
    run: Any, shop: list[object], flag: str, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if flag in ("--out", "--runs") and bad == "/nowhere/at/all":
        bad = "/proc/at/all"  # folders above it are made
    if (flag, bad) == ("--runs", "."):
        bad = "/dev/null"
    Path("log.csv").write_text("")
    monkeypatch.setattr(Engine, "read", None)  # nothing may be read
    given = {"--out": "engine", flag: bad}
    code, said = run("fit", *shop, *(each for pair in given.items() for each in pair))
    assert code == Exit.OUTPUT
    assert said.startswith("recsys: ")
    assert len(said.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["log.csv"]


def test_the_checkpoint_is_tried_too(run: Any, shop: list[object], tmp_path: Path) -> None:
    text = Path(str(shop[0])).read_text()
    Path("kept.toml").write_text(text.replace("[ranker]", '[ranker]\ncheckpoint = "/proc/c"'))
    code, said = run("fit", "kept.toml", *shop[1:], "--out", "engine")
    assert (code, "ranker.checkpoint /proc/c: no file can be" in said) == (Exit.OUTPUT, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--json", "engine/fit.json"], "would lie in the folder engine"),
        (["--runs", "engine/runs"], "would lie in the folder engine"),
        (["--quarantine", "engine/bad.parquet"], "would lie in the folder engine"),
        (["--json", "same", "--quarantine", "same"], "name another file"),
        (["--json", "{log}"], "what this command reads"),
        (["--quarantine", "{log}"], "what this command reads"),
        (["--json", "{config}"], "what this command reads"),
    ],
)
def test_a_command_does_not_write_over_its_own_things(
    run: Any, shop: list[object], shop_folder: Path, given: list[str], said: str
) -> None:
    names = {"log": shop_folder / "events.parquet", "config": shop_folder / "shop.toml"}
    before = names["log"].read_bytes()
    Path("engine").mkdir()  # an empty folder may be taken
    told = [each.format(**names) for each in given]
    code, message = run("fit", *shop, "--out", "engine", *told)
    assert (code, said in message) == (Exit.USAGE, True)
    assert names["log"].read_bytes() == before


def test_an_engine_that_is_asked_stays_as_it_is(run: Any, engine_folder: Path) -> None:
    given = ["recommend", engine_folder, "--users", "u00000", "--json", engine_folder / "x.json"]
    assert run(*given)[0] == Exit.USAGE
    code, said = run("export", engine_folder, engine_folder / "lists")
    assert (code, "would lie in the folder" in said) == (Exit.USAGE, True)
    Engine.load(engine_folder)


def test_a_report_does_not_take_the_place_of_its_evaluation(run: Any) -> None:
    Path("eval.json").write_text('{"systems": {}}')
    for given in (["--out", "eval.json"], ["--json", "eval.json"]):
        code, said = run("report", "eval.json", *given)
        assert (code, "what this command reads" in said) == (Exit.USAGE, True)
    assert run("report", "eval.json", "--out", "/proc/x")[0] == Exit.OUTPUT
    assert run("report", "eval.json", "--out", "/dev/null")[0] == Exit.OK
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)


def test_a_demo_keeps_its_shop_beside_nothing_of_others(run: Any) -> None:
    Path("mine").mkdir()
    Path("mine/events.parquet").write_text("my own log")
    code, said = run("demo", "--keep", "mine", "--users", 50, "--items", 20)
    assert (code, "is of no demo" in said) == (Exit.USAGE, True)
    assert Path("mine/events.parquet").read_text() == "my own log"
    assert run("demo", "--keep", "/proc/x", "--users", 50, "--items", 20)[0] == Exit.OUTPUT


def test_a_users_file_stays_as_it_is(run: Any, engine_folder: Path) -> None:
    Path("users").write_text("u00000\n")
    given = ["recommend", engine_folder, "--users-file", "users", "--json", "users"]
    assert run(*given)[0] == Exit.USAGE
    assert Path("users").read_text() == "u00000\n"


def test_json_is_there_whatever_becomes_of_the_words(engine_folder: Path) -> None:
    given = ["recommend", engine_folder, "--users", "u00000", "-k", 2]
    with open("/dev/full", "wb") as full:
        lost = alone(*given, "--json", "out.json", stdout=full)
    assert lost.returncode == Exit.OUTPUT
    assert lost.stderr.count(b"\n") == 1
    assert b"Traceback" not in lost.stderr
    assert len(json.loads(Path("out.json").read_text())["lists"][0]["items"]) == 2

    read, write = os.pipe()
    os.close(read)
    left = alone(*given, "--json", "piped.json", stdout=write)
    assert (left.returncode, left.stderr) == (Exit.OK, b"")
    assert Path("piped.json").exists()
    gone = alone(*given, "--json", "-", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (gone.returncode, b"Traceback" in gone.stderr) == (Exit.PIPE, False)


def test_json_goes_to_standard_output_under_any_of_its_names(engine_folder: Path) -> None:
    given = ["recommend", engine_folder, "--users", "u00000", "-k", 2, "--json"]
    plain, named = (alone(*given, name) for name in ("-", "/dev/stdout"))
    assert plain.stdout == named.stdout
    assert json.loads(plain.stdout)["k"] == 2


def test_output_that_is_no_utf8_loses_characters_and_nothing_else(
    engine_folder: Path, tmp_path: Path
) -> None:
    given = ["recommend", engine_folder, "--users", "Jürgen☕", "-k", 2]
    ran = alone(*given, "--json", "out.json", env={"PYTHONIOENCODING": "ascii"})
    assert (ran.returncode, ran.stderr) == (Exit.OK, b"")
    assert b"J?rgen?" in ran.stdout
    assert json.loads(Path("out.json").read_text())["lists"][0]["user_id"] == "Jürgen☕"


def test_an_error_sends_no_terminal_codes(run: Any, engine_folder: Path) -> None:
    code, said = run("recommend", engine_folder, "--users", "u", "--where", "\x1b[2J\n = 1")
    assert code == Exit.DATA
    assert "\x1b" not in said
    assert len(said.splitlines()) == 1


def test_a_folder_with_files_of_others_is_not_replaced(engine: Engine) -> None:
    for write in (engine.save, lambda folder: export(engine, folder, k=1)):
        target = Path("target")
        write(target)
        write(target)
        for name in ("notes.txt", "sub/notes.txt", ".hidden"):
            other = target / name
            other.parent.mkdir(exist_ok=True)
            other.write_text("keep")
            with pytest.raises(
                ArtifactError, match=f"holds what its manifest does not name: {name}"
            ):
                write(target)
            assert other.read_text() == "keep"
            other.unlink()
        (target / "link").symlink_to("/")
        with pytest.raises(ArtifactError, match="link"):
            write(target)
        (target / "link").unlink()
        (target / "sub").rmdir()
        write(target)
        assert [path.name for path in Path().iterdir()] == ["target"]
        for path in sorted(target.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()  # an empty folder may be taken
    Path("file").write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        engine.save("file")


def test_files_that_come_while_a_folder_is_replaced_are_kept(engine: Engine) -> None:
    export(engine, "lists", k=1)

    def late(step: str, share: float) -> None:
        Path("lists/late.txt").write_text("keep")

    export(engine, "lists", k=2, progress=late)
    (kept,) = Path().glob("lists.old-*/late.txt")
    assert kept.read_text() == "keep"
    assert check_folder(Path("lists"), KIND)["k"] == 2


def test_a_link_to_a_folder_stays_one(engine: Engine) -> None:
    engine.save("v1")
    Path("current").symlink_to("v1")
    Path("v1/engine.json").touch()
    before = os.stat("v1/manifest.json").st_ino
    engine.save("current")
    assert Path("current").is_symlink()
    assert os.stat("v1/manifest.json").st_ino != before
    assert sorted(path.name for path in Path().iterdir()) == ["current", "v1"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_all_files_of_an_engine_have_the_mode_of_the_umask(engine: Engine, mask: int) -> None:
    old = os.umask(mask)
    try:
        engine.save("saved")
    finally:
        os.umask(old)
    modes = {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
        for path in [Path("saved"), *Path("saved").rglob("*")]
    }
    assert modes == {(True, 0o777 & ~mask), (False, 0o666 & ~mask)}


def test_a_full_disk_leaves_what_stood_there(engine: Engine) -> None:
    export(engine, "lists", k=1)
    engine.save("saved")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        for write in (engine.save, lambda folder: export(engine, folder, k=9)):
            with pytest.raises(OutputError, match="cannot be written: File too large"):
                write("saved" if write == engine.save else "lists")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_an_export_is_one_table_to_every_reader(engine: Engine) -> None:
    export(engine, "lists", k=3, block=40)
    rows = len(engine.recommend(engine.users, k=3))
    assert len(pl.read_parquet("lists")) == rows
    assert len(pl.scan_parquet("lists/").collect()) == rows
    assert len(pd.read_parquet("lists")) == rows
    assert ds.dataset("lists", format="parquet").count_rows() == rows
    assert pq.read_table("lists").num_rows == rows
    assert len(duckdb.sql("select * from 'lists/*.parquet'").fetchall()) == rows


def test_every_part_of_an_export_says_when_it_was_made_and_of_what(
    engine: Engine, engine_folder: Path
) -> None:
    export(engine, "lists", k=3, block=100)
    about = check_folder(Path("lists"), KIND)
    saved = json.loads((engine_folder / JSON).read_text())
    assert about["engine_sha256"] == engine.digest() == saved["sha256"]
    for part in ("part-00000.parquet", "part-00001.parquet"):
        told = pl.read_parquet_metadata(Path("lists", part))
        for name in ("engine", "engine_sha256", "created", "version", "k"):
            assert told[f"recsys.{name}"] == str(about[name])


def test_an_engine_has_one_digest_however_it_came(engine: Engine) -> None:
    engine.save("saved")
    other = Engine.load("saved")
    assert other.digest() == engine.digest()
    other._digest = (None, "")  # as if it were fitted and never saved
    assert other.digest() == engine.digest()


def test_an_export_of_the_format_before_is_replaced(engine: Engine) -> None:
    export(engine, "lists", k=1)
    said = pl.read_parquet_metadata("lists/_manifest.parquet")["recsys.manifest"]
    Path("lists/_manifest.parquet").unlink()
    Path("lists/manifest.json").write_text(said)
    assert check_folder(Path("lists"), KIND)["k"] == 1
    export(engine, "lists", k=2)
    assert not Path("lists/manifest.json").exists()
    assert check_folder(Path("lists"), KIND)["k"] == 2


def test_a_folder_may_have_any_name_that_is_text(engine: Engine) -> None:
    for name in ("with [1]*?", "two\nlines \x1b[31m", "date=2024-01-01", "ä" * 100):
        engine.save(name)
        assert Engine.load(name).digest() == engine.digest()
        for _ in range(2):  # the second takes the place of the first
            export(engine, f"lists {name}"[:60], k=2)


@pytest.mark.parametrize("name", [os.fsdecode(b"x\xff"), "\ud800", "a\0b", "x" * 5_000])
def test_a_name_that_is_no_text_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(OutputError):
        engine.save(name)
    with pytest.raises(OutputError):
        export(engine, name, k=2)
    with pytest.raises(ArtifactError):
        Engine.load(name)


def test_links_in_a_circle_are_no_engine() -> None:
    Path("circle").symlink_to("circle")
    with pytest.raises(ArtifactError, match="circle"):
        Engine.load("circle")
