# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What records of a ROS 1 bag look like (https://wiki.ros.org/Bags/Format/2.0)."""

from __future__ import annotations

import re

from edgevl_training.bags.walk import Data, Record

MAGIC = b'#ROSBAG V2.0\n'
MESSAGE, BAG_HEADER, INDEX, CHUNK, CHUNK_INFO, CONNECTION = range(2, 8)

_MAX_HEADER_BYTES = 1 << 16
_COMPRESSIONS = (b'none', b'bz2', b'lz4')
# Header fields that a record cannot be understood without, and their lengths.
_NEEDED = {
    MESSAGE: {b'conn': 4, b'time': 8}, BAG_HEADER: {b'index_pos': 8}, INDEX: {b'conn': 4},
    CHUNK: {b'size': 4}, CHUNK_INFO: {b'chunk_pos': 8, b'count': 4}, CONNECTION: {b'conn': 4},
}


class Ros1Grammar:
    """The records of a ROS 1 bag, version 2.0."""

    # The field op of a header; it may stand anywhere in it.
    signature = re.compile(rb'\x04\x00\x00\x00op=[\x02-\x07]')
    longest_header = 512

    def record(self, data: Data, position: int) -> Record | None:
        """Read the header of a record, if there is one; its end may lie beyond the data."""
        length = _uint32(data.read(position, position + 4))
        if not length or length > _MAX_HEADER_BYTES:
            return None
        body = position + 4 + length + 4
        header = data.read(position + 4, body)
        fields = parse_header(header[:length])
        if len(header) != length + 4 or fields is None:
            return None
        op = fields.get(b'op', b'\x00')[0] if len(fields.get(b'op', b'')) == 1 else 0
        if op not in _NEEDED or any(len(fields.get(n, b'')) != k for n, k in _NEEDED[op].items()):
            return None
        end = body + (_uint32(header[length:]) or 0)
        if op != CHUNK:
            return Record(op, position, body, end, fields)
        compression = fields.get(b'compression', b'')
        if compression not in _COMPRESSIONS:
            return None
        # Only of an uncompressed chunk is the length known twice.
        sound = compression == b'none' and _uint32(fields[b'size']) == end - body
        return Record(op, position, body, end, fields, is_chunk=True, sound=sound)

    def candidate(self, data: Data, match: int, outer: bool) -> Record | None:
        """Give the record whose header holds the field op at ``match``, if it can be believed."""
        before = max(0, match - self.longest_header)
        window = data.read(before, match)
        for start in range(match - 4, before - 1, -1):
            length = _uint32(window[start - before:start - before + 4]) or 0
            if not match - start + 4 <= length <= 2 * self.longest_header:
                continue
            record = self.record(data, start)
            if record is not None:
                return record if self._believed(data, record, outer) else None
        return None

    def _believed(self, data: Data, record: Record, outer: bool) -> bool:
        if outer and record.op in (MESSAGE, CONNECTION):
            return False
        if record.end >= data.size:
            return record.end == data.size or record.is_chunk
        return (record.is_chunk and record.sound) or self.record(data, record.end) is not None


def parse_header(header: bytes) -> dict[bytes, bytes] | None:
    """Split a header into its fields; None when it is damaged."""
    fields = {}
    position = 0
    while position < len(header):
        length = _uint32(header[position:position + 4])
        field = header[position + 4:position + 4 + (length or 0)]
        name, equals, value = field.partition(b'=')
        if not length or len(field) != length or not equals:
            return None
        fields[name] = value
        position += 4 + length
    return fields


def _uint32(content: bytes) -> int | None:
    return int.from_bytes(content, 'little') if len(content) == 4 else None
