"""An evaluation as `recsys evaluate --json` writes it, with every part that there can be."""

import math
from typing import Any

KS = (5, 10, 20)
COST = {  # NDCG@10, HR@10, coverage, seconds
    "two-stage": (0.0773, 0.1237, 0.802, 5.93),
    "fused": (0.0485, 0.0911, 0.978, 2.65),
    "next": (0.0576, 0.0918, 0.995, 0.289),
    "wide": (0.0525, 0.0862, 0.998, 0.359),
    "als": (0.0266, 0.0509, 0.093, 0.644),
    "content": (0.0154, 0.0285, 0.775, 0.681),
    "popular": (0.0061, 0.0137, 0.0013, 0.0963),
}
USERS, ITEMS = 22_363, 12_101
SOURCES = ("next", "wide", "als", "content", "popular")
LOST = {
    "on the list": 2_765,
    "ranked below 10": 5_174,
    "deeper than every source's depth": 3_489,
    "found by no source": 9_881,
    "had before": 0,
    "unavailable": 402,
    "unknown at the cutoff": 540,
    "of users without a past": 112,
}
SLICES = {
    "history length": {
        "1-4 events": (6_120, 0.081, 0.062),
        "5-19 events": (14_702, 0.077, 0.057),
        "20-99 events": (1_502, 0.066, 0.049),
        "100 events and more": (39, 0.071, 0.060),
    },
    "item popularity": {
        "0 events": (540, 0.0, 0.0),
        "1-9 events": (5_204, 0.049, 0.041),
        "10-99 events": (14_310, 0.086, 0.064),
        "100 events and more": (2_309, 0.092, 0.058),
    },
    "item age": {
        "under 7 days": (804, 0.024, 0.012),
        "7-30 days": (1_911, 0.058, 0.040),
        "31-180 days": (7_008, 0.083, 0.064),
        "more than 180 days": (12_640, 0.079, 0.058),
    },
    "category": {
        "Skin Care": (7_310, 0.081, 0.061),
        "Hair Care": (5_022, 0.070, 0.049),
        "Makeup": (4_812, 0.090, 0.069),
        "Fragrance": (1_230, 0.031, 0.027),
        "other": (3_989, 0.069, 0.052),
    },
}


def evaluation() -> dict[str, Any]:
    """A whole evaluation of a shop of cosmetics; a new dict at every call."""
    return {
        "data": "amazon-beauty",
        "protocol": _protocol(),
        "users": USERS,
        "systems": {name: _scores(name) for name in COST},
        "intervals": {
            name: {f"ndcg@{k}": _around(_scores(name)[f"ndcg@{k}"]) for k in KS} for name in COST
        },
        "comparisons": [
            _comparison(name, m) for m in ("ndcg@10", "hr@10") for name in list(COST)[1:]
        ],
        "slices": [_slice(by, name, *v) for by, each in SLICES.items() for name, v in each.items()],
        "account": _account(),
        "importance": _importance(),
        "calibration": {"error": 0.0183, "bins": [_bin(n) for n in range(10)]},
        "curves": [_epoch(run, n) for run in range(3) for n in range(1, 9)],
        "examples": [_example("A1YJEY40YUW4SE", 8), _example("A60XNB876KYML", 1)],
        "windows": [_window(n) for n in range(4)],
        "runs": [_run(seed) for seed in range(3)],
        "fit_seconds": 69.18,
        "peak_memory_bytes": 2_597_044_224,
        "notes": [
            "catalogue: 12,101 rows read, 12,101 kept, 0 rejected",
            "log: 198,502 rows read, 198,502 kept, 0 rejected",
        ],
    }


def environment() -> dict[str, Any]:
    """What a run folder says of the machine, as environment.json."""
    return {
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "processor": "Intel Xeon, 2 cores",
        "commit": "1829c04",
        "command": "recsys evaluate benchmarks/configs/amazon-beauty.toml --seeds 0,1,2",
        "versions": {"numpy": "2.4.1", "torch": "2.13.0", "polars": "2.1.0"},
    }


def _protocol() -> dict[str, Any]:
    return {
        "name": "last-item",
        "k": 10,
        "at": list(KS),
        "seed": [0, 1, 2],
        "users": USERS,
        "positives": USERS,
        "items": ITEMS,
        "users_without_past": 112,
        "users_without_allowed_positives": 402,
        "positives_not_allowed": 402,
    }


def _scores(name: str) -> dict[str, float]:
    ndcg, hr, coverage, seconds = COST[name]
    scores: dict[str, float] = {}
    for k in KS:
        near = (k / 10) ** 0.45
        scores |= {
            f"ndcg@{k}": ndcg * (k / 10) ** 0.22,
            f"recall@{k}": hr * near,
            f"hr@{k}": hr * near,
            f"precision@{k}": hr * near / k,
            f"f1@{k}": 2 * hr * near / (k + 1),
            f"map@{k}": ndcg * 0.83,
            f"mrr@{k}": ndcg * 0.83,
        }
    return scores | {
        "coverage@10": coverage,
        "gini@10": 1 - coverage * 0.6,
        "novelty@10": 8 + 4 * coverage,
        "diversity@10": 0.35 + coverage / 5,
        "category_diversity@10": 0.41 + coverage / 6,
        "serendipity@10": hr * 0.92,
        "cold_share@10": coverage * 0.03,
        "seconds": seconds,
        "users_per_second": USERS / seconds,
    }


def _around(value: float, users: int = USERS) -> list[float]:
    half = 1.96 * math.sqrt(0.6 * value / users)
    return [max(0.0, value - half), value + half]


def _comparison(name: str, metric: str) -> dict[str, Any]:
    ours, theirs = _scores("two-stage")[metric], _scores(name)[metric]
    near = name == "next" and metric == "hr@10"
    difference = 0.0008 if near else ours - theirs
    return {
        "metric": metric,
        "system": "two-stage",
        "against": name,
        "difference": difference,
        "interval": [difference - 0.0021, difference + 0.0021],
        "p": 0.31 if near else 1e-12,
        "p_corrected": 0.31 if near else 6e-12,
        "verdict": "inside the noise" if near else "better",
    }


def _slice(by: str, name: str, users: int, ours: float, theirs: float) -> dict[str, Any]:
    scores = {"two-stage": ours, "next": theirs, "als": theirs / 2}
    return {
        "by": by,
        "slice": name,
        "users": users,
        "positives": users,
        "systems": {
            system: {"ndcg@10": v, "recall@10": v * 1.6, "interval": _around(v, users)}
            for system, v in scores.items()
        },
    }


def _importance() -> dict[str, Any]:
    falls = {"source next": 0.081, "category": 0.022, "price": 0.004, "source popular": -0.001}
    return {
        "metric": "ndcg@10",
        "value": 0.2312,
        "users": 284,
        "seed": 0,
        "families": [
            {"family": name, "fall": fall, "interval": [fall - 0.003, fall + 0.003]}
            for name, fall in falls.items()
        ],
    }


def _account() -> dict[str, Any]:
    found = {"next": 0.2312, "wide": 0.2207, "als": 0.1534, "content": 0.1121, "popular": 0.0213}
    return {
        "sources": {
            name: {
                "depth": 20 if name == "popular" else 64,
                "recall": recall,
                "only": round(recall * 4_000),
                "only_share": round(recall * 4_000) / USERS,
                "candidates": 20.0 if name == "popular" else 61.4,
                "seconds": COST[name][3],
            }
            for name, recall in found.items()
        },
        "overlap": {
            "sources": list(SOURCES),
            "share": [
                [1.0, 0.71, 0.19, 0.12, 0.01],
                [0.70, 1.0, 0.21, 0.13, 0.01],
                [0.18, 0.20, 1.0, 0.07, 0.09],
                [0.11, 0.12, 0.06, 1.0, 0.0],
                [0.03, 0.03, 0.28, 0.01, 1.0],
            ],
        },
        "union": {"recall": 0.355, "candidates": 218.3, "seconds": 2.41},
        "ranker": {"ndcg@10": 0.0773, "best@10": 0.355, "given@10": 0.2177, "seconds": 3.28},
        "lost": [{"stage": stage, "positives": n, "share": n / USERS} for stage, n in LOST.items()],
        "positives": USERS,
    }


def _bin(number: int) -> dict[str, Any]:
    predicted = 0.01 + number * 0.055
    return {
        "predicted": predicted,
        "observed": predicted * (0.82 + 0.03 * number),
        "count": round(90_000 / (number + 1) ** 2),
    }


def _epoch(run: int, number: int) -> dict[str, float]:
    train = 2.1 + 1.1 / number + 0.01 * run
    return {
        "run": run,
        "epoch": number,
        "train": train,
        "held out": train + 0.12 + 0.004 * number**1.6,
    }


def _example(user: str, first: int) -> dict[str, Any]:
    titles = [
        "Argan Oil Hair Mask, 8 oz",
        "Vitamin C Serum for Face with Hyaluronic Acid",
        "Bamboo Charcoal Detangling Brush",
        "Aloe Vera Gel, Organic, Cold Pressed",
        "Matte Liquid Lipstick Set of 6",
        "Retinol Night Cream 2.5 %",
    ]
    items = [{"item_id": f"B00{first}{n}XQ", "title": title} for n, title in enumerate(titles)]
    reasons = [
        "often follows Argan Oil Hair Mask, 8 oz",
        "chosen together with Vitamin C Serum",
        "like Retinol Night Cream 2.5 % in words",
        "popular now",
        "often follows Bamboo Charcoal Detangling Brush",
    ]
    return {
        "user": user,
        "about": "3 events",
        "history": items[:3],
        "chosen": items[4:5],
        "list": [
            {
                **items[n + 1],
                "rank": n + 1,
                "score": 4.2 - n * 0.7,
                "sources": list(SOURCES[n : n + 2]),
                "reason": reasons[n],
                "hit": n == 3,
            }
            for n in range(5)
        ],
    }


def _window(number: int) -> dict[str, Any]:
    change = 1 + 0.06 * math.sin(number * 2)
    return {
        "cutoff": f"2014-0{number + 3}-01T00:00:00+00:00",
        "users": 5_000 + 310 * number,
        "systems": {
            name: {"ndcg@10": v[0] * change, "recall@10": v[1] * change} for name, v in COST.items()
        },
    }


def _run(seed: int) -> dict[str, Any]:
    systems = {name: {"ndcg@10": v[0] + 0.0004 * (seed - 1)} for name, v in COST.items()}
    return {"protocol": {"name": "last-item", "k": 10, "seed": seed}, "systems": systems}
