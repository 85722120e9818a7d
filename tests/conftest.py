"""The folder of public data, for the tests that read it."""

import os
from pathlib import Path

import pytest

VARIABLE = "RECSYS_DATA"
LEFT_OUT = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that RECSYS_DATA names; a test that asks for it is a `public_data` test."""
    folder = Path(os.environ[VARIABLE]).resolve()
    if not folder.is_dir():
        pytest.fail(f"{VARIABLE} must name a folder; there is none at {folder}")
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without RECSYS_DATA, leave the public-data tests out; with it, missing data fails them."""
    if VARIABLE in os.environ:
        return
    left_out = [item for item in items if _reads_public_data(item)]
    items[:] = [item for item in items if not _reads_public_data(item)]
    config.stash[LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests were left out, and how to run them."""
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests on public data left out: {VARIABLE} is not set (see CONTRIBUTING.md)"
        )


def _reads_public_data(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("public_data") is not None
    return marked or "data_dir" in getattr(item, "fixturenames", ())
