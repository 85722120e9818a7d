"""Users as a file names them, by whatever wrote it."""

from pathlib import Path

import polars as pl
import pytest

from recsys import given
from recsys.features.errors import DataError


@pytest.mark.parametrize(
    "data",
    [
        b"u1\nu2\n",
        b"\xef\xbb\xbfu1\r\nu2\r\n",
        b"\xef\xbb\xbfu1\ru2",
        "u1\nu2".encode("utf-16"),
        "\ufeffu1\r\nu2\r\n".encode("utf-16-be"),
        b'"u1"\n"u2"\n',
        b"\n  u1  \n\n\tu2\n\n",
    ],
)
def test_a_file_of_users_is_read_as_it_was_meant(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "users").write_bytes(data)
    assert given.lines(tmp_path / "users") == ["u1", "u2"]


def test_ids_keep_what_is_theirs(tmp_path: Path) -> None:
    ids = ["a b", "a\u2028b", "a\x1cb", '"', 'say "hi"', "Jürgen", "a,b"]
    (tmp_path / "users").write_text("\n".join(ids), "utf8")
    assert given.lines(tmp_path / "users") == ids
    (tmp_path / "users").write_text('"say ""hi"""\n" padded "')
    assert given.lines(tmp_path / "users") == ['say "hi"', " padded "]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "holds no user"),
        (b"\xef\xbb\xbf\r\n \r\n", "holds no user"),
        (b"\xff\xfe\n", "cannot be read"),
        (b"J\xfcrgen", "cannot be read: 'utf-8' codec"),
        ("u1\nu2".encode("utf-16-le"), "user 1 holds a NUL"),
    ],
)
def test_what_names_nobody_is_an_error(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "users").write_bytes(data)
    with pytest.raises(DataError, match=reason):
        given.lines(tmp_path / "users")


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/nowhere/at/all", "x" * 5_000])
def test_what_is_no_file_is_an_error(path: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read: (it is a|No such|File name)"):
        given.lines(Path(path))


@pytest.mark.parametrize("text", ["", ",", " , ,"])
def test_a_flag_that_names_nobody_is_an_error(text: str) -> None:
    with pytest.raises(DataError, match="--users names nobody"):
        given.split(text, "--users")


def test_an_id_that_is_no_text_is_an_error() -> None:
    known = pl.Series(["u1"])
    with pytest.raises(DataError, match="user ids must be text in UTF-8"):
        given.ids(["u1", "\udcff"], known, "user")
