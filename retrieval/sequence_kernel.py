"""The network of the source "sequence" as a compiled kernel: where each history leads.

A history is read by itself, so its answer cannot depend on the others of a batch, and the last
layer is computed for the newest event alone, since nobody asks for the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from recsys.features.arrays import Array, Floats, Rows
from recsys.features.kernels import compiled
from recsys.features.threads import over_rows


@dataclass(frozen=True, slots=True)
class Weights:
    """A network's numbers, gains and scales folded in; every matrix is (layers, in, out)."""

    events: Floats  # (events, d)
    pauses: Floats  # (pauses, d)
    asks: Floats  # (layers, d, d) queries
    tells: Floats  # (layers, d, 2 d) keys, then values
    nearness: Floats  # (layers, heads, history)
    answers: Floats  # (layers, d, d)
    gates: Floats  # (layers, d, 4 d) gates, then values
    downs: Floats  # (layers, 2 d, d)
    point: Floats  # (d, d)

    def arrays(self) -> dict[str, Floats]:
        """The arrays by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def stacked(members: Sequence[Weights]) -> dict[str, Floats]:
    """The arrays of several networks of one shape by name, each (members, ...)."""
    every = [each.arrays() for each in members]
    return {name: np.stack([each[name] for each in every]) for name in every[0]}


def unstacked(arrays: Mapping[str, Floats]) -> tuple[Weights, ...]:
    """The networks of which `stacked` has the arrays."""
    count = len(arrays["point"])
    return tuple(
        Weights(**{name: each[member] for name, each in arrays.items()}) for member in range(count)
    )


def pointed(
    weights: Weights, table: Floats, offsets: Array, items: Rows, events: Array, pauses: Array,
    left: int = 0,
) -> Floats:  # fmt: skip
    """Where each history leads, (b, d); zeros for an empty one.

    The columns of `table` (items, left + d or more) from `left` hold the items' vectors; the
    histories are ragged, each at most as long as the network reads.
    """
    out = np.zeros((len(offsets) - 1, weights.point.shape[1]), np.float32)
    over_rows(
        _point, len(out), table, left, offsets, items, events, pauses, weights.events,
        weights.pauses, weights.asks, weights.tells, weights.nearness, weights.answers,
        weights.gates, weights.downs, weights.point, out,
    )  # fmt: skip
    return out


@compiled(fastmath=True)
def _point(
    start: int, stop: int, table: Array, left: int, offsets: Array, items: Array, events: Array,
    pauses: Array, event_vectors: Array, pause_vectors: Array, asks: Array, tells: Array,
    nearness: Array, answers: Array, gates: Array, downs: Array, point: Array, out: Array,
) -> None:  # fmt: skip
    layers, width = asks.shape[0], asks.shape[1]
    longest = nearness.shape[2]
    x, normed = np.empty((longest, width), np.float32), np.empty((longest, width), np.float32)
    asked, read = np.empty((longest, width), np.float32), np.empty((longest, width), np.float32)
    told = np.empty((longest, 2 * width), np.float32)
    gated = np.empty((longest, 4 * width), np.float32)
    for row in range(start, stop):
        first, n = offsets[row], offsets[row + 1] - offsets[row]
        if n == 0:
            continue
        for i in range(n):
            place = first + i
            for c in range(width):
                x[i, c] = (
                    table[items[place], left + c]
                    + event_vectors[events[place], c]
                    + pause_vectors[pauses[place], c]
                )
        for layer in range(layers):
            begin = n - 1 if layer == layers - 1 else 0
            _norm(x, 0, n, normed)
            _multiply(normed, begin, n, asks[layer], asked)
            _multiply(normed, 0, n, tells[layer], told)
            _attend(asked, told, nearness[layer], begin, n, read)
            _multiply(read, begin, n, answers[layer], normed)
            _add(x, normed, begin, n)
            _norm(x, begin, n, normed)
            _multiply(normed, begin, n, gates[layer], gated)
            _gate(gated, begin, n, told)
            _multiply(told, begin, n, downs[layer], normed)
            _add(x, normed, begin, n)
        _norm(x, n - 1, n, normed)
        _multiply(normed, n - 1, n, point, read)
        out[row] = read[n - 1]


@compiled(fastmath=True, forceinline=True)
def _norm(x: Array, begin: int, end: int, out: Array) -> None:
    """Each row moved and scaled to mean 0 and variance 1."""
    width = np.float32(x.shape[1])
    for i in range(begin, end):
        mean, total = np.float32(0), np.float32(0)
        for c in range(x.shape[1]):
            mean += x[i, c] / width
        for c in range(x.shape[1]):
            total += (x[i, c] - mean) ** 2
        scale = np.float32(1) / np.sqrt(total / width + np.float32(1e-6))
        for c in range(x.shape[1]):
            out[i, c] = (x[i, c] - mean) * scale


@compiled(fastmath=True, forceinline=True)
def _multiply(x: Array, begin: int, end: int, matrix: Array, out: Array) -> None:
    """out[i] = x[i] @ matrix, four inputs at a time, so that an output is touched less often."""
    size, width = matrix.shape
    for i in range(begin, end):
        for c in range(width):
            out[i, c] = 0
        for k in range(0, size, 4):
            one, two, three, four = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            for c in range(width):
                out[i, c] += (
                    one * matrix[k, c]
                    + two * matrix[k + 1, c]
                    + three * matrix[k + 2, c]
                    + four * matrix[k + 3, c]
                )


@compiled(fastmath=True, forceinline=True)
def _attend(asked: Array, told: Array, nearness: Array, begin: int, end: int, read: Array) -> None:
    """What each event reads of those up to itself; `told` holds keys, then values.

    They are turned, so that inner loops run over events: those of one head's numbers are too short.
    """
    heads, width = nearness.shape[0], asked.shape[1]
    size = width // heads
    turned = np.ascontiguousarray(told[:end].T)
    shares = np.empty(end, np.float32)
    for i in range(begin, end):
        for head in range(heads):
            left = head * size
            for j in range(i + 1):
                shares[j] = nearness[head, i - j]
            for c in range(left, left + size):
                ask, keys = asked[i, c], turned[c]
                for j in range(i + 1):
                    shares[j] += ask * keys[j]
            most, total = np.float32(-np.inf), np.float32(0)
            for j in range(i + 1):
                most = max(most, shares[j])
            for j in range(i + 1):
                shares[j] = np.exp(shares[j] - most)
                total += shares[j]
            for c in range(left, left + size):
                values, value = turned[width + c], np.float32(0)
                for j in range(i + 1):
                    value += shares[j] * values[j]
                read[i, c] = value / total


@compiled(fastmath=True, forceinline=True)
def _gate(gated: Array, begin: int, end: int, out: Array) -> None:
    """silu(gates) * values, (l, 4 d) -> (l, 2 d)"""
    half = gated.shape[1] // 2
    for i in range(begin, end):
        for c in range(half):
            gate = gated[i, c]
            out[i, c] = gate / (np.float32(1) + np.exp(-gate)) * gated[i, half + c]


@compiled(fastmath=True, forceinline=True)
def _add(x: Array, other: Array, begin: int, end: int) -> None:
    for i in range(begin, end):
        for c in range(x.shape[1]):
            x[i, c] += other[i, c]
