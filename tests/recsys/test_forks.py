"""Forks: every call of a child answers or raises at once; a clean parent's child works."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

CHILD = """
import os, signal, sys

def child(work):
    '''What became of work in a fork: what it returned, its error, or the signal that ended it.'''
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with open(reads) as file:
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return said if code == 0 else f"ended by {code}"
"""

EVERY_CALL = """
from recsys import Engine
from recsys.cli import main

folder, shop = sys.argv[1:]
engine = Engine.load(folder)
user, item = engine.users[0], engine.items[0]
calls = {
    "answer": lambda: engine.answer(None, 3),
    "explain": lambda: engine.explain(user),
    "load": lambda: Engine.load(folder),
    "recommend": lambda: engine.recommend([user]),
    "recommend_all": lambda: list(engine.recommend_all(k=2)),
    "save": lambda: engine.save(folder + "-copy"),
    "similar_items": lambda: engine.similar_items([item]),
    "titles": lambda: engine.titles([item]),
    "with_final": lambda: engine.with_final({"diversity": {"method": "mmr"}}),
}

def named(name):
    if name in calls:
        return calls[name]()
    found = getattr(engine, name)
    return found() if callable(found) else found

names = [name for name in dir(Engine) if not name.startswith("_")]
for name in names:
    print(name, child(lambda: named(name))[:100], sep="|")
print("command|", child(lambda: main(["recommend", folder, "--users", user])), sep="")
def by_pool():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply_async(engine.recommend, ([user],)).get(60)

try:
    print("pool|", by_pool(), sep="")
except Exception as error:
    print(f"pool|{type(error).__name__}: {error}")
print("grandchild|", child(lambda: child(lambda: engine.recommend([user])))[:100], sep="")
print("recommend here|", engine.recommend([user], k=2).height, sep="")
"""

CLEAN = """
import recsys.engine, recsys.evaluation.evaluate, recsys.cli
from recsys import Engine

def lists():
    engine = Engine.load(sys.argv[1])
    lists = engine.recommend(engine.users[:40], k=2).height
    return f"{lists}, then {child(lambda: engine.recommend(['u'], k=2))[:9]}"

print(child(lists))
print(child(lists))
print(Engine.load(sys.argv[1]).recommend(["nobody"], k=3).height)
"""

POLARS_ALONE = """
import polars as pl
pl.DataFrame({"a": range(1000)}).group_by("a").len()

def load():
    from recsys import Engine
    return Engine.load(sys.argv[1])

print(child(load)[:9])
"""

OPENMP = """
import torch
import recsys.engine
(torch.rand(2_000_000) * 2).sum()

def lists():
    from recsys import Engine
    engine = Engine.load(sys.argv[1])
    (torch.rand(2_000_000) * 2).sum()
    return engine.recommend(engine.users[:40], k=2).height

print(child(lists))
"""


def printed(code: str, *arguments: object) -> list[str]:
    """The lines that a fresh interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD + code, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_every_call_of_a_forked_child_says_how_to_load(
    engine_folder: Path, shop_folder: Path
) -> None:
    said = dict(line.split("|", 1) for line in printed(EVERY_CALL, engine_folder, shop_folder))
    assert said.pop("recommend here") == "2"
    assert said.pop("command") == "SystemExit: 8"
    assert {"fit", "evaluate", "recommend", "save", "users"} <= said.keys()
    wrong = {name: text for name, text in said.items() if not text.startswith("ForkError: process")}
    assert wrong == {}


def test_a_child_of_a_process_that_loaded_nothing_works(engine_folder: Path) -> None:
    assert printed(CLEAN, engine_folder) == ["80, then ForkError"] * 2 + ["3"]


def test_a_child_of_a_process_that_worked_with_polars_alone_is_told(engine_folder: Path) -> None:
    assert printed(POLARS_ALONE, engine_folder) == ["ForkError"]


def test_a_child_of_a_process_whose_torch_has_threads_works(engine_folder: Path) -> None:
    assert printed(OPENMP, engine_folder) == ["80"]
