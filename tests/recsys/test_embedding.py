"""The catalogue's texts as vectors: tuned if settings say so, on what is past at all moments."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.embedding import before_all_moments
from recsys.engine import Engine
from recsys.features.errors import SettingsError
from recsys.features.interactions import Clock
from recsys.learning import moments_in_time, moments_of_last_items
from recsys.settings import EngineSettings, TrainingSettings
from tests.bert import tiny_bert
from tests.shops import orders, small_shop
from tests.worlds import log_of

WORDS = ["red", "blue", "soft", "loud", "cup", "shoe", "lamp", "rug"]
ITEMS = pl.DataFrame({"item_id": [f"i{n}" for n in range(8)], "name": WORDS})
CHOICES = {f"u{n}": [f"i{(n % 4 * 2 + step) % 8}" for step in range(5)] for n in range(40)}
TUNING = {"pairs": 64, "batch": 8, "rank": 2, "max_tokens": 8}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"), WORDS)


def fitted(model: Path, choices: dict[str, list[str]] = CHOICES, **text: Any) -> Engine:
    settings = EngineSettings.parse(
        {
            "interactions": {"order": "position"},
            "catalog": {"text": "name"},
            "text": {"model": str(model), "cache": str(model / "cache"), **text},
            "sources": {"content": {"depth": 5}},
            "training": {"moments": 1, "least_positives": 1000},
        }
    )
    return Engine(settings).fit(orders(choices), ITEMS)


def vectors(engine: Engine) -> np.ndarray:
    return engine.learnt.catalog.vectors["text"]


def test_a_fit_tunes_the_model_where_settings_say_so(model: Path) -> None:
    plain, tuned = fitted(model), fitted(model, tuning=TUNING)
    assert not np.allclose(vectors(plain), vectors(tuned))
    said = "the text model is tuned on 64 pairs of items that were had together, of 160 events "
    assert [note for note in tuned.notes if note.startswith(said)]
    assert not [note for note in plain.notes if "text model" in note]
    assert len(list((model / "cache" / "text").iterdir())) == 1  # tuned vectors are kept nowhere


def test_what_the_ranker_is_to_foretell_changes_no_vector(model: Path) -> None:
    other = {user: [*own[:-1], f"i{(int(own[-1][1:]) + 1) % 8}"] for user, own in CHOICES.items()}
    before, after = (fitted(model, each, tuning=TUNING) for each in (CHOICES, other))
    np.testing.assert_array_equal(vectors(before), vectors(after))


def test_a_second_fit_of_what_was_learnt_tunes_anew(model: Path) -> None:
    engine = fitted(model, tuning=TUNING)
    again = Engine(engine.settings).fit(engine.learnt.log, engine.learnt.catalog)
    np.testing.assert_array_equal(vectors(engine), vectors(again))


def test_a_model_that_cannot_be_tuned_serves_as_it_came(model: Path) -> None:
    alone = {f"u{n}": [f"i{n % 8}"] for n in range(30)}
    engine = fitted(model, alone, tuning=TUNING)
    assert [note for note in engine.notes if note.startswith("the text model is as it came: ")]


def test_tuning_what_nobody_reads_is_an_error(model: Path) -> None:
    shop = small_shop()
    settings = EngineSettings.parse({"catalog": {"vector": "text"}, "text": {"tuning": TUNING}})
    with pytest.raises(SettingsError, match=r"'text.tuning': no text is embedded here"):
        Engine(settings).fit(shop.events, shop.items)


def test_a_misspelt_setting_is_named(model: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'text.tuning.pair'"):
        fitted(model, tuning={"pair": 3})


@pytest.mark.parametrize("clock", ["time", "order"])
def test_no_moment_foretells_what_tuning_has_seen(clock: Clock) -> None:
    rng = np.random.default_rng(0)
    log = log_of(*[rng.integers(0, 9, 8).tolist() for _ in range(30)], items=9, clock=clock)
    training = TrainingSettings(moments=2, stretch=0.1)
    hides = np.ones(len(log.events), bool)
    seen = before_all_moments(log, training, hides)
    assert 0 < len(seen) < len(log)
    for moment in moments_of_last_items(log, 2, hides):
        assert (seen.counts <= moment.past.counts).all()
    if log.clock == "time":
        *_, oldest = moments_in_time(log, 2, 0.1)
        assert seen.times.max() <= oldest.past.times.max()
