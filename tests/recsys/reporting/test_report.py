"""The report: what it says, what it leaves out, how it is written."""

import copy
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.cli import main
from recsys.exits import Exit
from recsys.features.errors import DataError, OutputError
from recsys.reporting import findings, stages
from recsys.reporting.breakdown import slices_said
from recsys.reporting.findings import headline, protocol_sentences, to_work_on
from recsys.reporting.outcome import Outcome
from recsys.reporting.report import Run, render, write_report
from tests.recsys.reporting.samples import LOST, USERS, environment, evaluation

VOID = {"meta", "link", "br", "hr", "img"}
Path_ = tuple[str | int, ...]


class Page(HTMLParser):
    """A page taken apart: that its tags are closed in order, its ids, its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found[name]) for name in ("href", "src") if name in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def page_of(values: dict[str, Any]) -> Page:
    page = Page(render(Outcome.parse(values)))
    assert page.open == []
    return page


def paths(value: Any, before: Path_ = ()) -> Iterator[Path_]:
    """The place of every key, of lists only in their first and last element."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*before, key)
            yield from paths(inner, (*before, key))
    elif isinstance(value, list) and value:
        for place in {0, len(value) - 1}:
            yield from paths(value[place], (*before, place))


def parent(values: dict[str, Any], path: Path_) -> Any:
    inner: Any = values
    for step in path[:-1]:
        inner = inner[step]
    return inner


def test_a_whole_evaluation_has_every_section() -> None:
    page = page_of(evaluation())
    assert page.ids == [
        *("quality", "certainty", "stages", "sources", "ranking", "importance", "slices", "cost"),
        *("beyond", "calibration", "windows", "seeds", "learning", "lists", "run"),
    ]
    assert page.links == ["data:,", *(f"#{each}" for each in page.ids)]


def test_any_key_may_be_absent_or_null() -> None:
    whole = evaluation()
    for part in whole:
        alone = {"users": 1, "data": "shop", part: whole[part]}
        for path in [(part,), *paths(alone[part], (part,))]:
            for absent in (True, False):
                values = copy.deepcopy(alone)
                if absent:
                    del parent(values, path)[path[-1]]
                else:
                    parent(values, path)[path[-1]] = None
                try:
                    render(Outcome.parse(values))
                except Exception as error:
                    error.add_note(f"{'without' if absent else 'null'} {path}")
                    raise


@given(st.sets(st.sampled_from(sorted(paths(evaluation()), key=str)), max_size=30))
@settings(max_examples=40)
def test_any_keys_may_be_absent_together(absent: set[Path_]) -> None:
    values = evaluation()
    for path in sorted(absent, key=len, reverse=True):  # what is deeper goes first
        if isinstance(path[-1], str):
            parent(values, path).pop(path[-1], None)
    page_of(values)


@pytest.mark.parametrize("part", sorted(evaluation()))
def test_the_whole_without_a_part_is_a_page(part: str) -> None:
    values = evaluation()
    del values[part]
    page_of(values)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_defined_are_absent(number: float) -> None:
    values = evaluation()
    values["systems"]["next"]["ndcg@10"] = number
    values["intervals"]["wide"]["ndcg@10"] = [number, number]
    values["slices"][0]["systems"]["next"]["ndcg@10"] = number
    words = page_of(values).words
    assert "nan" not in words.split()
    assert "inf" not in words.split()


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = render(Outcome.parse(evaluation()), {"Environment": environment()}, "seed = 0")
    page = Page(html)
    assert not page.tags & {"script", "img", "iframe", "object", "base", "form"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\son\w+=", html)
    assert "default-src 'none'" in html


EVIL = '<script>alert("x")</script>'


def test_texts_from_outside_are_escaped() -> None:
    values = evaluation()
    values["data"] = EVIL
    values["notes"] = [EVIL]
    values["systems"][EVIL] = values["systems"]["next"]
    values["slices"][0]["slice"] = values["slices"][0]["by"] = EVIL
    values["account"]["lost"][1]["stage"] = EVIL
    values["examples"][0]["user"] = EVIL
    for field in ("title", "item_id", "reason"):
        values["examples"][0]["list"][0][field] = EVIL
    html = render(Outcome.parse(values), {EVIL: {EVIL: EVIL}}, EVIL)
    page = Page(html)
    assert "script" not in page.tags
    assert page.words.count(EVIL) >= 10


def test_the_title_says_who_wins() -> None:
    told = headline(Outcome.parse(evaluation()))
    assert told.title == "The two-stage list beats every other list"
    assert "the best other list, next, has 0.0576" in told.detail
    assert "+0.0197" in told.detail


@pytest.mark.parametrize(
    ("verdict", "title"),
    [
        ("worse", "The two-stage list does worse than next"),
        ("inside the noise", "The two-stage list and next: a difference inside the noise"),
    ],
)
def test_the_title_says_what_the_test_said(verdict: str, title: str) -> None:
    values = evaluation()
    for each in values["comparisons"]:
        each["verdict"] = verdict
    assert headline(Outcome.parse(values)).title == title


def test_a_list_that_is_not_told_apart_is_named_in_the_title() -> None:
    values = evaluation()
    (als,) = [c for c in values["comparisons"] if (c["metric"], c["against"]) == ("ndcg@10", "als")]
    als["verdict"] = "inside the noise"
    title = headline(Outcome.parse(values)).title
    assert title == "The two-stage list beats next, but not for certain als"


def test_slices_where_the_source_is_ahead_are_named_with_their_size() -> None:
    values = evaluation()
    values["slices"][0]["systems"]["next"]["ndcg@10"] = 0.5
    said = slices_said(Outcome.parse(values))
    assert said.startswith("The two-stage list is ahead of next in 15 of 16 slices, behind in ")
    assert "history length 1-4 events (6,120 users)" in said


def test_without_a_test_the_title_claims_less() -> None:
    values = evaluation()
    del values["comparisons"]
    told = headline(Outcome.parse(values))
    assert told.title == "The two-stage list is above every other list"
    assert told.detail.endswith("The difference was not tested.")


def test_one_system_alone_is_compared_with_nothing() -> None:
    told = headline(Outcome.parse({"systems": {"als": {"ndcg@5": 0.25}}}))
    assert told.title == "The als list, beside no other"
    assert told.detail == "NDCG@5 of als is 0.2500"


def test_a_fused_list_in_disguise_is_called_that() -> None:
    both = {"ndcg@10": 0.3}
    outcome = Outcome.parse({"systems": {"two-stage": both, "fused": both}})
    assert headline(outcome).verdict == "same"


def test_the_protocol_is_a_sentence() -> None:
    protocol = {
        "name": "time",
        "cutoff": "2011-09-30T08:15:00+00:00",
        "last_event": "2011-12-09T00:00:00+00:00",
        "k": 10,
        "seed": 0,
        "users": 1,
        "positives": 1_200,
        "items": 3_400,
        "users_without_past": 0,
        "positives_not_allowed": 7,
    }
    assert protocol_sentences(Outcome.parse({"protocol": protocol})) == [
        "All events before 2011-09-30 08:15 were learnt from, and all from then until 2011-12-09 "
        "held out.",
        "Scored were 1 user with 1,200 positives, all 3,400 items ranked, lists of 10, seed 0.",
        "Left out: 7 positives that might not be offered.",
    ]


def test_the_stage_to_work_on_is_the_largest_loss_that_can_be_won() -> None:
    values = evaluation()
    lost = {each["stage"]: each for each in values["account"]["lost"]}
    lost["had before"]["positives"] = 10 * USERS  # nothing can win these
    assert to_work_on(Outcome.parse(values))[0] == "found by no source"
    lost["ranked below 10"]["positives"] = 2 * USERS
    stage, said = to_work_on(Outcome.parse(values))
    assert stage == "ranked below 10"
    assert said.startswith("Work on ranking:")


def test_the_rows_of_the_funnel_sum_to_all() -> None:
    table = stages.funnel(Outcome.parse(evaluation()))
    assert table is not None
    *rows, total = [row.cells[0].text for row in table.rows]
    assert [int(text.replace(",", "")) for text in rows] == list(LOST.values())
    assert total == f"{sum(LOST.values()):,}" == f"{USERS:,}"


def test_a_share_is_written_with_a_digit_more_where_it_is_small() -> None:
    shares = (0.0, 0.0412, 0.44, 1.0)
    assert [findings.percent(each).replace("\u202f", "") for each in shares] == [
        *("0%", "4.1%", "44%", "100%")
    ]


def theme(css: str, number: int) -> dict[str, str]:
    """The colours of the light (0) or the dark (1) theme."""
    block = re.findall(r":root \{(.*?)\}", css, re.S)[number]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_black_on_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("number", [0, 1])
def test_texts_and_marks_stand_out_in_both_themes(number: int) -> None:
    html = render(Outcome.parse(evaluation()))
    found = theme(html, number)
    for text, ground in [
        *((text, "paper") for text in ("ink", "soft", "accent")),
        *(("ink", ground) for ground in ("fill", "tint", "quiet")),
        ("on-accent", "accent"),
    ]:
        assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
    for mark in ("grey", "accent"):
        assert contrast(found[mark], found["paper"]) >= 3, mark
    red, green, blue = map(int, re.findall(r"--heat-rgb: (\d+) (\d+) (\d+)", html)[number])
    paper = [int(found["paper"][at : at + 2], 16) for at in (1, 3, 5)]
    hot = [round((a + b) / 2) for a, b in zip((red, green, blue), paper, strict=True)]
    assert contrast(found["ink"], "#" + "".join(f"{v:02x}" for v in hot)) >= 4.5


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What a run leaves."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps(evaluation()))
    (folder / "environment.json").write_text(json.dumps(environment()))
    (folder / "settings.json").write_text('{"name": "my-own-shop"}')
    return folder


def test_a_run_folder_tells_of_its_machine_and_its_settings(run_folder: Path) -> None:
    written = write_report(run_folder)
    assert written.page == run_folder / "report.html"
    words = Page(written.page.read_text("utf8")).words
    assert "my-own-shop" in words
    assert "versions · numpy" in words


def test_a_file_alone_has_a_page_of_its_own_name(run_folder: Path) -> None:
    file = run_folder / "evaluation.json"
    assert Run.read(file).page == run_folder / "report.html"
    other = file.rename(run_folder / "quality-ml-1m.json")
    assert write_report(other).page == run_folder / "quality-ml-1m.html"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "is no evaluation"),
        ('{"name": "package"}', "is no evaluation"),
        ('{"systems": {"als": {"ndcg@10": "high"}}}', "systems.als.ndcg@10"),
    ],
)
def test_what_is_no_evaluation_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text(text)
    with pytest.raises(DataError, match=said):
        write_report(tmp_path)


def test_a_run_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is none"):
        write_report(tmp_path)


def test_an_earlier_page_stays_if_the_new_one_cannot_be_made(run_folder: Path) -> None:
    page = write_report(run_folder).page
    before = page.read_bytes()
    (run_folder / "environment.json").write_text("{")
    with pytest.raises(DataError, match=r"environment\.json"):
        write_report(run_folder)
    assert page.read_bytes() == before
    assert len(list(run_folder.iterdir())) == 4


def test_a_page_that_cannot_be_written_is_named(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write_report(run_folder, tmp_path / "nowhere" / "report.html")


def test_the_command_writes_a_page_and_its_gist(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    with pytest.raises(SystemExit) as exit_:
        main(["report", str(run_folder), "--out", str(page), "--json", "-"])
    out, err = capsys.readouterr()
    assert exit_.value.code == Exit.OK
    told = json.loads(out)
    assert told["verdict"] == "better"
    assert told["report"] == str(page)
    assert "The two-stage list beats every other list." in err
    assert page.read_text("utf8").startswith("<!doctype html>")


def test_the_command_says_where_there_is_no_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["report", str(tmp_path)])
    assert exit_.value.code == Exit.DATA
    assert "evaluation.json" in capsys.readouterr().err


def test_what_the_ranker_goes_by_is_drawn_and_said() -> None:
    words = page_of(evaluation()).words
    assert "it rests most on “source next”, without which it would lose 0.0810" in words
    assert "Over the lists of 284 users" in words
    values = evaluation()
    values["importance"]["families"] = []
    assert "importance" not in page_of(values).ids
