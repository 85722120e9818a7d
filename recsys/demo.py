"""A shop that is made up, an engine that learns from it, and what that engine offers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recsys.engine import Engine
from recsys.evaluation.evaluate import Evaluation, evaluate
from recsys.features.errors import SettingsError
from recsys.features.outputs import check_file, check_inside
from recsys.fitting import Progress, silent
from recsys.settings import EngineSettings
from recsys.shop import FILES, Shop, is_of_shop, make_shop

OFFERED = 5
"""Items that each customer is offered."""

_FEW = 20  # events: of fewer, the share of purchases says little
_SHOWN = 8  # newest events that are shown of a customer


@dataclass(frozen=True)
class Customer:
    """What one customer did before the cutoff, is offered, and did afterwards."""

    id: str
    about: str  # which kind of customer it is
    did: pl.DataFrame  # time, event, title; the newest events, the last one last
    offered: pl.DataFrame  # rank, title, reason, later: what was done with it after the cutoff


@dataclass(frozen=True)
class Demo:
    """What the demo has to show."""

    customers: tuple[Customer, ...]
    evaluation: Evaluation


def shop_settings(seed: int = 0, folder: Path | None = None) -> EngineSettings:
    """The settings of an engine for `Shop`; its tables are in `folder` or given to `Engine.fit`."""
    events = () if folder is None else str(folder / "events.parquet")
    items = () if folder is None else str(folder / "items.parquet")
    return EngineSettings.parse(
        {
            "name": "demo-shop",
            "interactions": {
                "path": events,
                "time": "time",
                "event": "event",
                "quantity": "quantity",
            },
            "catalog": {
                "path": items,
                "title": "title",
                "text": ["title", "description"],
                "category": ["category", "brand"],
                "tags": "tags",
                "price": "price",
                "available": "available",
                "variant": "variant_group",
            },
            "evaluation": {"protocol": "time"},
            "seed": seed,
        }
    )


def check_keep(folder: Path | None) -> None:
    """Raise OutputError where a shop cannot be kept, and SettingsError where its files would take
    the place of others that no demo wrote.
    """
    if folder is None:
        return
    check_inside(folder, "--keep")
    for name in FILES:
        file = folder / name
        if file.exists() and not is_of_shop(file):
            raise SettingsError(f"--keep {folder}: {file} is there and is of no demo; name another")
        check_file(file, "--keep", makes_folders=True)


def run_demo(
    users: int,
    items: int,
    seed: int,
    folder: Path,
    progress: Progress = silent,
) -> Demo:
    """Make a shop in `folder`, learn from its past, and hold the lists against its last days."""
    progress("making a shop", 0.0)
    shop = make_shop(users=users, items=items, seed=seed)
    shop.write(folder)
    progress("making a shop", 1.0)
    settings = shop_settings(seed, folder)
    engine = Engine(settings)
    log, catalog = engine.read()
    evaluation = evaluate(engine, log, catalog, settings.evaluation, progress)
    cutoff = datetime.fromisoformat(evaluation.protocol["cutoff"]).replace(tzinfo=None)
    return Demo(tuple(meet(shop, engine, cutoff)), evaluation)


def meet(shop: Shop, engine: Engine, cutoff: datetime) -> Iterator[Customer]:
    """Up to three customers who came back after the cutoff, before which the engine learnt."""
    past = shop.events.filter(pl.col("time") < cutoff)
    future = shop.events.filter(pl.col("time") >= cutoff)
    titles = shop.items.select("item_id", "title")
    for about, customer in varied(past, future).items():
        mine = pl.col("user_id") == customer
        yield Customer(
            id=customer,
            about=about,
            did=_did(past.filter(mine), titles),
            offered=_offered(engine.recommend([customer], k=OFFERED), future.filter(mine), titles),
        )


def varied(past: pl.DataFrame, future: pl.DataFrame) -> Mapping[str, str]:
    """Ids by what is to be said of each: who did least, who buys most readily, who did most.

    All came back after the cutoff. Equals are told apart by their ids, nobody is there twice.
    """
    buys, events = (pl.col("event") == "purchase").sum(), pl.len()
    left = (
        past.join(future, on="user_id", how="semi")
        .group_by("user_id")
        .agg(events=events, buys=buys, readiness=buys / (events + _FEW))
    )
    chosen = {}
    for by, descending in (("events", False), ("readiness", True), ("events", True)):
        first = left.sort(by, "user_id", descending=[descending, False]).head(1)
        for row in first.iter_rows(named=True):
            about = f"events {row['events']}, purchases {row['buys']}"
            chosen[about] = row["user_id"]
        left = left.filter(~pl.col("user_id").is_in(list(chosen.values())))
    return chosen


def demo_dict(demo: Demo) -> dict[str, Any]:
    """The same for JSON: as that of an evaluation, with the customers."""
    customers = [
        {
            "user_id": each.id,
            "about": each.about,
            "did": each.did.to_dicts(),
            "offered": each.offered.to_dicts(),
        }
        for each in demo.customers
    ]
    return {**demo.evaluation.as_dict("demo-shop"), "customers": customers}


def _did(events: pl.DataFrame, titles: pl.DataFrame) -> pl.DataFrame:
    newest = events.sort("time", maintain_order=True).tail(_SHOWN)
    named = newest.join(titles, on="item_id", how="left", maintain_order="left")
    return named.select(pl.col("time").dt.strftime("%d %b %H:%M"), "event", "title")


def _offered(lists: pl.DataFrame, later: pl.DataFrame, titles: pl.DataFrame) -> pl.DataFrame:
    steps = pl.Enum(["view", "cart", "purchase"])
    furthest = later.group_by("item_id").agg(later=pl.col("event").cast(steps).max())
    return (
        lists.drop_nulls("item_id")
        .join(titles, on="item_id", how="left", maintain_order="left")
        .join(furthest, on="item_id", how="left", maintain_order="left")
        .select("rank", "title", "reason", pl.col("later").cast(pl.String))
    )
