# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which other files an ONNX graph reads, found without the onnx package or a runtime."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
# A field's key, its number and wire type, has 32 bits; runtimes differ on what lies beyond.
_MAX_KEY = (1 << 32) - 1

# The fields, by number, of each message of onnx.proto that lead to a tensor's external data.
LEADS_TO_TENSORS = {
    'ModelProto': {7: 'GraphProto', 20: 'TrainingInfoProto', 25: 'FunctionProto'},
    'TrainingInfoProto': {1: 'GraphProto', 2: 'GraphProto'},
    'FunctionProto': {7: 'NodeProto', 11: 'AttributeProto'},
    'GraphProto': {1: 'NodeProto', 5: 'TensorProto', 15: 'SparseTensorProto'},
    'NodeProto': {5: 'AttributeProto'},
    'AttributeProto': {
        5: 'TensorProto', 6: 'GraphProto', 10: 'TensorProto', 11: 'GraphProto',
        22: 'SparseTensorProto', 23: 'SparseTensorProto',
    },
    'SparseTensorProto': {1: 'TensorProto', 2: 'TensorProto'},
    'TensorProto': {13: 'StringStringEntryProto'},
}


def external_files(model: bytes | memoryview) -> set[str]:
    """
    Collect the locations that the tensors of a serialised ONNX model name as external data.

    The walk follows onnx.proto through subgraphs and functions; values of tensors are skipped.

    :raises ValueError: when the bytes are no Protocol Buffers message.
    """
    locations = set()
    # A stack of its own: subgraphs may nest deeper than Python calls may.
    waiting = [('ModelProto', memoryview(model))]
    while waiting:
        kind, message = waiting.pop()
        if kind == 'StringStringEntryProto':
            entry = {number: bytes(value).decode() for number, value in _fields(message)}
            if entry.get(1) == 'location':
                locations.add(entry.get(2, ''))
            continue
        children = LEADS_TO_TENSORS[kind]
        waiting += [
            (children[number], value) for number, value in _fields(message) if number in children
        ]
    return locations


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Give the number and the bytes of each length-delimited field; skip all others."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if not number or key > _MAX_KEY:
            raise ValueError(f'expected an ONNX graph, found the field number {number}')
        size = 0
        if wire_type == _VARINT:
            _, at = _varint(message, at)
        elif wire_type == _FIXED64:
            size = 8
        elif wire_type == _FIXED32:
            size = 4
        elif wire_type == _BYTES:
            size, at = _varint(message, at)
        else:
            raise ValueError(f'expected an ONNX graph, found the wire type {wire_type}')
        if size > len(message) - at:
            raise ValueError('expected an ONNX graph, found one that was cut')
        if wire_type == _BYTES:
            yield number, message[at:at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read a little-endian number in groups of seven bits; give it and where it ends."""
    value = 0
    for index in range(min(_MAX_VARINT_BYTES, len(message) - at)):
        byte = message[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError('expected an ONNX graph, found a number that does not end')
