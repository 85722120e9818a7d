"""Scores of candidates from layers of int8 weights, as one compiled kernel.

LLVM makes a slow multiplication of 32 bits out of a loop over products of int8. Each processor has
an instruction for the dot product of pairs of int16 (pmaddwd on x86), at twice the products per
cycle of float32, and it is found where the pattern is spelt out: so the inner loop is given as LLVM
IR. Nothing in it names a processor.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from recsys.features.arrays import Array

LANES = 8  # int32 sums in a register of 256 bits
EXPONENT = np.int32(0x7F800000)  # of a float32
AT_ONCE = 4 * LANES  # outputs summed up in one pass: widths are filled up to a multiple

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_I32, LANES)
_PAIRS, _PRODUCTS = (ir.VectorType(ir.IntType(bits), 2 * LANES) for bits in (16, 32))


@intrinsic
def _dot_pairs(
    typing: Any, values: Any, weights: Any, at: Any, pairs: Any, stride: Any, sums: Any, to: Any
) -> Any:
    """sums[to + o] = sum over p < pairs, j < 2 of values[2p + j] * weights[at + p stride + 2o + j].

    For o < AT_ONCE; values and weights are int16, sums int32, all contiguous.
    """
    whole = types.intp
    signature = types.void(values, weights, whole, whole, whole, sums, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, weights, sums = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data
            for i in (0, 1, 5)
        )
        at, pairs, stride, to = (arguments[i] for i in (2, 3, 4, 6))
        zeros = _SUMS([0] * LANES)
        alloca: Any = cgutils.alloca_once_value
        totals = [alloca(builder, zeros) for _ in _blocks()]
        values = builder.bitcast(values, _I32.as_pointer())
        with cgutils.for_range(builder, pairs) as loop:
            pair = builder.load(builder.gep(values, [loop.index]), align=2)
            pair = builder.sext(builder.bitcast(_in_all_lanes(builder, pair), _PAIRS), _PRODUCTS)
            first = builder.add(at, builder.mul(loop.index, stride))
            for total, start in zip(totals, _blocks(), strict=True):
                own = _vector(builder, weights, first, 2 * start, _PAIRS)
                own = builder.sext(builder.load(own, align=2), _PRODUCTS)
                summed = _neighbours_added(builder, builder.mul(pair, own, flags=("nsw",)))
                builder.store(builder.add(builder.load(total), summed), total)
        for total, start in zip(totals, _blocks(), strict=True):
            builder.store(builder.load(total), _vector(builder, sums, to, start, _SUMS), align=4)
        return context.get_dummy_value()

    return signature, generate


def _blocks() -> range:
    return range(0, AT_ONCE, LANES)


def _in_all_lanes(builder: Any, value: Any) -> Any:
    one = builder.insert_element(_SUMS(ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, _SUMS(ir.Undefined), _SUMS([0] * LANES))


def _vector(builder: Any, array: Any, at: Any, further: int, shape: Any) -> Any:
    """Where a vector of this shape begins, `further` elements behind `at`."""
    place = builder.gep(array, [builder.add(at, _I64(further))])
    return builder.bitcast(place, shape.as_pointer())


def _neighbours_added(builder: Any, products: Any) -> Any:
    nothing = products.type(ir.Undefined)
    even, odd = (
        builder.shuffle_vector(products, nothing, _SUMS([2 * i + one for i in range(LANES)]))
        for one in (0, 1)
    )
    return builder.add(even, odd)


@njit(nogil=True, cache=True, fastmath=True)
def score_int8(
    features: Array, bits: Array, mean: Array, scale: Array, peaks: Array, widths: Array,
    weights: Array, steps: Array, biases: Array, last: Array, last_bias: Array, scores: Array,
) -> None:  # fmt: skip
    """Write the scores (n, outputs) of features (n, f), NaN where one is not finite.

    `bits` are the features seen as int32: fastmath knows no NaN. Inputs are (features - mean) *
    scale. What enters layer l of widths[l] x widths[l + 1] is rounded to 127 steps on either side
    of 0, up to peaks[l], or where that is 0 up to the largest of the row; weights lie as (pairs of
    inputs, outputs, 2), steps say what their 1 is worth. The last layer (outputs, inputs) is not
    rounded.
    """
    widest = widths.max()
    values = np.zeros(widest, np.float32)
    rounded = np.zeros(widest + 1, np.int16)
    sums = np.zeros(widest, np.int32)
    for row in range(len(features)):
        if not _is_finite(bits[row]):
            scores[row] = np.nan
            continue
        for k in range(features.shape[1]):
            values[k] = (features[row, k] - mean[k]) * scale[k]
        at, to = 0, 0
        for layer in range(len(widths) - 1):
            inputs, outputs = widths[layer], widths[layer + 1]
            step = _round(values, inputs, peaks[layer], rounded)
            pairs = (inputs + 1) // 2
            for start in range(0, outputs, AT_ONCE):
                first = at + 2 * start
                _dot_pairs(rounded, weights, first, pairs, 2 * outputs, sums, start)  # type: ignore[call-arg]
            _activate(sums, step, steps[to : to + outputs], biases[to : to + outputs], values)
            at += pairs * 2 * outputs
            to += outputs
        for o in range(len(last)):
            score = last_bias[o]
            for k in range(last.shape[1]):
                score += values[k] * last[o, k]
            scores[row, o] = score


@njit(nogil=True, cache=True, forceinline=True)
def _is_finite(bits: Array) -> bool:
    """Whether no float32 has all bits of its exponent set."""
    largest = np.int32(0)
    for k in range(len(bits)):
        largest = max(largest, bits[k] & EXPONENT)
    return bool(largest != EXPONENT)


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _activate(sums: Array, step: float, steps: Array, biases: Array, values: Array) -> None:
    """What leaves a layer, from its sums of int8 products."""
    for o in range(len(steps)):
        value = np.float32(sums[o]) * (np.float32(step) * steps[o]) + biases[o]
        values[o] = max(value, np.float32(0))


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
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
