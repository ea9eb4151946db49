"""A network as an ONNX file, written without a library for it: the project only runs such files.

What belongs here: the few messages of ONNX's protobuf schema (onnx.proto) that one small network takes.
"""

from __future__ import annotations

from collections.abc import Mapping

IR_VERSION, OPSET = 8, 17
FLOAT, INT8, INT64 = 1, 3, 7
IS_INT = 2  # the type of an attribute


def lookup_model(table: bytes, weights: bytes, tokens: int, dimension: int) -> bytes:
    """What a sentence model with no layers computes: for every token its row of the table times its weight.

    `table` holds int8 numbers, (tokens, dimension); `weights` float32 numbers, one per token. Inputs and
    output are those of a BERT in ONNX.
    """
    initializers = (
        _tensor("table", INT8, (tokens, dimension), table),
        _tensor("weights", FLOAT, (tokens, 1), weights),
    )
    nodes = (
        _node("Gather", ("table", "input_ids"), "rows"),
        _node("Cast", ("rows",), "numbers", {"to": FLOAT}),
        _node("Gather", ("weights", "input_ids"), "scales"),
        _node("Mul", ("numbers", "scales"), "last_hidden_state"),
    )
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    graph = (
        b"".join(_field(1, node) for node in nodes)
        + _field(2, "lookup")
        + b"".join(_field(5, one) for one in initializers)
        + b"".join(_field(11, _value(name, INT64, ("batch", "length"))) for name in inputs)
        + _field(12, _value("last_hidden_state", FLOAT, ("batch", "length", dimension)))
    )
    return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(2, OPSET))


def _node(
    operation: str, inputs: tuple[str, ...], output: str, options: Mapping[str, int] | None = None
) -> bytes:
    attributes = (
        _field(1, name) + _field(3, value) + _field(20, IS_INT) for name, value in (options or {}).items()
    )
    return (
        b"".join(_field(1, name) for name in inputs)
        + _field(2, output)
        + _field(4, operation)
        + b"".join(_field(5, one) for one in attributes)
    )


def _tensor(name: str, kind: int, shape: tuple[int, ...], data: bytes) -> bytes:
    return b"".join(_field(1, size) for size in shape) + _field(2, kind) + _field(8, name) + _field(9, data)


def _value(name: str, kind: int, shape: tuple[str | int, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def _field(number: int, value: int | str | bytes) -> bytes:
    """A protobuf field: a number, or bytes and how many they are."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
