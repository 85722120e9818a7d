"""The registry of public data: tiny originals become tables, and other data is told apart."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from benchmarks import originals
from benchmarks.datasets import SETS, DataSet, Original, data_set, fingerprint
from benchmarks.fetch import download, fetch
from recsys.engine import Engine
from recsys.evaluation.protocols import read_test
from recsys.features.columns import LogColumns
from recsys.features.errors import DataError, MissingDependency, SettingsError
from recsys.features.interactions import Interactions
from recsys.features.reading import read_interactions


def log_of(rows: list[tuple[object, object]]) -> Interactions:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    return read_interactions(frame, LogColumns())[0]


def converted(name: str, original: Path, data_dir: Path) -> list[Interactions]:
    """What our config reads of the tables that an original is converted to."""
    tables = data_dir / name
    tables.mkdir(parents=True)
    data = SETS[name]
    assert data.convert is not None
    data.convert(original, tables)
    log, _ = Engine(data.settings).read(data_dir=data_dir)
    test = read_test(data.settings, data_dir)
    return [log] if test is None else [log, test]


def by_user(log: Interactions) -> dict[object, list[object]]:
    items = log.items.ids_at(log.item_rows).to_list()
    return {
        user: items[log.offsets[row] : log.offsets[row + 1]]
        for row, user in enumerate(log.users.ids.to_list())
    }


def gowalla_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.txt").write_text("0 10 11 12\n1 12 10\n2\n")
    (folder / "test.txt").write_text("0 13\n1 11\n")
    return folder


def gowalla_at(folder: Path, data_dir: Path) -> DataSet:
    """A data set like gowalla, of other files, with their fingerprint."""
    own = fingerprint(converted("gowalla", folder, data_dir))
    files = [folder / "train.txt", folder / "test.txt"]
    there = [Original(f.as_uri(), hashlib.md5(f.read_bytes()).hexdigest()) for f in files]
    return replace(SETS["gowalla"], originals=tuple(there), fingerprint=own)


class TestOriginals:
    def test_gowalla_is_two_files_of_lists(self, tmp_path: Path) -> None:
        log, test = converted("gowalla", gowalla_files(tmp_path / "o"), tmp_path / "d")
        assert {user: sorted(items) for user, items in by_user(log).items()} == {  # type: ignore[type-var]
            0: [10, 11, 12],
            1: [10, 12],
        }
        assert by_user(test) == {0: [13], 1: [11]}

    def test_beauty_is_lists_and_attributes(self, tmp_path: Path) -> None:
        (tmp_path / "Beauty.txt").write_text("1 3 1 2\n2 1 3\n")
        attributes = {"1": [7], "2": [], "3": [7, 8]}
        (tmp_path / "Beauty_item2attributes.json").write_text(json.dumps(attributes))
        (log,) = converted("amazon-beauty", tmp_path, tmp_path / "d")
        assert by_user(log) == {"1": ["3", "1", "2"], "2": ["1", "3"]}
        items = pl.read_parquet(tmp_path / "d" / "amazon-beauty" / "items.parquet")
        assert items["attributes"].to_list() == [["7"], [], ["7", "8"]]

    def test_ml_1m_goes_by_time_with_ties_as_they_stand_and_without_rare_films(
        self, tmp_path: Path
    ) -> None:
        ratings = [f"{user}::{film}::5::{100 - film}" for film in (1, 2) for user in range(1, 6)]
        ratings += ["1::9::4::1", *(f"{user}::3::1::98" for user in range(1, 6))]
        (tmp_path / "ratings.dat").write_text("\n".join(ratings) + "\n")
        films = "1::Caf\u00e9 (1990)::Comedy|Drama\n2::B::War\n3::C\x85::War\n9::D::War\n"
        (tmp_path / "movies.dat").write_bytes(films.encode("latin-1"))
        (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
        (log,) = converted("ml-1m", tmp_path, tmp_path / "d")
        assert by_user(log) == {user: [2, 3, 1] for user in range(1, 6)}
        movies = pl.read_parquet(tmp_path / "d" / "ml-1m" / "movies.parquet")
        assert movies["title"].to_list() == ["Caf\u00e9 (1990)", "B", "C\x85", "D"]
        assert movies["genres"][0].to_list() == ["Comedy", "Drama"]

    def test_ml_100k_is_read_as_it_is(self, tmp_path: Path) -> None:
        original = tmp_path / "ml-100k"
        original.mkdir()
        (original / "u.data").write_text(
            "2\t1\t5\t880000003\n1\t1\t3\t880000002\n1\t2\t3\t880000001\n"
        )
        flags = "|".join("0" * 19)
        (original / "u.item").write_text(f"1|A||||{flags}\n2|B||||{flags}\n")
        for name in ("u.user", "u.genre"):
            (original / name).write_text("")
        (log,) = converted("ml-100k", tmp_path, tmp_path / "d")
        assert by_user(log) == {1: [2, 1], 2: [1]}

    def test_online_retail_is_the_first_sheet(self, tmp_path: Path) -> None:
        pytest.importorskip("fastexcel")
        excel = pytest.importorskip("xlsxwriter")
        names = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price"]
        with excel.Workbook(str(tmp_path / "online_retail_II.xlsx")) as book:
            sheet = book.add_worksheet("Year 2009-2010")
            day = book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
            sheet.write_row(0, 0, [*names, "Customer ID", "Country"])
            sheet.write_row(1, 0, [489434, 85048, " BALL", 12, 40148.25, 6.95, 13085, "UK"])
            sheet.write_row(2, 0, ["C489435", "79323P", None, -1, 40148.5, 1, None, "UK"])
            sheet.set_column(4, 4, None, day)
            for row, moment in ((1, 40148.25), (2, 40148.5)):
                sheet.write_number(row, 4, moment, day)
            book.add_worksheet("Year 2010-2011")
        originals.online_retail(tmp_path, tmp_path)
        rows = pl.read_parquet(tmp_path / "transactions.parquet")
        assert rows["item_id"].to_list() == ["85048", "79323P"]
        assert rows["invoice"].to_list() == ["489434", "C489435"]
        assert rows["user_id"].to_list() == ["13085", None]
        assert str(rows["timestamp"][0]) == "2009-12-01 06:00:00"

    def test_a_missing_reader_of_excel_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "fastexcel", None)
        (tmp_path / "online_retail_II.xlsx").write_bytes(b"")
        with pytest.raises(MissingDependency, match="pip install fastexcel"):
            originals.online_retail(tmp_path, tmp_path)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no 'ratings\.dat'"):
            originals.ml_1m(tmp_path, tmp_path)


class TestFingerprint:
    ROWS = (("u2", "a"), ("u1", "b"), ("u1", "a"), ("u2", "c"))

    def test_types_of_ids_and_the_order_of_rows_do_not_matter(self) -> None:
        numbers = [(2, 10), (1, 20), (1, 10), (2, 30)]
        texts = [(str(user), str(item)) for user, item in numbers]
        moved = [numbers[1], numbers[0], numbers[3], numbers[2]]
        without_a_clock = [numbers[0], numbers[2], numbers[1], numbers[3]]
        given = (numbers, texts, moved, without_a_clock)
        marks = {fingerprint([log_of(rows)]) for rows in given}
        assert len(marks) == 1

    @pytest.mark.parametrize(
        "other",
        [
            [("u2", "a"), ("u1", "b"), ("u1", "a"), ("u2", "d")],  # another item
            [("u3", "a"), ("u1", "b"), ("u1", "a"), ("u3", "c")],  # another user
            [("u2", "a"), ("u1", "b"), ("u1", "a"), ("u1", "c")],  # an event of somebody else
            [("u2", "a"), ("u1", "b"), ("u1", "a")],
        ],
    )
    def test_anything_else_does(self, other: list[tuple[object, object]]) -> None:
        assert fingerprint([log_of(list(self.ROWS))]) != fingerprint([log_of(other)])

    def test_items_of_other_names_can_be_alike(self) -> None:
        log, test = (
            log_of(list(self.ROWS)),
            log_of([("u2", "z"), ("u1", "x"), ("u1", "z"), ("u2", "y")]),
        )
        assert fingerprint([log], item_ids=False) == fingerprint([test], item_ids=False)
        assert fingerprint([log]) != fingerprint([test])

    def test_other_data_is_refused_and_both_fingerprints_are_named(self, tmp_path: Path) -> None:
        folder = gowalla_files(tmp_path / "o")
        data = gowalla_at(folder, tmp_path / "d")
        data.load(tmp_path / "d")
        with pytest.raises(DataError, match=f"{data.fingerprint}, expected {'0' * 64}"):
            replace(data, fingerprint="0" * 64).load(tmp_path / "d")


class TestFetch:
    def test_downloads_converts_and_checks(self, tmp_path: Path) -> None:
        data = gowalla_at(gowalla_files(tmp_path / "o"), tmp_path / "first")
        assert fetch(data, tmp_path / "d").startswith("fetched; terms: research")
        assert [path.name for path in (tmp_path / "d").iterdir()] == ["gowalla"]
        assert fetch(data, tmp_path / "d").startswith("is there")

    def test_takes_originals_fetched_by_hand(self, tmp_path: Path) -> None:
        folder = gowalla_files(tmp_path / "o" / "gowalla")
        data = replace(gowalla_at(folder, tmp_path / "first"), originals=())
        fetch(data, tmp_path / "d", tmp_path / "o")
        assert (tmp_path / "d" / "gowalla" / "test.parquet").exists()

    @pytest.mark.parametrize("change", [{"fingerprint": "0" * 64}, {"originals": ()}])
    def test_leaves_nothing_behind_where_it_fails(
        self, tmp_path: Path, change: dict[str, object]
    ) -> None:
        data = gowalla_at(gowalla_files(tmp_path / "o"), tmp_path / "first")
        with pytest.raises(DataError):
            fetch(replace(data, **change), tmp_path / "d")  # type: ignore[arg-type]
        assert list((tmp_path / "d").iterdir()) == []

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("hello")
        with pytest.raises(DataError, match="MD5 is 5d41402abc4b2a76b9719d911017c592, expected 0"):
            download(Original((tmp_path / "a.txt").as_uri(), "0"), tmp_path / "d")
        assert not (tmp_path / "d" / "a.txt").exists()

    def test_an_archive_is_unpacked(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("inside/b.txt", "hello")
        download(Original((tmp_path / "a.zip").as_uri()), tmp_path / "d")
        assert originals.found(tmp_path / "d", "b.txt").read_text() == "hello"

    def test_an_address_without_an_answer_says_how_to_go_on(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="fetch it by hand"):
            download(Original((tmp_path / "nothing.txt").as_uri()), tmp_path / "d")

    def test_what_cannot_be_downloaded_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="behind a login"):
            fetch(SETS["retailrocket"], tmp_path)


def test_every_set_has_a_config_and_says_where_it_is_from() -> None:
    for name, data in SETS.items():
        assert data.settings.name == name
        assert data.page.startswith("https://")
        assert data.terms
        assert data.citation
        assert len(data.fingerprint) == 64
        assert (data.convert is None) == bool(data.by_hand) == (not data.originals)


def test_an_unknown_set_is_named_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match="unknown data set 'ml-2m'; known are ml-100k, ml-1m"):
        data_set("ml-2m")


@pytest.mark.public_data
@pytest.mark.parametrize("name", list(SETS))
def test_the_public_data_has_its_fingerprint(name: str, data_dir: Path) -> None:
    log, catalog, _ = SETS[name].load(data_dir)
    assert len(catalog) == len(log.items)
