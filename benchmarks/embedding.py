"""Texts embedded per second: `TextEncoder` beside sentence-transformers, on the same weights.

python -m benchmarks.embedding --data-dir ../shared/data --texts 3000
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.machine import machine
from recsys.features.arrays import Floats
from recsys.features.text import TextEncoder

Figures = dict[str, dict[str, float] | float]

WORDS = ["red", "soft", "oak", "nail", "lamp", "tea", "cream", "chair", "brush", "travel", "large"]


def main() -> None:
    options = _options()
    titles = _titles(options.data_dir, options.texts)
    with tempfile.TemporaryDirectory() as folder:
        encoder = TextEncoder(cache=Path(folder), device="cpu")
        encoder.embed(["the weights are read before the clock starts"])
        vectors, first = _timed(lambda: encoder.embed(titles))
        _, cached = _timed(lambda: encoder.embed(titles))
        figures: Figures = {"recsys": first, "recsys, second run": cached}
        if find_spec("sentence_transformers"):
            theirs = _peer(encoder, titles)
            runs = [(_alone(encoder, titles), _timed(theirs)) for _ in range(options.rounds)]
            figures["recsys"] = _median([ours for (_, ours), _ in runs])
            figures["sentence-transformers"] = _median([peer for _, (_, peer) in runs])
            other = runs[0][1][0]
            figures["largest difference"] = float(np.abs(vectors - other).max())
    _show(figures, len(titles))
    if options.json:
        options.json.write_text(json.dumps({**machine(), **figures}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="holds amazon-beauty; else texts are made up")
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3, help="both in turn; medians are shown")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    return options


def _titles(data_dir: Path | None, n: int) -> pl.Series:
    """`n` distinct texts, none empty."""
    if data_dir:
        titles = pl.read_parquet(data_dir / "amazon-beauty" / "items.parquet")["title"]
        return titles.drop_nulls().unique(maintain_order=True).sample(n, seed=0)
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 15, n)
    return pl.Series([f"{i} " + " ".join(rng.choice(WORDS, w)) for i, w in enumerate(lengths)])


def _peer(encoder: TextEncoder, titles: pl.Series) -> Callable[[], Floats]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder.folder), device="cpu")
    model.max_seq_length = encoder.max_tokens
    texts = titles.to_list()
    return lambda: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def _timed(work: Callable[[], Floats]) -> tuple[Floats, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = work()
    seconds = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return vectors, seconds


def _alone(encoder: TextEncoder, titles: pl.Series) -> tuple[Floats, dict[str, float]]:
    """The same encoder with nothing on disk yet."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = replace(encoder, cache=Path(folder))
        fresh.embed(["the weights are read before the clock starts"])
        return _timed(lambda: fresh.embed(titles))


def _median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def _show(figures: Figures, texts: int) -> None:
    for name, figure in figures.items():
        if isinstance(figure, dict):
            rates = ", ".join(f"{texts / s:,.0f} texts per {k[:-2]} s" for k, s in figure.items())
            print(f"{name:24} {rates}")
        else:
            print(f"{name:24} {figure:.1e}")


if __name__ == "__main__":
    main()
