"""The page in a browser: it fits a phone and a desk, fetches nothing and complains of nothing.

Left out where there is no Chromium; RECSYS_CHROMIUM names one that has another name.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recsys.reporting.outcome import Outcome
from recsys.reporting.report import render
from tests.recsys.reporting.samples import environment, evaluation

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOUND = os.environ.get("RECSYS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
SECONDS = 90

pytestmark = pytest.mark.skipif(FOUND is None, reason="no Chromium is installed")

# Chromium makes no window narrower than 500 pixels, so the page is looked at in a frame.
FRAME = """<!doctype html><title>-</title>
<iframe src="report.html" style="width:{width}px;height:900px;border:0"></iframe>
<script>addEventListener("load", () => {{
  const page = frames[0].document, root = page.documentElement;
  const right = root.getBoundingClientRect().right;
  const inBox = (e) => e.closest(".scroll, pre, svg");
  const out = [...page.body.querySelectorAll("*")].filter(
    (e) => !inBox(e) && e.getBoundingClientRect().right > right + 1);
  const fetched = frames[0].performance.getEntriesByType("resource").length;
  document.title = [root.scrollWidth, root.clientWidth, out.length, fetched,
    page.querySelectorAll("section").length].join(" ");
}});</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page, in which every detail is open."""
    folder = tmp_path_factory.mktemp("page")
    html = render(
        Outcome.parse(evaluation()), {"Environment": environment()}, 'name = "shop"\n' * 20
    )
    (folder / "report.html").write_text(html.replace("<details>", "<details open>"), "utf8")
    return folder


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the browser once, with a profile of its own and without a network."""
    profile = folder / "profile"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    silent = ("--no-first-run", "--disable-background-networking", "--disable-component-update")
    return subprocess.run(
        [str(FOUND), *flags, *silent, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_the_page_is_never_wider_than_the_window(folder: Path, width: int) -> None:
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(width=width))
    flags = ("--allow-file-access-from-files", "--enable-logging=stderr", "--dump-dom")
    done = chromium(folder, "--window-size=1400,1000", *flags, frame.as_uri())
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    wide, window, outside, fetched, sections = map(int, title[1].split())
    assert wide <= window == width
    assert (outside, fetched, sections) == (0, 0, 15)
    assert "CONSOLE" not in done.stderr


def test_light_and_dark_are_drawn(folder: Path) -> None:
    pictures = []
    for scheme in ("light", "dark"):
        file = folder / f"{scheme}.png"
        dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
        page = (folder / "report.html").as_uri()
        chromium(folder, "--window-size=1280,900", *dark, f"--screenshot={file}", page)
        pictures.append(file.read_bytes())
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0] != pictures[1]
