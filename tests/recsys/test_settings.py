"""Settings from Python and TOML, and what is said of wrong ones."""

from pathlib import Path
from typing import Any

import pytest

from recsys.engine import Engine
from recsys.features.columns import DEFAULT_EVENTS
from recsys.features.errors import SettingsError
from recsys.parts import make_ranker, make_sources
from recsys.settings import (
    AUTO,
    DEFAULT_SOURCES,
    EngineSettings,
    TrainingSettings,
    source_tables,
)
from tests.shops import ordered_settings, orders

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"


def test_defaults_make_an_engine() -> None:
    settings = EngineSettings()
    Engine(settings)
    assert list(source_tables(settings)) == list(DEFAULT_SOURCES)
    assert [member.name for member in make_sources(settings).members] == list(DEFAULT_SOURCES)
    assert settings.events == dict(DEFAULT_EVENTS)


def test_toml_and_python_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        """
        name = "shop"
        seed = 7
        [interactions]
        user = "customer"
        time = "at"
        [catalog]
        text = "title"
        [events.gift]
        weight = 2
        offer_again = true
        [sources.als]
        factors = 32
        [sources.popular]
        use = false
        [training]
        moments = 3
        """
    )
    python = EngineSettings.parse(
        {
            "name": "shop",
            "seed": 7,
            "interactions": {"user": "customer", "time": "at"},
            "catalog": {"text": ["title"]},
            "events": {"gift": {"weight": 2.0, "offer_again": True}},
            "sources": {"als": {"factors": 32}, "popular": {"use": False}},
            "training": TrainingSettings(moments=3),
        }
    )
    assert EngineSettings.from_toml(path) == python


def test_sources_are_laid_over_the_defaults() -> None:
    settings = EngineSettings.parse(
        {
            "sources": {
                "als": {"factors": 8},
                "popular": {"use": False},
                "looks": {"kind": "content", "vectors": "image", "depth": 7},
            }
        }
    )
    tables = source_tables(settings)
    assert tables["als"] == {"kind": "als", "factors": 8, "depth": AUTO, "use": AUTO}
    assert tables["looks"]["use"] is True
    assert "popular" not in tables
    assert list(tables)[-1] == "looks"
    assert "use" not in DEFAULT_SOURCES["popular"]  # the defaults are not edited
    made = {member.name: member for member in make_sources(settings).members}
    assert made["looks"].depth == 7


def test_every_column_of_vectors_is_read_by_some_source() -> None:
    settings = EngineSettings.parse(
        {
            "catalog": {"vector": ["image", "sound of it", "text", "smell"]},
            "sources": {
                "looks": {"kind": "content", "vectors": "image", "depth": 7},
                "vectors-smell": {"depth": 5},
                "sequence": {"vectors": "smell"},
            },
        }
    )
    tables = source_tables(settings)
    likeness = {"kind": "content", "vectors": "sound of it", "depth": 0, "use": True}
    assert tables["vectors-sound-of-it"] == likeness
    assert tables["vectors-smell"]["depth"] == 5
    assert not {"vectors-image", "vectors-text"} & tables.keys()
    made = {each.name: each.retriever for each in make_sources(settings).members}
    assert made.keys() == tables.keys()
    assert [name for name, each in made.items() if getattr(each, "index", each) is None] == [
        "vectors-sound-of-it"
    ]


def test_vectors_of_text_that_the_content_source_leaves_are_read_by_another() -> None:
    catalog = {"vector": ["image", "text"]}
    content = {"content": {"vectors": "image"}}
    tables = source_tables(EngineSettings.parse({"catalog": catalog, "sources": content}))
    assert tables["vectors-text"]["vectors"] == "text"
    assert "vectors-image" not in tables
    more = {"more": {"kind": "content"}}
    both = EngineSettings.parse({"catalog": catalog, "sources": content | more})
    assert "vectors-text" not in source_tables(both)


def test_columns_of_vectors_whose_sources_would_have_one_name_are_an_error() -> None:
    with pytest.raises(SettingsError, match=r"columns of vectors .* got 'a b' and 'a/b'"):
        EngineSettings.parse({"catalog": {"vector": ["a b", "image", "a/b"]}})


def test_a_source_of_ones_own_needs_no_depth() -> None:
    settings = EngineSettings.parse({"sources": {"more": {"kind": "als"}}})
    made = {member.name: member for member in make_sources(settings).members}
    assert made["more"].depth > 0


def test_seed_and_device_reach_every_part_that_has_none_of_its_own() -> None:
    settings = EngineSettings.parse(
        {"seed": 5, "device": "cpu", "sources": {"more": {"kind": "als", "seed": 9}}}
    )
    made = {member.name: member.retriever for member in make_sources(settings).members}
    assert (made["als"].seed, made["als"].device) == (5, "cpu")  # type: ignore[attr-defined]
    assert made["more"].seed == 9  # type: ignore[attr-defined]
    assert (make_ranker(settings).seed, make_ranker(settings).device) == (5, "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = -1", "setting 'seed': .* got -1"),
        ("sed = 1", r"unknown setting 'sed'; did you mean 'seed'\?"),
        ("[interactons]\nuser = 'u'", "unknown setting 'interactons'; did you mean 'interactions'"),
        ("[interactions]\nusr = 'u'", r"unknown setting 'interactions.usr'; did you mean 'user'\?"),
        ("[catalog]\ntxt = 'u'", r"unknown setting 'catalog.txt'; did you mean 'text'\?"),
        ("[events.view]\nweigth = 1", r"'events.view.weigth'; did you mean 'weight'\?"),
        ("[events.view]\nweight = 0", "setting 'events.view.weight': .* got 0"),
        ("[training]\nstretch = 0.7", "setting 'training.stretch': .* got 0.7"),
        ("[training]\nholdout = 'random'", "setting 'training.holdout': .* got 'random'"),
        ("[evaluation]\nprotocol = 'last'", "setting 'evaluation.protocol': .* got 'last'"),
        ("[evaluation]\nk = 0", "setting 'evaluation.k': .* got 0"),
        ("[sources.alz]\ndepth = 4", r"unknown source 'alz'; did you mean 'als'\?"),
        ("[sources.als]\nfactos = 4", r"'sources.als.factos'; did you mean 'factors'\?"),
        ("[sources.als]\ndpth = 4", r"'sources.als.dpth'; did you mean 'depth'\?"),
        ("[sources.als]\nuses = true", r"'sources.als.uses'; did you mean 'use'\?"),
        ("[sources.als]\nfactors = 'many'", "setting 'sources.als.factors': .* got 'many'"),
        ("[sources.als]\nkind = 'alss'", r"unknown kind 'alss' of sources.als; did you mean"),
        ("[ranker]\nepoch = 4", r"unknown setting 'ranker.epoch'; did you mean 'epochs'\?"),
        ("[fusion]\nwidht = 4", r"unknown setting 'fusion.widht'; did you mean 'width'\?"),
        ("[text]\ntuning = {pars = 9}", r"'text.tuning.pars'; did you mean 'pairs'\?"),
        ("[text]\nmodle = 'x'", r"unknown setting 'text.modle'; did you mean 'model'\?"),
        ("seed =", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as raised:
        EngineSettings.from_toml(path)
    assert "shop.toml" in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no settings file .*nothing\.toml"):
        EngineSettings.from_toml(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(SettingsError, match="cannot be read as TOML"):
        EngineSettings.from_toml(tmp_path / "latin.toml")
    with pytest.raises(SettingsError, match="cannot be read as TOML"):
        EngineSettings.from_toml(tmp_path)


def test_settings_survive_json() -> None:
    settings = EngineSettings.parse(
        {
            "catalog": {"text": ["title", "plot"], "flags": {"genres": ["drama", "war"]}},
            "text": {"cache": "somewhere"},
            "sources": {"als": {"factors": 8}},
            "ranker": {"hidden": [8, 4]},
        }
    )
    assert EngineSettings.parse(settings.model_dump(mode="json")) == settings


def test_the_benchmarks_differ_in_their_data_only() -> None:
    """The settings that learn are the defaults, the same on all sets."""
    paths = sorted(CONFIGS.glob("*.toml"))
    assert {path.stem for path in paths} >= {"amazon-beauty", "ml-1m", "ml-100k", "online-retail"}
    default = EngineSettings()
    for path in paths:
        settings = EngineSettings.from_toml(path)
        assert settings.name == path.stem
        for name in ("text", "sources", "ranker", "training", "seed"):
            assert getattr(settings, name) == getattr(default, name), (path.name, name)
        for name, event in settings.events.items():  # whether it is offered again is of the task
            assert event.weight == default.events[name].weight, (path.name, name)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"nxt": {"depth": 5}}, r"unknown source 'nxt'; did you mean 'next'\?"),
        ({"mine": {"kind": "alss"}}, r"unknown kind 'alss' of sources.mine; did you mean 'als'\?"),
        ({"als": {"factor": 5}}, r"unknown setting 'sources.als.factor'; did you mean 'factors'\?"),
        ({"als": {"factors": "many"}}, r"setting 'sources.als.factors': .* got 'many'"),
        ({"als": {"factors": 2.5}}, r"setting 'sources.als.factors': .* got 2.5"),
        ({"content": {"index": None}}, "'sources.content.index' is None, and depth 64 needs one"),
        (
            {"als": {"depth": -1}},
            "depth' must be between 0 and 100,000, or auto; got -1",
        ),
        ({"als": {"depth": "all"}}, "setting 'sources.als.depth' must be"),
        ({"als": {"depth": True}}, "setting 'sources.als.depth' must be"),
        (
            {"als": {"use": "no"}},
            "setting 'sources.als.use' must be true, false or \"auto\"; got 'no'",
        ),
        ({"als": 5}, "setting 'sources.als'.*dictionary; got 5"),
        ({"content": {"last": 0}}, "last must be at least 1; got 0"),
        (
            {name: {"depth": 0} for name in DEFAULT_SOURCES},
            "no source offers candidates; give at least one a depth above 0",
        ),
    ],
)
def test_a_wrong_source(sources: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Engine(ordered_settings(sources=sources))


def test_a_wrong_ranker() -> None:
    with pytest.raises(SettingsError, match=r"'ranker.epoch'; did you mean 'epochs'\?"):
        Engine(ordered_settings(ranker={"epoch": 3}))
    with pytest.raises(SettingsError, match=r"setting 'ranker.hidden'.* got 'wide'"):
        Engine(ordered_settings(ranker={"hidden": "wide"}))


def test_an_unknown_device() -> None:
    with pytest.raises(SettingsError, match="device"):
        Engine(ordered_settings(device="tpu")).fit(orders({"ann": "abc"}))
