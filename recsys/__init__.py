"""A two-stage recommender engine for e-commerce.

    from recsys import Engine, EngineSettings

    engine = Engine(EngineSettings.from_toml("shop.toml")).fit(events, items)
    engine.recommend(["u00042"], k=10)

Nothing heavy is imported before it is asked for. `RecsysError` is the root of all errors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.engine import Engine
    from recsys.features.errors import (
        ArtifactError,
        DataError,
        ForkError,
        MissingDependency,
        OutputError,
        QualityError,
        RecsysError,
        SettingsError,
        TrainingError,
    )
    from recsys.settings import EngineSettings

__version__ = "0.1.0"
__all__ = [
    "ArtifactError",
    "DataError",
    "Engine",
    "EngineSettings",
    "ForkError",
    "MissingDependency",
    "OutputError",
    "QualityError",
    "RecsysError",
    "SettingsError",
    "TrainingError",
    "__version__",
]

_HOMES = {
    "Engine": "recsys.engine",
    "EngineSettings": "recsys.settings",
    **{
        name: "recsys.features.errors"
        for name in __all__
        if name.endswith("Error") or name == "MissingDependency"
    },
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'recsys' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
