"""Texts embedded per CPU-second: `TextEncoder` beside sentence-transformers, on the same weights.

    python -m benchmarks embed [--data-dir ../shared/data] [--rounds 3] [--json FILE]

Once with short texts (about 12 tokens, a title) and once with long ones (about 108, a
description), all systems in turn. Without sentence-transformers only ours is measured, and bf16
not where the processor has no instructions for it.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks.machine import machine
from benchmarks.measure import in_turn, peak_gb, write_results
from recsys.features.arrays import Floats
from recsys.features.text import TextEncoder

SHAPES = {"about 12 tokens": (12, 1500), "about 108 tokens": (108, 250)}
"""(tokens, texts) of each comparison."""

PEER = "sentence-transformers fp32"
NEAREST = 10

Embed = Callable[[list[str]], Floats]


def main() -> None:
    options = _options()
    titles = _titles(options.data_dir)
    results: dict[str, Any] = {"rounds": options.rounds, "shapes": {}}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        encoder = TextEncoder(cache=cache, device="cpu", max_tokens=128)
        systems = _systems(encoder, cache)
        for name, (tokens, count) in SHAPES.items():
            texts = cut(titles, tokens, count, encoder)
            results["shapes"][name] = compare(systems, texts, options.rounds)
            _show(name, results["shapes"][name])
    results["peak_gb"] = peak_gb()
    if options.json:
        write_results(options.json, {**machine(), **results})


def compare(systems: dict[str, Embed], texts: list[str], rounds: int) -> dict[str, Any]:
    """Cost and agreement of each system over the same texts."""
    vectors = {name: embed(texts) for name, embed in systems.items()}
    works = {name: (lambda embed=embed: embed(texts)) for name, embed in systems.items()}
    costs = in_turn(works, rounds, warm=False)
    judge = vectors.get(PEER, next(iter(vectors.values())))
    return {
        name: {
            "texts": len(texts),
            **cost.as_dict(),
            "texts_per_cpu_s": len(texts) / cost.cpu,
            "least_cosine": float((vectors[name] * judge).sum(axis=1).min()),
            "top10_overlap": overlap(vectors[name], judge, min(NEAREST, len(texts) - 1)),
        }
        for name, cost in costs.items()
    }


def overlap(one: Floats, other: Floats, k: int) -> float:
    """The share of each text's `k` nearest others that two sets of vectors (n, d) agree on."""
    near, far = _nearest(one, k), _nearest(other, k)
    return float((near[:, :, None] == far[:, None, :]).any(axis=2).mean())


def _nearest(vectors: Floats, k: int) -> Floats:
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    return np.argpartition(-products, k - 1, axis=1)[:, :k]


def cut(titles: pl.Series, tokens: int, count: int, encoder: TextEncoder) -> list[str]:
    """`count` texts of about so many tokens, made of titles in turn."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder.folder, local_files_only=True)
    each = max(1, tokens // 4)  # a title has some 12 tokens: enough of them, then cut
    words = titles.to_list()
    joined = [" ".join(words[(i + j) % len(words)] for j in range(each)) for i in range(count)]
    cut_off = tokenizer(joined, truncation=True, max_length=tokens)["input_ids"]
    return [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in cut_off]


def _systems(encoder: TextEncoder, cache: Path) -> dict[str, Embed]:
    """Name -> embed; none of them finds a text on the disk."""
    systems = {"recsys fp32": _alone(encoder, cache)}
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX2"):
        print("recsys bf16 is left out: this processor has no instructions for it")
    else:
        systems["recsys bf16"] = _alone(replace(encoder, half=True), cache)
    if find_spec("sentence_transformers"):
        systems[PEER] = _peer(encoder)
    else:
        print("sentence-transformers is not installed: only ours is measured")
    return systems


def _alone(encoder: TextEncoder, cache: Path) -> Embed:
    """The weights stay loaded, what was embedded before is forgotten."""

    def embed(texts: list[str]) -> Floats:
        shutil.rmtree(cache, ignore_errors=True)
        return encoder.embed(texts)

    return embed


def _peer(encoder: TextEncoder) -> Embed:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder.folder), device="cpu")
    model.max_seq_length = encoder.max_tokens
    return lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def _titles(data_dir: Path | None) -> pl.Series:
    """Distinct titles, none empty: of amazon-beauty, or of a shop that is made up."""
    if data_dir:
        titles = pl.read_parquet(data_dir / "amazon-beauty" / "items.parquet")["title"]
    else:
        from recsys.shop import make_shop

        titles = make_shop(users=10, items=3_000).items["title"]
    return titles.drop_nulls().unique(maintain_order=True).shuffle(seed=0)


def _show(name: str, systems: dict[str, dict[str, float]]) -> None:
    print(name)
    for system, figures in systems.items():
        print(
            f"  {system:28} {figures['texts_per_cpu_s']:7.1f} texts per CPU-second, "
            f"cosine at least {figures['least_cosine']:.4f}, "
            f"nearest 10 shared {figures['top10_overlap']:.3f}"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="holds amazon-beauty; else texts are made up")
    parser.add_argument("--rounds", type=int, default=3, help="all in turn; medians are shown")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
