# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What records of an mcap file look like (https://mcap.dev/spec), and which of them to believe.

The framing is read here, because the `mcap` package's readers stop at the first damage and trust
the lengths that they find; the contents of bounded records are parsed by that package.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
import re
import struct
from typing import Any, NamedTuple

from edgevl_training.bags.walk import Data, Record
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

MAGIC = b'\x89MCAP0\r\n'

_HEADER = struct.Struct('<BQ')
_CHUNK = struct.Struct('<QQQII')  # start, end, size, crc, length of the compression's name
_MESSAGE = struct.Struct('<HIQ')  # channel, sequence, log time
_MESSAGE_HEADER_BYTES = 22
_COMPRESSIONS = (b'', b'lz4', b'zstd')
# Attachments may be large; a length beyond this is damage.
_MAX_RECORD_BYTES = (1 << 32) - 1


class ChunkHeader(NamedTuple):
    """The header of a chunk; times in nanoseconds."""

    start_ns: int
    end_ns: int
    size: int
    crc: int
    compression: str


class MessageHeader(NamedTuple):
    """The header of a message."""

    channel: int
    time_ns: int


class McapGrammar:
    """The records of an mcap file; ``channels`` are the channels known so far, by id."""

    # An operation code, then a length below 4 GiB.
    signature = re.compile(rb'[\x03-\x07\x0f](?=.{4}\x00{4})', re.DOTALL)
    longest_header = 64

    def __init__(self, channels: dict[int, Any]) -> None:
        """Share the channels with whoever fills them."""
        self._channels = channels

    def record(self, data: Data, position: int) -> Record | None:
        """Read the header of a record, if there is one; its end may lie beyond the data."""
        header = data.read(position, position + _HEADER.size)
        if len(header) < _HEADER.size:
            return None
        op, length = _HEADER.unpack(header)
        if not Opcode.HEADER <= op <= Opcode.DATA_END or length > _MAX_RECORD_BYTES:
            return None
        body = position + _HEADER.size
        if op == Opcode.MESSAGE:
            return _message(data, position, body, body + length)
        if op == Opcode.CHUNK:
            return _chunk(data, position, body, body + length)
        return Record(op, position, body, body + length)

    def candidate(self, data: Data, match: int, outer: bool) -> Record | None:
        """Give the record that begins at a signature, if it can be believed."""
        record = self.record(data, match)
        if record is None or (record.end > data.size and not record.is_chunk):
            return None
        length = record.end - record.body
        if record.op == Opcode.CHUNK:
            return record if record.sound else None
        if record.op == Opcode.MESSAGE_INDEX:
            listed = data.read(record.body + 2, record.body + 6)
            believed = length >= 6 and int.from_bytes(listed, 'little') == length - 6
        elif record.op == Opcode.DATA_END:
            believed = length == 4
        elif record.op == Opcode.MESSAGE:
            believed = not outer and record.fields.channel in self._channels
        else:
            believed = not outer
        if believed and (record.end == data.size or self.record(data, record.end)):
            return record
        return None


def parse(kind: Any, content: bytes) -> Any:
    """Parse a record that is no larger than its content; None when it is damaged."""
    try:
        return kind.read(ReadDataStream(BytesIO(content)))
    except (McapError, struct.error, UnicodeDecodeError, ValueError, OverflowError, MemoryError):
        return None


def declares(op: int) -> Callable[[bytes], Channel | Schema | None] | None:
    """Give the parser of a record that declares a channel or a schema, None for others."""
    kind = {Opcode.CHANNEL: Channel, Opcode.SCHEMA: Schema}.get(Opcode(op))
    return (lambda content: parse(kind, content)) if kind else None


def _message(data: Data, start: int, body: int, end: int) -> Record | None:
    header = data.read(body, body + _MESSAGE.size)
    if len(header) < _MESSAGE.size or end - body < _MESSAGE_HEADER_BYTES:
        return None
    channel, _, time_ns = _MESSAGE.unpack(header)
    return Record(
        Opcode.MESSAGE, start, body + _MESSAGE_HEADER_BYTES, end, MessageHeader(channel, time_ns)
    )


def _chunk(data: Data, start: int, body: int, end: int) -> Record | None:
    header = data.read(body, body + _CHUNK.size + 16)
    if len(header) < _CHUNK.size + 8:
        return None
    start_ns, end_ns, size, crc, name_bytes = _CHUNK.unpack_from(header)
    name = header[_CHUNK.size:_CHUNK.size + name_bytes]
    if name_bytes > 4 or name not in _COMPRESSIONS:
        return None
    content = body + _CHUNK.size + name_bytes + 8
    stated = int.from_bytes(header[_CHUNK.size + name_bytes:][:8], 'little')
    return Record(
        Opcode.CHUNK, start, content, end,
        ChunkHeader(start_ns, end_ns, size, crc, name.decode()), True, content + stated == end,
    )
