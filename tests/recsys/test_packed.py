"""Copies of an engine: pickle, deepcopy, joblib and cloudpickle go through its saved files."""

import copy
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.engine import Engine
from recsys.features.errors import ArtifactError
from recsys.settings import EngineSettings


def by_joblib(engine: Engine) -> Engine:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(engine, file)
    file.seek(0)
    loaded: Engine = joblib.load(file)
    return loaded


def by_cloudpickle(engine: Engine) -> Engine:
    loaded: Engine = pickle.loads(pytest.importorskip("cloudpickle").dumps(engine))
    return loaded


WAYS: dict[str, Callable[[Engine], Engine]] = {
    "pickle": lambda engine: pickle.loads(pickle.dumps(engine)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "joblib": by_joblib,
    "cloudpickle": by_cloudpickle,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_answers_as_the_engine_does(
    way: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = WAYS[way](engine)
    assert other is not engine
    assert other.recommend(engine.users[:9], k=4).equals(engine.recommend(engine.users[:9], k=4))
    assert (other.settings, other.notes) == (engine.settings, engine.notes)
    assert os.listdir(tmp_path) == []


def test_an_engine_that_has_learnt_nothing_is_copied_by_its_settings() -> None:
    engine = Engine(EngineSettings.parse({"seed": 7}))
    assert pickle.loads(pickle.dumps(engine)).settings == engine.settings


def test_a_copy_that_was_damaged_is_an_error_of_ours(engine: Engine) -> None:
    whole = pickle.dumps(engine)
    at = len(whole) // 2
    with pytest.raises(ArtifactError, match="damaged"):
        pickle.loads(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
