"""Systems that the engine is compared with, all through the same split and the same metrics."""

import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from benchmarks.peers import source
from benchmarks.peers.als import Als
from benchmarks.peers.bpr import Bpr
from benchmarks.peers.ease import Ease
from benchmarks.peers.knn import Knn
from benchmarks.peers.lightfm import LightFm
from benchmarks.peers.popularity import Popularity
from recsys.features.arrays import Rows
from recsys.features.catalog import Catalog
from recsys.features.errors import SettingsError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.retrieval.allowed import Allowed


class Peer(Protocol):
    """A system that learns from a log and answers with lists."""

    name: str

    def fit(self, past: Interactions, catalog: Catalog) -> Self:
        """Learn from the past."""
        ...

    def lists(self, histories: Histories, allowed: Allowed, k: int) -> Rows:
        """(b, k) the best items of each history, best first; PAD where a list is short."""
        ...


PEERS: Mapping[str, Callable[..., Peer]] = {
    "popularity": Popularity,
    "knn": Knn,
    "knn-shrunk": partial(Knn, name="knn-shrunk", neighbours=200, shrinkage=50.0),
    "als": Als,
    "bpr": Bpr,
    "lightfm": LightFm,
    "ease": Ease,
    "recsys-als": source.als,
}
"""By name; each takes its settings as keywords.

knn-shrunk is the cosine kNN whose figures others gave: which one it was was found by trying.
"""

TUNED: Mapping[str, Mapping[str, Mapping[str, Any]]] = tomllib.loads(
    (Path(__file__).parent / "settings.toml").read_text(encoding="utf8")
)
"""Per data set and peer the settings that were best in validation; see `benchmarks.peers.tune`."""


def tuned(peer: str, data: str) -> Peer:
    """A peer with the settings found for a data set, with its defaults where none were sought.

    Raises SettingsError for a peer that is unknown.
    """
    if peer not in PEERS:
        raise SettingsError(f"unknown peer {peer!r}; known are {', '.join(PEERS)}")
    return PEERS[peer](**TUNED.get(data, {}).get(peer, {}))
