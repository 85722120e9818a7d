"""Warming up: afterwards no request compiles or loads a kernel, whatever its shape."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

CODE = """
import sys
import polars as pl
from recsys import Engine
from recsys.features.errors import RecsysError
from recsys.features.kernels import KERNELS

def compiled():
    return {(each.py_func.__qualname__, str(types)) for each in KERNELS
            for types in each.signatures}

engine = Engine.load(sys.argv[1])
assert engine.warm_up() > 50
items, users = engine.items.to_list(), engine.users.to_list()
asks = {
    "one": lambda: engine.recommend(users[5:6], k=7),
    "two": lambda: engine.recommend(users[5:7], k=7),
    "five": lambda: engine.recommend(users[5:10], k=1),
    "all": lambda: list(engine.recommend_all(k=20)),
    "unknown": lambda: engine.recommend(["new", "newer"], k=3),
    "mixed": lambda: engine.recommend([*users[:70], "new"], k=50),
    "nobody": lambda: engine.recommend([], k=3),
    "session": lambda: engine.recommend(sessions={"v": items[3:9]}, k=3),
    "sessions": lambda: engine.recommend(sessions={"v": items[3:9], "w": [], "x": items}, k=30),
    "condition": lambda: engine.recommend(users[:1], k=3, where="price > 3"),
    "conditions": lambda: engine.recommend(users[:50], k=3, where="price > 3"),
    "none left": lambda: engine.recommend(users[:50], k=3, where="price < 0"),
    "one left": lambda: engine.recommend(users[:1], k=3, where=pl.col("item_id") == items[4]),
    "two left": lambda: engine.recommend(sessions={"v": items[:1]}, exclude=items[2:]),
    "exclude": lambda: engine.recommend(users[:1], k=3, exclude=items[:4]),
    "longer than all": lambda: engine.recommend(users[:3], k=10_000),
    "similar": lambda: engine.similar_items(items[:3], k=3),
    "explain": lambda: engine.explain(users[9], k=5),
    "explain some": lambda: engine.explain(users[9], items=items[:5]),
    "explain a visit": lambda: engine.explain(sessions={"v": items[3:5]}, where="price > 3"),
    "probabilities": lambda: engine.recommend(users[:50], k=3, probabilities=True),
    "by value": lambda: engine.recommend(users[:1], k=3, by_value="price"),
    "titles": lambda: engine.titles(items),
}
finals = {
    "block": {"rules": [{"kind": "block", "where": "price < 3"}]},
    "boost": {"rules": [{"kind": "boost", "where": "price < 9", "factor": 0.5}]},
    "pins": {"rules": [{"kind": "pin", "items": items[3:5], "place": 2}]},
    "cap": {"rules": [{"kind": "cap", "column": "category", "most": 1}]},
    "new": {"rules": [{"kind": "new", "share": 0.2, "days": 30.0}]},
    "price": {"rules": [{"kind": "price", "most": 50.0}]},
    "several": {"rules": [{"kind": "cap", "column": "category", "most": 2},
                          {"kind": "new", "share": 0.2},
                          {"kind": "pin", "items": items[:1]}], "exploration": {"slots": 2}},
    "even lots": {"exploration": {"slots": 2, "draw": "uniform"}},
    "mmr": {"diversity": {"method": "mmr", "strength": 0.5}},
    "dpp": {"diversity": {"method": "dpp"}},
}
for name, settings in finals.items():
    asks[name] = lambda s=settings: engine.with_final(s).recommend(users[:1], k=5)
    asks[name + " of many"] = lambda s=settings: engine.with_final(s).recommend(users, k=5)
    asks[name + " of nothing"] = lambda s=settings: engine.with_final(s).recommend(
        users[:2], k=5, where="price < 0")
    asks[name + " explained"] = lambda s=settings: engine.with_final(s).explain(users[0], k=5)
before = compiled()
for name, ask in asks.items():
    try:
        ask()
    except RecsysError as error:
        print(name, error)
    if late := compiled() - before:
        print("LATE", name, late)
        before |= late
"""


def test_after_warming_up_no_request_loads_a_kernel(engine_folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE, engine_folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stdout.splitlines() if line.startswith("LATE")] == []
