"""A text encoder that learns from behaviour: texts of items had together move together."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys.features.arrays import Array, Floats, Rows
from recsys.features.errors import MissingDependency, SettingsError, TrainingError
from recsys.features.interactions import Interactions
from recsys.features.settings import check_at_most
from recsys.features.text import TextEncoder, pooled
from recsys.features.text_adapters import Adapters
from recsys.features.threads import seeded
from recsys.retrieval.text_pairs import TextPairs

if TYPE_CHECKING:
    import torch


def _tell_nobody(share: float) -> None: ...


@dataclass(frozen=True, kw_only=True)
class TextTuning:
    """Contrastive training of LoRA adapters on pairs that people had within a window.

    Each pair's first text is to find its second among all second texts of the batch and `hard`
    texts a pair that read alike but were never had beside it: InfoNCE (van den Oord et al. 2018)
    with in-batch negatives, of which those that were had together are left out.
    """

    pairs: int = 2_560  # drawn in all, with replacement
    batch: int = 128  # pairs of one step
    rank: int = 16  # of the adapters
    learning_rate: float = 1e-3
    temperature: float = 0.05
    hard: int = 0  # hard negatives for each pair
    near: int = 50  # hard negatives are among so many of the most alike
    window: int = 5
    max_tokens: int = 32  # of a text while training; vectors are made of as many as ever
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_most(
            self,
            pairs=10_000_000,
            batch=65_536,
            rank=1_024,
            hard=1_000,
            near=10_000,
            window=1_000,
            max_tokens=512,
        )
        for name in ("pairs", "rank", "near", "window"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.batch < 2:
            raise SettingsError(f"batch must be at least 2; got {self.batch}")
        if self.hard < 0:
            raise SettingsError(f"hard must be at least 0; got {self.hard}")
        for name in ("learning_rate", "temperature"):
            if not 0 < getattr(self, name) <= 1:
                value = getattr(self, name)
                raise SettingsError(f"{name} must be above 0 and at most 1; got {value}")

    def fit(
        self,
        encoder: TextEncoder,
        texts: pl.Series,
        log: Interactions,
        progress: Callable[[float], None] = _tell_nobody,
    ) -> TextEncoder:
        """The encoder with adapters that were learnt from a log whose items have texts (items,).

        Raises TrainingError where no two texts were had together, or where training diverges, and
        MissingDependency where peft is not installed.
        """
        pairs = TextPairs.of(log, texts, self.window)
        if not len(pairs):
            raise TrainingError("a text encoder is tuned on items that were had together; none are")
        rng = np.random.default_rng(self.seed)
        firsts, seconds = pairs.drawn(self.pairs, rng)
        vectors = encoder.embed(pairs.texts) if self.hard else None
        tokens = replace(encoder, max_tokens=self.max_tokens).tokens(pairs.texts.to_list())
        network = _adapted(encoder.network(), self.rank, self.seed)
        steps = range(0, self.pairs, self.batch)
        optimizer, schedule = _optimizer(network, self.learning_rate, len(steps))
        for start in steps:
            first, second = firsts[start : start + self.batch], seconds[start : start + self.batch]
            loss = self._loss(
                network, tokens, pairs, first, self._offered(pairs, first, second, vectors, rng)
            )
            if not bool(loss.isfinite()):
                raise TrainingError(f"tuning the text encoder diverged at pair {start:,}")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress(min(1.0, (start + self.batch) / self.pairs))
        return replace(encoder, adapters=_learnt(network, self.rank))

    def _offered(
        self,
        pairs: TextPairs,
        first: Rows,
        second: Rows,
        vectors: Floats | None,
        rng: np.random.Generator,
    ) -> Rows:
        """What the first texts (b,) choose from: the second ones (b,), then hard negatives."""
        if vectors is None:
            return second
        hard = [pairs.strangers(first, vectors, self.near, rng) for _ in range(self.hard)]
        return np.concatenate([second, *hard])

    def _loss(
        self, network: Any, tokens: list[list[int]], pairs: TextPairs, first: Rows, offered: Rows
    ) -> "torch.Tensor":
        import torch

        rows, places = np.unique(np.concatenate([first, offered]), return_inverse=True)
        vectors = pooled(network, [tokens[row] for row in rows])[torch.from_numpy(places)]
        logits = vectors[: len(first)] @ vectors[len(first) :].T / self.temperature  # (b, o)
        right = torch.arange(len(first), device=logits.device)
        barred = torch.from_numpy(self._barred(pairs, first, offered)).to(logits.device)
        return torch.nn.functional.cross_entropy(logits.masked_fill(barred, -1e4), right)

    def _barred(self, pairs: TextPairs, first: Rows, offered: Rows) -> Array:
        """(b, o) what is no negative: related to the first text, or the same as its second."""
        barred = pairs.related(first, offered)
        barred[np.arange(len(first)), np.arange(len(first))] = False
        return barred


def _adapted(network: Any, rank: int, seed: int) -> Any:
    """The model with fresh adapters at every linear layer, all else frozen."""

    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingDependency(
            "tuning a text encoder needs peft: pip install 'recsys[tune]'"
        ) from None
    with seeded(seed):
        config = LoraConfig(r=rank, lora_alpha=_alpha(rank), target_modules="all-linear")
        with warnings.catch_warnings():  # peft asks transformers by a name that is on its way out
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            return get_peft_model(network, config)


def _alpha(rank: int) -> int:
    """The products of adapters are added twice over, whatever their rank."""
    return 2 * rank


def _optimizer(network: Any, rate: float, steps: int) -> tuple[Any, Any]:
    """AdamW over the adapters; the rate rises for a tenth of the steps, then falls to nothing."""
    import torch

    adapters = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(adapters, lr=rate, weight_decay=0.01)

    def share(step: int) -> float:
        return min((step + 1) / max(1, steps // 10), (steps - step) / steps)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def _learnt(network: Any, rank: int) -> Adapters:
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(network)
    return Adapters.of(
        {name: each.cpu().numpy() for name, each in state.items()}, rank, _alpha(rank)
    )
