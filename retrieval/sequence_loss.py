"""The loss of the source "sequence": a softmax over items that were drawn."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CELLS = 1 << 18
"""Scores held at once: they stay in a core's cache, and no page is asked of the system."""


def sampled_softmax_loss(
    users: Tensor,
    wanted: Tensor,
    offered: Tensor,
    log_expected: Tensor,
    rows: Tensor,
    drawn: Tensor,
) -> Tensor:
    """Cross-entropy of each wanted item against drawn ones, mean over the m users.

    users, wanted (m, d); offered (n, d) are drawn items, log_expected (n,) the logarithm of how
    often each was to be expected among the n; rows (m,) and drawn (n,) say which items they are: a
    drawn item that is the wanted one counts once. exp(score - log_expected) sums to the other
    items' share of the full softmax's denominator in expectation, and exactly where every item is
    drawn once and expected once (Bengio & Senecal 2008; logQ correction, Yi et al. 2019).
    """
    loss: Tensor = _SampledSoftmax.apply(  # type: ignore[no-untyped-call]
        users, wanted, offered, log_expected, rows, drawn
    )
    return loss


class _SampledSoftmax(torch.autograd.Function):
    """The loss and its gradients in one pass over blocks of users: no (m, n) is ever held."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, wanted: Tensor, offered: Tensor, log_expected: Tensor,
        rows: Tensor, drawn: Tensor,
    ) -> Tensor:  # fmt: skip
        m, n = len(users), len(offered)
        own = (users * wanted).sum(dim=1)
        loss, of_own = users.new_zeros(()), torch.empty_like(own)
        of_users, of_offered = torch.empty_like(users), torch.zeros_like(offered)
        size = max(16, min(m, _CELLS // max(n, 1)))
        held = users.new_empty((min(size, m), n))
        for start in range(0, m, size):
            at = slice(start, start + size)
            block = users[at]
            scores = torch.mm(block, offered.T, out=held[: len(block)]).sub_(log_expected)
            scores.masked_fill_(rows[at, None] == drawn, -torch.inf)
            top = torch.maximum(scores.amax(dim=1), own[at])
            shares, mine = scores.sub_(top[:, None]).exp_(), (own[at] - top).exp()
            total = shares.sum(dim=1) + mine
            loss += (total.log() + top - own[at]).sum()
            shares.div_(total[:, None] * m)
            torch.mm(shares, offered, out=of_users[at])
            of_offered.addmm_(shares.T, block)
            of_own[at] = (mine / total - 1) / m
        of_wanted = of_own[:, None] * users
        of_users.addcmul_(of_own[:, None], wanted)
        ctx.save_for_backward(of_users, of_wanted, of_offered)
        return loss / m

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        of_users, of_wanted, of_offered = ctx.saved_tensors
        return gradient * of_users, gradient * of_wanted, gradient * of_offered, None, None, None
