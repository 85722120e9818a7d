"""The network that reads a history and points into the space of items."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_GRAIN = 256
"""What is dropped is dropped in so many equal parts of the whole."""


class ItemSpace(nn.Module):
    """Where each item lies: an own vector plus what its content says, as a linear map.

    An item that nobody had has no vector of its own, and lies where its content puts it.
    """

    def __init__(self, content: Tensor, seen: Tensor, width: int, id_dropout: float) -> None:
        super().__init__()
        self.content: Tensor  # (items, c)
        self.seen: Tensor  # (items, 1) 1 where anybody had the item
        self.register_buffer("content", content)
        self.register_buffer("seen", seen.to(torch.float32)[:, None])
        self.own = nn.Embedding(len(content), width)
        self.project = nn.Linear(max(content.shape[1], 1), width, bias=False)
        nn.init.normal_(self.own.weight, std=width**-0.5)
        nn.init.normal_(self.project.weight, std=width**-0.5)
        self.id_dropout = id_dropout
        self.generator: torch.Generator | None = None

    def forward(self, items: Tensor) -> Tensor:
        """items (n,) -> (n, d); in training some lose their own vector, so that content learns."""
        own: Tensor = self.own(items) * self.seen[items]
        if self.training and self.id_dropout:
            drawn = torch.rand(len(own), 1, generator=self.generator, device=own.device)
            own = own * (drawn >= self.id_dropout)
        if not self.content.shape[1]:
            return own
        projected: Tensor = self.project(self.content[items])
        return own + projected


class Dropout(nn.Module):
    """Dropout by random bytes: on a CPU torch's own takes longer than a layer's products."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped = round(share * _GRAIN)
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        drawn = (
            words.random_(-(2**63), None, generator=self.generator)
            .view(torch.uint8)[: x.numel()]
            .view(x.shape)
        )
        return x * (drawn >= self.dropped).to(x.dtype).mul_(_GRAIN / (_GRAIN - self.dropped))


class Layer(nn.Module):
    """Attention over one's own past, then a gated feed-forward; each adds to what it reads."""

    def __init__(self, width: int, heads: int, history: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.before_gate = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.ask = nn.Linear(width, 3 * width, bias=False)  # queries, keys, values
        self.answer = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, 4 * width, bias=False)  # gates, values
        self.down = nn.Linear(2 * width, width, bias=False)
        # Each head begins with another idea of how much nearer events count (ALiBi, Press 2022).
        slopes = 2.0 ** -torch.arange(heads)
        self.nearness = nn.Parameter(-slopes[:, None] * torch.arange(history))  # (heads, l)
        self.dropout = Dropout(dropout)
        for linear in (self.ask, self.gate):
            nn.init.normal_(linear.weight, std=width**-0.5)
        for linear in (self.answer, self.down):
            nn.init.normal_(linear.weight, std=0.3 * width**-0.5)

    def forward(self, x: Tensor, barred: Tensor, distance: Tensor) -> Tensor:
        """x (b, l, d), barred (b, l, l) of 0 or -inf, distance (l, l) -> (b, l, d)"""
        b, n, d = x.shape
        asked = self.ask(self.before_attention(x)).view(b, n, 3, self.heads, d // self.heads)
        q, k, v = asked.permute(2, 3, 0, 1, 4).reshape(3, self.heads * b, n, -1)  # (h b, l, d / h)
        scores = torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2)).view(self.heads, b, n, n)
        shares = (scores + self.nearness[:, None, distance]).add_(barred).softmax(dim=-1)
        read = torch.bmm(shares.view(-1, n, n), v).view(self.heads, b, n, -1)
        x = x + self.dropout(self.answer(read.permute(1, 2, 0, 3).reshape(b, n, d)))
        gates, values = self.gate(self.before_gate(x)).chunk(2, dim=-1)
        down = self.down(functional.silu(gates) * values)
        added: Tensor = x + self.dropout(down)
        return added


class SequenceNetwork(nn.Module):
    """A causal transformer over item vectors, events and pauses (after SASRec, Kang 2018)."""

    def __init__(
        self, space: ItemSpace, *, layers: int, heads: int, history: int, events: int, pauses: int,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        width = space.own.embedding_dim
        self.space = space
        self.events = nn.Embedding(events, width)
        self.pauses = nn.Embedding(pauses, width)
        nn.init.zeros_(self.events.weight)
        nn.init.zeros_(self.pauses.weight)
        self.layers = nn.ModuleList(Layer(width, heads, history, dropout) for _ in range(layers))
        self.last = nn.LayerNorm(width, eps=1e-6, bias=False)
        self.point = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.point.weight)
        self.dropout = Dropout(dropout)

    @property
    def stack(self) -> list[Layer]:
        """The layers, the first to read first."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def draws_from(self, generator: torch.Generator) -> None:
        """What is dropped in training is drawn from `generator`, no more from torch's own."""
        for module in self.modules():
            if isinstance(module, ItemSpace | Dropout):
                module.generator = generator

    def forward(self, vectors: Tensor, events: Tensor, pauses: Tensor, owners: Tensor) -> Tensor:
        """vectors (b, l, d), events, pauses, owners (b, l) -> where each event leads (b, l, d).

        A row may hold several histories, one after the other: an event reads the earlier ones of
        its own owner.
        """
        n = vectors.shape[1]
        place = torch.arange(n, device=vectors.device)
        distance = place[:, None] - place
        other = (owners[:, :, None] != owners[:, None, :]) | (distance < 0)
        barred = torch.zeros(other.shape, device=vectors.device).masked_fill_(other, -torch.inf)
        x = self.dropout(vectors + self.events(events) + self.pauses(pauses))
        for layer in self.layers:
            x = layer(x, barred, distance.clamp(min=0))
        pointed: Tensor = self.point(self.last(x))
        return pointed
