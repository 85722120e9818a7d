"""A tiny shop without text, and an engine that learnt from it: made once for all tests."""

from pathlib import Path

import pytest

from recsys.engine import Engine
from recsys.settings import EngineSettings
from recsys.shop import make_shop


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with events.parquet, items.parquet and shop.toml."""
    folder = tmp_path_factory.mktemp("shop")
    make_shop(users=150, items=80, days=60, seed=0).write(folder)
    (folder / "shop.toml").write_text(
        """
        name = "tiny"
        [interactions]
        path = "events.parquet"
        time = "time"
        event = "event"
        [catalog]
        path = "items.parquet"
        title = "title"
        category = "category"
        price = "price"
        available = "available"
        [training]
        least_positives = 20
        [ranker]
        epochs = 2
        [evaluation]
        protocol = "time"
        """
    )
    return folder


@pytest.fixture(scope="session")
def engine_folder(shop_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved engine."""
    folder = tmp_path_factory.mktemp("engines") / "tiny"
    settings = EngineSettings.from_toml(shop_folder / "shop.toml")
    Engine(settings).fit(data_dir=shop_folder).save(folder)
    return folder


@pytest.fixture(scope="session")
def engine(engine_folder: Path) -> Engine:
    """The saved engine, loaded."""
    return Engine.load(engine_folder)
