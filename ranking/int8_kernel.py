"""Scores of candidates from layers of int8 weights, as one compiled kernel.

LLVM makes a slow multiplication of 32 bits out of a loop over products of int8. Each processor has
an instruction for the dot product of pairs of int16 (pmaddwd on x86), at twice the products per
cycle of float32, and it is found where the pattern is spelt out: so the inner loop is given as LLVM
IR. Nothing in it names a processor.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from recsys.features.arrays import Array
from recsys.features.kernels import compiled

LANES = 8  # int32 sums in a register of 256 bits
EXPONENT = np.int32(0x7F800000)  # of a float32
AT_ONCE = 4 * LANES  # outputs summed up in one pass: widths are filled up to a multiple
ROWS = 2  # candidates summed up in one pass: each weight is read once for them

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_I32, LANES)
_PAIRS, _PRODUCTS = (ir.VectorType(ir.IntType(bits), 2 * LANES) for bits in (16, 32))


@intrinsic
def _dot_pairs(
    typing: Any, values: Any, weights: Any, at: Any, begin: Any, end: Any, stride: Any, sums: Any,
    to: Any,
) -> Any:  # fmt: skip
    """For o < AT_ONCE and r < ROWS: sums[r, to + o] = the sum over begin <= p < end and j < 2 of

    values[r, 2p + j] * weights[at + p stride + 2o + j].

    values (ROWS, n) and weights are int16, sums (ROWS, m) int32, all contiguous.
    """
    whole = types.intp
    signature = types.void(values, weights, whole, whole, whole, whole, sums, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, weights, sums = (
            context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 1, 6)
        )
        at, begin, end, stride, to = (arguments[i] for i in (2, 3, 4, 5, 7))
        read, written = (_rows_of(builder, array) for array in (values, sums))
        zeros = _SUMS([0] * LANES)
        alloca: Any = cgutils.alloca_once_value
        totals = [[alloca(builder, zeros) for _ in _blocks()] for _ in read]
        with cgutils.for_range(builder, end, start=begin) as loop:
            place = builder.mul(loop.index, _I64(2))
            pairs = [_pair_in_all_lanes(builder, builder.gep(row, [place])) for row in read]
            first = builder.add(at, builder.mul(loop.index, stride))
            for block, start in enumerate(_blocks()):
                own = builder.load(
                    _vector(builder, weights.data, builder.add(first, _I64(2 * start)), _PAIRS),
                    align=2,
                )
                own = builder.sext(own, _PRODUCTS)
                for row, pair in enumerate(pairs):
                    summed = _neighbours_added(builder, builder.mul(pair, own, flags=("nsw",)))
                    total = totals[row][block]
                    builder.store(builder.add(builder.load(total), summed), total)
        for row, own in zip(written, totals, strict=True):
            for total, start in zip(own, _blocks(), strict=True):
                place = _vector(builder, row, builder.add(to, _I64(start)), _SUMS)
                builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return signature, generate


def _rows_of(builder: Any, array: Any) -> list[Any]:
    """Where each row of an array (ROWS, n) begins."""
    width = builder.extract_value(array.shape, 1)
    return [builder.gep(array.data, [builder.mul(_I64(row), width)]) for row in range(ROWS)]


def _pair_in_all_lanes(builder: Any, place: Any) -> Any:
    """Two values that lie side by side, again and again, as int32."""
    pair = builder.load(builder.bitcast(place, _I32.as_pointer()), align=2)
    return builder.sext(builder.bitcast(_in_all_lanes(builder, pair), _PAIRS), _PRODUCTS)


def _blocks() -> range:
    return range(0, AT_ONCE, LANES)


def _in_all_lanes(builder: Any, value: Any) -> Any:
    one = builder.insert_element(_SUMS(ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, _SUMS(ir.Undefined), _SUMS([0] * LANES))


def _vector(builder: Any, data: Any, at: Any, shape: Any) -> Any:
    """Where a vector of this shape begins, at an element of what `data` points to."""
    return builder.bitcast(builder.gep(data, [at]), shape.as_pointer())


def _neighbours_added(builder: Any, products: Any) -> Any:
    nothing = products.type(ir.Undefined)
    even, odd = (
        builder.shuffle_vector(products, nothing, _SUMS([2 * i + one for i in range(LANES)]))
        for one in (0, 1)
    )
    return builder.add(even, odd)


@compiled(fastmath=True)
def score_int8(
    features: Array, bits: Array, mean: Array, scale: Array, peaks: Array, widths: Array,
    weights: Array, spans: Array, steps: Array, biases: Array, last: Array, last_bias: Array,
    scores: Array,
) -> None:  # fmt: skip
    """Write the scores (n, outputs) of features (n, f), NaN where one is not finite.

    `bits` are the features seen as int32: fastmath knows no NaN. Inputs are (features - mean) *
    scale. What enters layer l of widths[l] x widths[l + 1] is rounded to 127 steps on either side
    of 0, up to peaks[l], or where that is 0 up to the largest of the row; weights lie as (pairs of
    inputs, outputs, 2), steps say what their 1 is worth. `spans` has for AT_ONCE outputs at a time
    the first pair of inputs that they read and the last, exclusive. The last layer
    (outputs, inputs) is not rounded.
    """
    widest = widths.max()
    values = np.zeros((ROWS, widest), np.float32)
    rounded = np.zeros((ROWS, widest + 1), np.int16)
    sums = np.zeros((ROWS, widest), np.int32)
    worth = np.zeros(ROWS, np.float32)
    for row in range(0, len(features), ROWS):
        several = min(ROWS, len(features) - row)
        for r in range(several):
            if _is_finite(bits[row + r]):
                _standardise(features[row + r], mean, scale, values[r])
            else:
                values[r, : len(mean)] = 0  # no NaN enters arithmetic that knows none
        at, to, group = 0, 0, 0
        for layer in range(len(widths) - 1):
            inputs, outputs = widths[layer], widths[layer + 1]
            for r in range(several):
                worth[r] = _round(values[r], inputs, peaks[layer], rounded[r])
            for start in range(0, outputs, AT_ONCE):
                begin, end = spans[group, 0], spans[group, 1]
                _dot_pairs(rounded, weights, at + 2 * start, begin, end, 2 * outputs, sums, start)  # type: ignore[call-arg]
                group += 1
            for r in range(several):
                own, bias = steps[to : to + outputs], biases[to : to + outputs]
                _activate(sums[r], worth[r], own, bias, values[r])
            at += (inputs + 1) // 2 * 2 * outputs
            to += outputs
        for r in range(several):
            if _is_finite(bits[row + r]):
                _point(values[r], last, last_bias, scores[row + r])
            else:
                scores[row + r] = np.nan


@compiled(fastmath=True, forceinline=True)
def _standardise(features: Array, mean: Array, scale: Array, values: Array) -> None:
    for k in range(len(features)):
        values[k] = (features[k] - mean[k]) * scale[k]


@compiled(fastmath=True, forceinline=True)
def _point(values: Array, last: Array, bias: Array, scores: Array) -> None:
    """The last layer, of weights (outputs, inputs) that are not rounded."""
    for o in range(len(last)):
        score = bias[o]
        for k in range(last.shape[1]):
            score += values[k] * last[o, k]
        scores[o] = score


@compiled(forceinline=True)
def _is_finite(bits: Array) -> bool:
    """Whether no float32 has all bits of its exponent set."""
    largest = np.int32(0)
    for k in range(len(bits)):
        largest = max(largest, bits[k] & EXPONENT)
    return bool(largest != EXPONENT)


@compiled(fastmath=True, forceinline=True)
def _activate(sums: Array, step: float, steps: Array, biases: Array, values: Array) -> None:
    """What leaves a layer, from its sums of int8 products."""
    for o in range(len(steps)):
        value = np.float32(sums[o]) * (np.float32(step) * steps[o]) + biases[o]
        values[o] = max(value, np.float32(0))


@compiled(fastmath=True, forceinline=True)
def _round(values: Array, n: int, peak: float, rounded: Array) -> float:
    """Round the first `n` of `values` to int8; returns what a step is worth."""
    most = np.float32(peak)
    if most == 0:
        for k in range(n):
            most = max(most, abs(values[k]))
    per_unit = np.float32(127) / most if most > 0 else np.float32(0)
    for k in range(n):
        value = min(max(values[k] * per_unit, np.float32(-127)), np.float32(127))
        rounded[k] = np.int16(np.floor(value + np.float32(0.5)))
    rounded[n] = 0
    return float(most / np.float32(127))
