"""The command `recsys`: what it prints, what it writes, how it exits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from recsys import __version__
from recsys.cli import main
from recsys.exits import EXITS, Exit, exit_code
from recsys.features.errors import (
    ArtifactError,
    DataError,
    MissingDependency,
    OutputError,
    RecsysError,
    SettingsError,
    TrainingError,
)
from recsys.flags import Flags, settings_of

ROOT = Path(__file__).parents[2]
HEAVY = {"faiss", "implicit", "numba", "polars", "torch", "transformers"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are kept in the folder that a command stands in."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command in this process."""

    def command(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(each) for each in arguments])
        return Ran(int(exit_.value.code or 0), *capsys.readouterr())

    return command


def alone(*arguments: object) -> Ran:
    """Runs a command in a process of its own, as a shell would."""
    code = "from recsys.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def flags(folder: Path) -> list[object]:
    """The tiny shop from flags alone."""
    tables = ["--interactions", "events.parquet", "--items", "items.parquet", "--data-dir", folder]
    return [*tables, "--time", "time", "--event", "event", "--category", "category"]


def test_version(run: Any) -> None:
    assert run("--version") == (Exit.OK, f"recsys {__version__}\n", "")


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, recsys.cli; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY.intersection(loaded) == set()


def test_a_wrong_column_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id\na,1\n")
    config = tmp_path / "shop.toml"
    config.write_text(f"interactions = {{ path = '{tmp_path / 'log.csv'}', item = 'sku' }}")
    code = (
        "import sys; from recsys.cli import main\n"
        f"try: main(['evaluate', {str(config)!r}])\n"
        "except SystemExit as end: print(end.code, *sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    said, *loaded = done.stdout.split()
    assert int(said) == Exit.DATA
    assert "lacks the columns ['sku']" in done.stderr
    assert not {"torch", "numba", "scipy", "recsys.engine"}.intersection(loaded)


def test_help_tells_every_exit_code(run: Any) -> None:
    said = run("--help").out
    assert all(f"{code.value}  {words[:20]}" in said for code, (_, words) in EXITS.items())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError, 2),
        (DataError, 3),
        (ArtifactError, 4),
        (MissingDependency, 5),
        (TrainingError, 6),
        (OutputError, 7),
        (RecsysError, 1),
    ],
)
def test_each_error_has_its_exit_code(error: type[RecsysError], code: int) -> None:
    assert exit_code(error("said")) == code


def test_fit_recommend_similar_export(run: Any, shop_folder: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    fitted = run(
        "fit", shop_folder / "shop.toml", "--data-dir", shop_folder, "--out", engine, "--json", "-"
    )
    assert fitted.code == Exit.OK
    assert fitted.json["name"] == "tiny"
    assert fitted.json["users"] == 150
    assert "150 users" in fitted.err

    lists = run("recommend", engine, "--users", "u00000,nobody", "-k", 3, "--json", "-").json
    assert [each["user_id"] for each in lists["lists"]] == ["u00000", "nobody"]
    assert [item["rank"] for item in lists["lists"][0]["items"]] == [1, 2, 3]
    assert lists["lists"][0]["note"] is None
    assert lists["lists"][1]["note"] == "unknown user: popular items"

    item = lists["lists"][0]["items"][0]["item_id"]
    where = f"item_id <> '{item}' AND price > 0"
    other = run("recommend", engine, "--users", "u00000", "--where", where, "--json", "-").json
    assert item not in {each["item_id"] for each in other["lists"][0]["items"]}
    wrong = run("recommend", engine, "--users", "u00000", "--where", "prise > 0")
    assert wrong.code == Exit.DATA
    assert "it can read: available, category, item_id, price" in wrong.err

    found = run("similar", engine, item, "-k", 2, "--json", "-").json
    assert [row["rank"] for row in found["similar"]] == [1, 2]
    assert item not in {row["similar_id"] for row in found["similar"]}

    (tmp_path / "users.txt").write_text("u00000\nu00001\n\n")
    exported = run(
        "export", engine, tmp_path / "lists", "--users-file", tmp_path / "users.txt", "-k", 2
    )
    assert exported.code == Exit.OK
    assert "4 rows for 2 users in 1 file: " in exported.out
    assert len(pl.read_parquet(tmp_path / "lists" / "part-00000.parquet")) == 4

    (tmp_path / "users.txt").write_text("\n")
    emptied = run("export", engine, tmp_path / "lists", "--users-file", tmp_path / "users.txt")
    assert (emptied.code, "holds no user; nothing was written" in emptied.err) == (Exit.DATA, True)
    assert len(pl.read_parquet(tmp_path / "lists" / "part-00000.parquet")) == 4


def test_recommend_with_probabilities_by_value(run: Any, engine_folder: Path) -> None:
    given = ["recommend", engine_folder, "--users", "u00000", "-k", 2, "--probabilities"]
    items = run(*given, "--by-value", "price", "--json", "-").json["lists"][0]["items"]
    names = [name for name in items[0] if name.startswith("p_")]
    assert "p_view" in names
    assert all(0 < item[name] < 1 for item in items for name in names)
    assert "p_view" in run(*given).out


def test_recommend_prints_titles_and_reasons(run: Any, engine_folder: Path) -> None:
    ran = run("recommend", engine_folder, "--users", "u00000", "-k", 2)
    assert ran.code == Exit.OK
    assert "u00000" in ran.out
    assert "reason" in ran.out
    assert ran.err == ""


def test_explain_tells_sources_events_and_features(run: Any, engine_folder: Path) -> None:
    told = run("explain", "u00000", "--model", engine_folder, "-k", 2, "--json", "-")
    assert told.code == Exit.OK
    lists = run("recommend", engine_folder, "--users", "u00000", "-k", 2, "--json", "-").json
    items = lists["lists"][0]["items"]
    assert [each["item_id"] for each in told.json["items"]] == [each["item_id"] for each in items]
    assert "u00000" in told.err
    assert "mean candidate" in told.err
    assert told.json["items"][0]["words"] in " ".join(told.err.split())
    assert max(map(len, told.err.splitlines())) <= 120
    assert " other event" in told.err

    asked = ["--items", items[1]["item_id"], "--model", engine_folder]
    session = run("explain", "--session", items[0]["item_id"], *asked)
    assert (session.code, items[1]["title"] in session.out) == (Exit.OK, True)
    for wrong in ([], ["u00000", "--session", "i1"]):
        ran = run("explain", *wrong, "--model", engine_folder)
        assert (ran.code, "give one of USER and --session" in ran.err) == (Exit.USAGE, True)


def test_sessions_are_told_apart(run: Any, engine_folder: Path, engine: Any) -> None:
    one, other = engine.items[:2]
    ran = run(
        "recommend", engine_folder, "--session", one, "--session", f"{one},{other}", "--json", "-"
    )
    assert [each["user_id"] for each in ran.json["lists"]] == ["session 1", "session 2"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_since_a_file_of_events(run: Any, engine_folder: Path, engine: Any, ending: str) -> None:
    before = run("recommend", engine_folder, "--users", "u00000", "-k", 2, "--json", "-")
    first = before.json["lists"][0]["items"][0]["item_id"]
    events = pl.DataFrame(
        {"user_id": ["u00000"], "item_id": [first], "event": ["purchase"], "time": ["2026-09-01"]}
    )
    path = Path(f"since.{ending}")
    events.write_csv(path) if ending == "csv" else events.write_parquet(path)
    given = ["-k", 5, "--since", path, "--json", "-"]
    lists = run("recommend", engine_folder, "--users", "u00000", *given)
    items = [each["item_id"] for each in lists.json["lists"][0]["items"]]
    assert items == engine.recommend(["u00000"], since=events, k=5)["item_id"].to_list()
    assert first not in items
    told = run("explain", "u00000", "--model", engine_folder, *given)
    assert [each["item_id"] for each in told.json["items"]] == items
    other = run("recommend", engine_folder, "--session", first, "--since", path)
    assert other.code == Exit.DATA
    assert "give it with users" in other.err
    missing = run("recommend", engine_folder, "--users", "u00000", "--since", "none.csv")
    assert missing.code == Exit.DATA


@pytest.mark.parametrize("given", [[], ["--users", "u1", "--session", "i1"]])
def test_recommend_wants_one_kind_of_asker(run: Any, engine_folder: Path, given: list[str]) -> None:
    ran = run("recommend", engine_folder, *given)
    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert "give one of --users, --users-file and --session" in ran.err


def test_integer_ids_are_read_from_text(run: Any, tmp_path: Path) -> None:
    user, item = [n // 6 for n in range(240)], [n * 7 % 12 for n in range(240)]
    log = pl.DataFrame({"user_id": user, "item_id": item, "order": range(240)})
    log.write_csv(tmp_path / "log.csv")
    fitted = run(
        "fit", "--interactions", tmp_path / "log.csv", "--order", "order", "--out", tmp_path / "e"
    )
    assert fitted.code == Exit.OK
    ran = run("recommend", tmp_path / "e", "--users", "7,999", "-k", 2, "--json", "-")
    assert [each["user_id"] for each in ran.json["lists"]] == [7, 999]
    assert all(isinstance(i["item_id"], int) for i in ran.json["lists"][0]["items"])
    wrong = run("recommend", tmp_path / "e", "--users", "seven")
    assert wrong.code == Exit.DATA
    assert wrong.err == "recsys: user ids of this engine are integers; got 'seven'\n"
    session = run("recommend", tmp_path / "e", "--session", "3,4", "-k", 1, "--json", "-")
    assert session.code == Exit.OK


def test_evaluate_from_a_file_and_from_flags(run: Any, shop_folder: Path) -> None:
    config = ["evaluate", shop_folder / "shop.toml", "--data-dir", shop_folder, "--json", "-"]
    ran = run(*config)
    assert ran.code == Exit.OK
    result = ran.json
    assert set(result) >= {"data", "protocol", "users", "systems"}
    assert result["data"] == "tiny"
    assert result["protocol"]["name"] == "time"
    assert {"two-stage", "fused", "als", "popular"} <= set(result["systems"])
    assert {"ndcg@10", "hr@10", "recall@10", "coverage@10"} <= set(result["systems"]["als"])
    assert "Recall@10" in ran.err
    assert "users without a past" in ran.err

    ran = run("evaluate", *flags(shop_folder), "--protocol", "last-item", "--k", 5, "--json", "-")
    assert ran.code == Exit.OK, ran.err
    assert ran.json["data"] == "events"
    assert ran.json["protocol"]["name"] == "last-item"
    assert "ndcg@5" in ran.json["systems"]["fused"]


def test_a_protocol_of_a_flag_sets_aside_what_the_file_says_of_another(
    shop_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "dated.toml"
    said = 'protocol = "time"\ndate = "2024-01-01"\nk = 5'
    file.write_text((shop_folder / "shop.toml").read_text().replace('protocol = "time"', said))
    settings = settings_of(Flags(config=file), protocol="last-item")
    assert (settings.evaluation.date, settings.evaluation.k) == (None, 5)
    assert settings_of(Flags(config=file), protocol="time").evaluation.date == "2024-01-01"


def test_evaluate_of_several_seeds_shows_means(run: Any, shop_folder: Path, tmp_path: Path) -> None:
    config = ["evaluate", shop_folder / "shop.toml", "--data-dir", shop_folder]
    ran = run(*config, "--seeds", "0,1", "--json", tmp_path / "runs.json")
    assert ran.code == Exit.OK
    assert "Recall" not in ran.err
    result = json.loads((tmp_path / "runs.json").read_text())
    assert result["protocol"]["seed"] == [0, 1]
    assert [each["protocol"]["seed"] for each in result["runs"]] == [0, 1]
    each = [run["systems"]["als"]["ndcg@10"] for run in result["runs"]]
    assert result["systems"]["als"]["ndcg@10"] == pytest.approx(sum(each) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--seeds", "0,one"], "--seeds must be whole numbers"),
        (["--seeds", "1,1"], "seeds must differ"),
        (["--seeds", ","], "--seeds must be whole numbers"),
        (["--protocol", "last-item", "--date", "2010-11-01"], "does not use evaluation.date"),
        (["--seed", "-1"], "setting 'seed'"),
        (["--share", "2"], "setting 'evaluation.share'"),
    ],
)
def test_wrong_flags(run: Any, shop_folder: Path, given: list[str], message: str) -> None:
    ran = run("evaluate", shop_folder / "shop.toml", "--data-dir", shop_folder, *given)
    assert ran.code == Exit.USAGE
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_misspelt_key_names_the_nearest(run: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[interactions]\npath = "x.csv"\nusr = "user"\n')
    ran = run("fit", tmp_path / "bad.toml", "--out", tmp_path / "engine")
    assert ran.code == Exit.USAGE
    assert ran.err == (
        f"recsys: {tmp_path / 'bad.toml'}: unknown setting 'interactions.usr'; "
        "did you mean 'user'?\n"
    )


def test_an_unknown_flag_is_a_usage_error(run: Any) -> None:
    assert run("fit", "--no-such-flag").code == Exit.USAGE


def test_a_command_that_learns_wants_a_log(run: Any, tmp_path: Path) -> None:
    ran = run("fit", "--user", "u", "--out", tmp_path / "engine")
    assert (ran.code, ran.err) == (
        Exit.USAGE,
        "recsys: name the log: give a CONFIG or --interactions PATH\n",
    )


def test_columns_of_a_catalogue_want_a_catalogue(run: Any, tmp_path: Path) -> None:
    ran = run("evaluate", "--interactions", "x.csv", "--text", "title", "--price", "price")
    assert ran.code == Exit.USAGE
    assert "--text, --price: of which table? Give --items PATH" in ran.err


def test_a_missing_file_is_an_error_of_data(run: Any, tmp_path: Path) -> None:
    ran = run("evaluate", "--interactions", tmp_path / "no.csv")
    assert ran.code == Exit.DATA
    assert ran.err == f"recsys: no file of the log matches {tmp_path / 'no.csv'}\n"


def test_strict_raises_and_quarantine_keeps(run: Any, shop_folder: Path, tmp_path: Path) -> None:
    events = pl.read_parquet(shop_folder / "events.parquet")
    nameless = events.head(1).with_columns(user_id=pl.lit(None, pl.String))
    pl.concat([events, nameless]).write_parquet(tmp_path / "events.parquet")
    log = ["--interactions", tmp_path / "events.parquet", "--time", "time"]
    rejected = tmp_path / "rejected.parquet"
    ran = run("evaluate", *log, "--strict", "--quarantine", rejected)
    assert ran.code == Exit.DATA
    assert "1 null user id" in ran.err
    assert "null user id" in pl.read_parquet(rejected)["reason"].to_list()


def test_a_flipped_byte_is_an_error_of_the_artifact(run: Any, engine: Any, tmp_path: Path) -> None:
    engine.save(tmp_path / "engine")
    file = tmp_path / "engine" / "engine.json"
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    ran = run("recommend", tmp_path / "engine", "--users", "u00000")
    assert ran.code == Exit.ARTIFACT
    assert "engine.json has been changed" in ran.err


def test_fit_does_not_write_over_other_things(run: Any, shop_folder: Path) -> None:
    ran = run("fit", shop_folder / "shop.toml", "--data-dir", shop_folder, "--out", shop_folder)
    assert ran.code == Exit.ARTIFACT
    assert "is not an artifact; nothing was written" in ran.err


def test_doctor(run: Any) -> None:
    ran = run("doctor", "--json", "-")
    assert ran.code == Exit.OK
    assert ran.json["can_fit"] is True
    assert {"name", "found", "state", "mend"} == set(ran.json["checks"][0])
    assert "fit can run" in ran.err


def test_a_small_demo(run: Any, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    ran = run("demo", "--users", 150, "--items", 60, "--keep", shop, "--json", "-")
    assert ran.code == Exit.OK
    assert len(ran.json["customers"]) == 3
    assert "what they are offered, why" in ran.err
    assert (shop / "events.parquet").is_file()


def test_tune_writes_settings_that_fit_takes(run: Any, shop_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "tuned.toml"
    given = [shop_folder / "shop.toml", "--data-dir", shop_folder, "--out", out]
    ran = run("tune", *given, "--minutes", 5, "--trials", 2, "--json", "-")
    assert ran.code == Exit.OK
    assert [trial["number"] for trial in ran.json["trials"]] == [1, 2]
    best = max(trial["ndcg"] for trial in ran.json["trials"])
    assert ran.json["is_better"] == (best > ran.json["ndcg@10_before"])
    assert "2 trials" in ran.err
    fitted = run("fit", out, "--data-dir", shop_folder, "--out", tmp_path / "engine", "--no-run")
    assert fitted.code == Exit.OK
    same = run("tune", *given, "--minutes", 5, "--trials", 1)
    assert "nothing better than the present settings was found in 1 trial: " in same.out
    missing = run("tune", *given[:-1], tmp_path / "none" / "tuned.toml")
    assert missing.code == Exit.OUTPUT
