"""Sources asked as one: one that fails or cannot be fitted is named, the others answer."""

import logging
from dataclasses import dataclass

import numpy as np
import pytest

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.content import Content
from recsys.retrieval.covisit import CoVisit
from recsys.retrieval.popular import Popular
from recsys.retrieval.sources import Source, Sources, named
from tests.worlds import log_of, sessions

LOG = log_of([0, 1, 2], [0, 1], [0], items=5)
CATALOG = Catalog.empty(LOG.items)


@dataclass
class Broken(Popular):
    """A source whose index is gone."""

    name: str = "broken"
    error: Exception = RuntimeError("the index is gone")  # noqa: RUF009

    def retrieve(self, histories: Histories, k: int, allowed: Allowed) -> Candidates:
        raise self.error


def fitted(*members: Source) -> Sources:
    return Sources(members).fit(LOG, CATALOG)[0]


def test_an_unfit_source_is_left_out_with_a_note() -> None:
    steps: list[str] = []
    sources = Sources((Source(Content(), 3), Source(Popular(), 3)))
    left, notes = sources.fit(LOG, CATALOG, steps.append)
    assert [member.name for member in left.members] == ["popular"]
    assert len(notes) == 1
    assert notes[0].startswith("source 'content' is left out: ")
    assert steps == ["content", "popular"]


@dataclass
class Growing(Popular):
    """A source that can go on, and remembers from what it did."""

    name: str = "growing"
    begun: str = ""

    def refit(self, interactions: Interactions, catalog: Catalog, before: "Growing") -> "Growing":
        self.begun = f"{before.begun}."
        return self.fit(interactions, catalog)


def test_a_source_that_can_goes_on_from_what_it_learnt_of_an_older_log() -> None:
    def fit(before: Sources | None = None) -> Sources:
        sources = Sources((Source(Growing(), 3), Source(Popular(), 3)))
        return sources.fit(LOG, CATALOG, older=before.older() if before else None)[0]

    first = fit(None)
    third = fit(fit(first))
    without = Sources((Source(Popular(name="growing"), 3),)).fit(LOG, CATALOG)[0]
    begun = [
        named(each.members, "growing").retriever.begun  # type: ignore[attr-defined]
        for each in (first, third, fit(without))
    ]
    assert begun == ["", "..", ""]


def test_what_could_not_be_fitted_on_an_older_log_is_left_out_now_for_that_reason() -> None:
    both = Sources((Source(Content(), 3), Source(Popular(), 3)))
    older, said = both.fit(LOG, CATALOG)
    able = CATALOG.with_vectors("text", np.ones((len(CATALOG), 2), np.float32))
    fitted, notes = both.fit(LOG, able, older=older.older())
    assert [member.name for member in fitted.members] == ["popular"]
    assert notes == said
    assert notes[0].startswith("source 'content' is left out: the source 'content' needs catalogue")


def test_where_no_source_is_left_the_reason_is_told() -> None:
    sources = Sources((Source(Content(), 3), Source(CoVisit(), 0)))
    with pytest.raises(DataError, match=r"no source is left that offers.*'content' needs"):
        sources.fit(LOG, CATALOG)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA out of memory"), MemoryError(), ValueError("shape"), OSError("gone")],
)
def test_a_failing_source_offers_nothing_and_is_named(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    sources = fitted(Source(Broken(error=error), 3), Source(Popular(), 3))
    with caplog.at_level(logging.ERROR, "recsys"):
        found, failed = sources.retrieve(sessions([0], []), Allowed.everything(2, 5))
    assert failed == ["broken"]
    assert "'broken'" in caplog.text
    assert found.items.tolist() == [[0, 1, 2]] * 2
    assert found.sources == ("broken", "popular")
    assert (found.ranks[:, :, 0] == PAD).all()


def test_all_sources_fail() -> None:
    found, failed = fitted(Source(Broken(), 3)).retrieve(sessions([0]), Allowed.everything(1, 5))
    assert failed == ["broken"]
    assert found.items.tolist() == [[PAD]]


def test_each_source_offers_to_its_depth_or_to_the_least_that_is_asked() -> None:
    sources = fitted(Source(CoVisit(), 0), Source(Popular(), 2))
    found, failed = sources.retrieve(sessions([0]), Allowed.everything(1, 5))
    assert failed == []
    assert found.sources == ("popular",)
    assert found.items.shape == (1, 2)
    assert sources.united(sessions([0]), Allowed.everything(1, 5), 4)[0].items.shape == (1, 4)
    assert sources.united(sessions([0]), Allowed.everything(1, 5), 99)[0].items.shape == (1, 5)


def test_the_union_names_who_offered_what() -> None:
    sources = fitted(Source(CoVisit(backward=0), 3), Source(Popular(), 3))
    found, _ = sources.retrieve(sessions([1]), Allowed.everything(1, 5))
    assert found.items[0, 0] == 2  # the only one that both offer
    assert found.ranks[0].tolist() == [[0, 2], [PAD, 0], [PAD, 1]]


def test_a_source_by_its_name() -> None:
    sources = (Source(Popular(), 3), Source(CoVisit(name="often together"), 3))
    assert named(sources, "often together") is sources[1]
    with pytest.raises(DataError, match=r"no source 'als'.*\['popular', 'often together'\]"):
        named(sources, "als")
