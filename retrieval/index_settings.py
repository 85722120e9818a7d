"""How an index searches: which way, and how much of the exact answer it must find."""

from typing import Literal

from pydantic import Field

from recsys.features.settings import Settings

Kind = Literal["auto", "exact", "ivf", "hnsw", "sq", "pq"]


class IndexSettings(Settings):
    """Settings of a `VectorIndex`, such as `index = {kind = "auto", recall = 0.97}` in TOML."""

    kind: Kind = "auto"
    """"exact" reads every vector; "ivf" the cells nearest to a query; "hnsw" walks a graph of
    neighbours; "sq" and "pq" read codes of 8 bits a number and 2, and rank the best by their
    vectors. "auto" is exact below `exact_below` vectors and ivf from there on."""
    recall: float = Field(default=0.97, gt=0, le=1)
    """Of the exact answer, on a sample; an index that finds less is made to look further."""
    exact_below: int = Field(default=200_000, ge=0)
    sample: int = Field(default=200, ge=1, le=1_000_000)
    """Held vectors that recall is measured with."""
    depth: int = Field(default=100, ge=1, le=100_000)
    """Length of the lists that recall is measured on."""
    seed: int = Field(default=0, ge=0, lt=2**31)
