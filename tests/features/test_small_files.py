"""Files that are read whole: their kind and size are looked at first."""

import os
from pathlib import Path

import pytest

from recsys.features.small_files import MAX_DEPTH, parse_json, parse_toml, read_small


@pytest.mark.parametrize("kind", ["/dev/zero", "/dev/null", "/", "fifo"])
def test_what_is_no_file_is_refused_before_it_is_read(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a file"):
        read_small(tmp_path / kind, 100)


def test_what_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(1 << 42)
    with pytest.raises(OSError, match=r"4,398,046,511,104 bytes or more; at most 100 are read"):
        read_small(file, 100)
    file.write_bytes(b"x" * 100)
    assert len(read_small(file, 100)) == 100


def test_a_pipe_of_a_shell_is_read(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"u1\nu2\n")
    os.close(write)
    assert read_small(f"/dev/fd/{read}", 100) == b"u1\nu2\n"
    os.close(read)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
def test_nesting_is_bounded(depth: int) -> None:
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_json(b"[" * depth + b"]" * depth)
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_toml(b"x = " + b"[" * depth + b"]" * depth)
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_toml(b".".join([b"a"] * min(depth + 1, 2_000)) + b" = 1")


def test_what_is_not_too_deep_is_read_with_a_byte_order_mark_too() -> None:
    value = parse_json(b"\xef\xbb\xbf" + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []
    assert parse_toml(b"\xef\xbb\xbfname = 'x'") == {"name": "x"}
