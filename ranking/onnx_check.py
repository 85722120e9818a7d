"""Whether a graph of ONNX is a stack of linear layers as we write it, and nothing besides.

A graph can name files outside of itself, and run hours or fill the memory on one row. So what is
not on the list of a stack of layers is refused before a runtime sees it. The fields are those of
onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), in the wire format of
Protocol Buffers: pairs of a field's number and its value.
"""

from collections.abc import Iterator
from math import prod

_MODEL = {1: "ir_version", 7: "graph", 8: "opset_import"}
_MODEL |= {2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version", 6: "doc"}
_GRAPH = {1: "node", 2: "name", 5: "initializer", 11: "input", 12: "output"}
_NODE = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute"}
_TENSOR = {1: "dims", 2: "data_type", 8: "name", 9: "raw_data"}

_OPERATORS = (b"Gemm", b"Relu")
_FLOAT = 1
_MOST_PARTS = 4096  # of one message: layers are few

Value = int | bytes


class OddGraph(ValueError):
    """A graph is not one that we write."""


def check_graph(graph: bytes, features: int | None = None) -> None:
    """Raise OddGraph where a model is no stack of layers that reads so many features."""
    inner = [value for name, value in _named(graph, _MODEL, "model") if name == "graph"]
    if len(inner) != 1:
        raise OddGraph(f"a model must hold one graph; got {len(inner)}")
    parts = list(_named(_bytes(inner[0]), _GRAPH, "graph"))
    shapes = [_shape_of(_bytes(value)) for name, value in parts if name == "initializer"]
    for value in (_bytes(value) for name, value in parts if name == "node"):
        operators = [each for name, each in _named(value, _NODE, "node") if name == "op_type"]
        if len(operators) != 1 or operators[0] not in _OPERATORS:
            raise OddGraph(f"a stack of layers has no operator {operators[:1]}")
    if features is not None and (not shapes or shapes[0][-1:] != (features,)):
        raise OddGraph(f"its first layer must read {features} features; got {shapes[:1]}")


def _shape_of(tensor: bytes) -> tuple[int, ...]:
    """The shape of weights, whose numbers have to stand in the tensor itself."""
    shape: list[int] = []
    length = kind = -1
    for name, value in _named(tensor, _TENSOR, "tensor"):
        if name == "dims":
            shape += [value] if isinstance(value, int) else _packed(value)
        elif name == "data_type":
            kind = value if isinstance(value, int) else -1
        elif name == "raw_data":
            length = len(_bytes(value))
    if kind != _FLOAT or length != 4 * prod(shape):
        raise OddGraph(f"weights of shape {shape} must be float32 of as many bytes; got {length}")
    return tuple(shape)


def _named(message: bytes, names: dict[int, str], noun: str) -> Iterator[tuple[str, Value]]:
    """The fields of a message; raises OddGraph on one that is not among `names`."""
    for number, value in _fields(message):
        if number not in names:
            raise OddGraph(f"a stack of layers has no field {number} in its {noun}")
        yield names[number], value


def _fields(message: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    for _ in range(_MOST_PARTS):
        if at == len(message):
            return
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise OddGraph(f"no field is of the kind {kind}")
        if at + length > len(message):
            raise OddGraph("it ends too early")
        yield key >> 3, message[at : at + length]
        at += length
    raise OddGraph(f"a message has more than {_MOST_PARTS} fields")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise OddGraph("it ends too early")
        byte = message[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
    raise OddGraph("a number has more than 64 bits")


def _packed(values: bytes) -> list[int]:
    numbers, at = [], 0
    while at < len(values):
        number, at = _varint(values, at)
        numbers.append(number)
    return numbers


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise OddGraph(f"a number {value} stands where a message is due")
    return value
