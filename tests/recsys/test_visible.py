"""Texts of others: what a terminal would obey is shown instead."""

import io

from hypothesis import given
from hypothesis import strategies as st

from recsys.output import console
from recsys.printing import table_of
from recsys.visible import visible


def test_control_characters_are_shown_as_python_writes_them() -> None:
    assert visible("\x1b]0;owned\x07\x1b[2Jx") == r"\x1b]0;owned\x07\x1b[2Jx"
    assert visible("one\ntwo\r\tthree\x9b1m") == r"one\ntwo\r\tthree\x9b1m"
    assert visible("\u202egpj.exe\u2066") == r"\u202egpj.exe\u2066"
    assert visible("Café ☕ 日本 👩\u200d👩 שלום") == "Café ☕ 日本 👩\u200d👩 שלום"


@given(st.text())
def test_no_control_character_comes_through(text: str) -> None:
    shown = visible(text)
    assert all(ord(each) >= 32 and not 127 <= ord(each) < 160 for each in shown)
    assert visible(shown) == shown


def test_neither_tables_nor_lines_send_them() -> None:
    import polars as pl

    out = console(stderr=False)
    out.file = io.StringIO()
    title = "\x1b[2Jx\x9bm\nsecond"
    out.print(table_of(pl.DataFrame({"title": [title]}), title))
    out.print(f"a note of {title}", soft_wrap=True)
    said = out.file.getvalue()
    assert "\x1b" not in said
    assert "\x9b" not in said
    assert said.count(r"\x1b[2Jx\x9bm\nsecond") == 2
    assert "a note of \\x1b[2Jx\\x9bm\nsecond" in said
