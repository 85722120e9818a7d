"""Files of a saved folder are read where they are plain files of a known length, and no others."""

import os
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.features import npz, parquet, tensors
from recsys.features.errors import ArtifactError
from recsys.features.schema import ArraySchema, floats, offsets, rows
from recsys.features.stored import Stored, files_in, holding, opened, read_json, read_text

SCHEMAS = {"starts": offsets("lists"), "items": rows("items", "n"), "worths": floats("n")}
SIZES = {"lists": 2, "items": 4}
ARRAYS = {
    "starts": np.array([0, 1, 3]),
    "items": np.array([3, 0, 2], np.int32),
    "worths": np.array([1, 2, 3], np.float32),
}


class Plain(Stored):
    name: str
    counts: tuple[int, ...]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def folder(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    """Bound by its short name: that of a socket may have some 100 characters."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    ("make", "said"),
    [(pipe, "a pipe"), (link, "a link"), (folder, "a folder"), (unix_socket, "a socket")],
)
def test_what_is_no_plain_file_is_not_opened(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "odd.json"
    make(path)
    with pytest.raises(ArtifactError, match=rf"odd\.json is {said}.*plain files alone"):
        opened(path)
    if make is not folder:
        with pytest.raises(ArtifactError, match=rf"odd\.json is {said}.*plain files alone"):
            files_in(tmp_path)


def test_what_is_held_is_read_whatever_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.txt").write_bytes(b"first")
    with holding(tmp_path / "old") as names:
        assert set(names) == {"a.txt"}
        shutil.rmtree(tmp_path / "old")
        (tmp_path / "old").mkdir()
        (tmp_path / "old" / "a.txt").write_bytes(b"second")
        assert read_text(tmp_path / "old" / "a.txt") == b"first"
        assert read_text(tmp_path / "old" / "a.txt") == b"first"
    assert read_text(tmp_path / "old" / "a.txt") == b"second"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "a", "counts": [1, "2"]}', r"counts\.1: Input should be a valid integer"),
        ('{"name": "a", "counts": [1], "more": 1}', "more: Extra inputs are not permitted"),
        ('{"name": "a"}', "counts: Field required"),
        ("[]", "Input should be an object"),
        ("nonsense", "Invalid JSON"),
        ("", "Invalid JSON"),
        ('{"name": "\\ud800", "counts": []}', "Invalid JSON"),
        ("[" * 100_000, "recursion limit"),
        ('{"a":' * 100_000, "recursion limit"),
        ('{"name": "a", "counts": [' + "9" * 100_000 + "]}", "Invalid JSON|valid integer"),
        ('{"name": "a", "counts": [1e999]}', "valid integer|Invalid JSON"),
    ],
)
def test_json_that_is_not_what_was_saved(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ArtifactError, match=rf"a\.json is not what was saved: .*({said})"):
        read_json(tmp_path / "a.json", Plain)


def test_json_without_an_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)  # of zeros that take no room
    with pytest.raises(ArtifactError, match=r"a\.json has 1,099,511,627,776 bytes; at most"):
        read_json(tmp_path / "a.json", Plain)


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    npz.write(tmp_path / "a.npz", **ARRAYS)
    for found, (name, written) in zip(
        npz.read(tmp_path / "a.npz", SCHEMAS, SIZES), ARRAYS.items(), strict=True
    ):
        np.testing.assert_array_equal(found, written, err_msg=name)
        assert found.dtype == written.dtype


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"items": np.array([3, 0, 4], np.int32)}, "'items' must lie between 0 and 3; got 0 to 4"),
        ({"items": np.array([3, -1, 2], np.int32)}, "'items' must lie between 0 and 3"),
        ({"items": np.array([3, 0, 2])}, "'items' must be int32; got int64"),
        ({"items": np.array([3, 0, 2], ">i4")}, "'items' must be int32; got >i4"),
        ({"items": np.array([3, 0, 2], object)}, "'items' must be int32; got object"),
        ({"items": np.zeros(0, np.int32)}, r"'worths' must be of shape \(0\); got \(3,\)"),
        ({"items": np.zeros((3, 1), np.int32)}, r"'items' must be of shape \(n\); got \(3, 1\)"),
        ({"starts": np.array([0, 3])}, r"'starts' must be of shape \(3\); got \(2,\)"),
        ({"starts": np.array([1, 1, 3])}, "'starts' must begin with 0; got 1"),
        ({"starts": np.array([0, 2, 1])}, "'starts' must never fall"),
        ({"worths": np.array([1, np.nan, 2], np.float32)}, "'worths' must be finite"),
        ({"worths": np.array([1, 2, -np.inf], np.float32)}, "'worths' must be finite"),
        ({"more": np.zeros(1)}, "it must hold"),
    ],
)
def test_arrays_that_are_not_what_their_schema_says(
    tmp_path: Path, change: Mapping[str, np.ndarray], said: str
) -> None:
    np.savez(tmp_path / "a.npz", **{**ARRAYS, **change})  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=rf"a\.npz: {said}"):
        npz.read(tmp_path / "a.npz", SCHEMAS, SIZES)


def test_a_byte_that_is_neither_true_nor_false(tmp_path: Path) -> None:
    """numpy counts such bytes by their sum: of rows found by them some would be no rows."""
    odd = np.full(8, 200, np.uint8).view(np.bool_)
    np.savez(tmp_path / "a.npz", known=odd)
    with pytest.raises(ArtifactError, match="'known' must hold 0 and 1; got 200"):
        npz.read(tmp_path / "a.npz", {"known": ArraySchema("bool", (8,))})


def test_an_order_holds_each_row_once(tmp_path: Path) -> None:
    schema = {"order": ArraySchema("int32", (3,), each="order")}
    for order, said in (([0, 1, 1], "every row once"), ([0, 1, 3], "hold rows below 3")):
        np.savez(tmp_path / "a.npz", order=np.array(order, np.int32))
        with pytest.raises(ArtifactError, match=said):
            npz.read(tmp_path / "a.npz", schema)


def archive(path: Path, members: Mapping[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def npy(shape: str, dtype: str = "<i4", content: bytes = b"", order: str = "False") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    "member",
    [
        npy("(1152921504606846976,)"),
        npy("(3,)"),  # no numbers follow
        npy("(3,)", content=bytes(16)),  # too many do
        npy("(-1,)"),
        npy("(" * 200 + ")" * 200),
        npy("(3,)", dtype="O", content=bytes(24)),
        npy("(3,)" + " " * 60_000, content=bytes(12)),
        npy("__import__('os').abort()"),
        b"\x93NUMPY\x07\x00" + bytes(40),
        b"",
        b"\x80\x04\x95",
    ],
)
def test_an_array_with_a_header_that_lies(tmp_path: Path, member: bytes) -> None:
    path = archive(tmp_path / "a.npz", {"items.npy": member})
    with pytest.raises(ArtifactError, match=r"a\.npz"):
        npz.read(path, {"items": ArraySchema("int32", ("n",))})


def test_columns_before_rows_are_turned(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    written = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.savez(path, values=written)
    (found,) = npz.read(path, {"values": floats("n", "m")})
    np.testing.assert_array_equal(found, written)
    assert found.flags.c_contiguous


def test_archives_that_unpack_to_more_are_refused(tmp_path: Path) -> None:
    made = BytesIO()
    np.save(made, np.zeros(100_000, np.int32))
    packed = archive(tmp_path / "a.npz", {"items.npy": made.getvalue()}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ArtifactError, match="'items' must be stored as it is"):
        npz.read(packed, {"items": ArraySchema("int32", ("n",))})
    many = archive(tmp_path / "b.npz", {f"{i}.npy": b"" for i in range(300)})
    with pytest.raises(ArtifactError, match="it holds 300 members; at most 256"):
        npz.read(many, {"items": ArraySchema("int32", ("n",))})


def safetensors(path: Path, header: bytes, content: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}}',
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[4,20]}}',
        b'{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F32","shape":[4]}}',
        b'{"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        b'{"a":7}',
        b"[]",
        b"{",
        b"[" * 100_000,
    ],
)
def test_safetensors_that_lie(tmp_path: Path, header: bytes) -> None:
    path = safetensors(tmp_path / "a.safetensors", header, bytes(16))
    with pytest.raises(ArtifactError, match=r"a\.safetensors cannot be read"):
        tensors.read(path, {"a": floats(4)})


def test_a_table_is_as_long_as_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"id": ["a", "b"]}).write_parquet(path)
    assert parquet.read(path, 2)["id"].to_list() == ["a", "b"]
    with pytest.raises(ArtifactError, match=r"a\.parquet must have 3 rows; it tells of 2"):
        parquet.read(path, 3)
    pl.DataFrame({"id": pl.repeat("x", 3_000_000, eager=True)}).write_parquet(path)
    with pytest.raises(ArtifactError, match="tells of 3,000,000 rows in"):
        parquet.read(path)
    path.write_bytes(b"PAR1" + bytes(range(200)) + b"PAR1")
    with pytest.raises(ArtifactError, match=r"a\.parquet cannot be read"):
        parquet.read(path)


def test_a_large_table_of_equal_values_is_read_where_its_length_is_known(tmp_path: Path) -> None:
    path = tmp_path / "columns.parquet"
    pl.DataFrame({"stock": pl.repeat(1, 3_000_000, eager=True)}).write_parquet(path)
    assert len(parquet.read(path, 3_000_000, is_distinct=False)) == 3_000_000
    with pytest.raises(ArtifactError, match="tells of 3,000,000 rows"):
        parquet.read(path, 3_000_000)
