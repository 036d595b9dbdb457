# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A ROS 1 bag (version 2.0), whole, damaged or never closed (``.bag.active``).

It is read from the front, chunk after chunk: the reader of `rosbags` needs the index at the end,
and holds an entry for every message in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import struct

from edgevl_training.bags.chunked_file import (
    ChunkedFile,
    ChunkHeader,
    IndexedChunk,
    MAX_DECLARATION_BYTES,
)
from edgevl_training.bags.ros1_records import (
    BAG_HEADER,
    CHUNK_INFO,
    CONNECTION,
    INDEX,
    MAGIC,
    MESSAGE,
    parse_header,
    Ros1Grammar,
)
from edgevl_training.bags.storage import Channel, Deadline, first_messages, Look, normalized
from edgevl_training.bags.walk import Data, FileData, Record

_TIME = struct.Struct('<II')
_COUNT = struct.Struct('<II')
_ENTRY = struct.Struct('<8sI')  # time, place in the chunk


class Ros1File(ChunkedFile):
    """A ROS 1 bag file."""

    magic = MAGIC
    record_name = 'record of a ROS 1 bag'
    index_op = INDEX

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is read yet."""
        super().__init__(path, {}, Ros1Grammar())

    def look(self, deadline: Deadline) -> Look:
        """Glance at the file, through its index where it has one."""
        counts: dict[int, int] = {}
        start_ns = None
        with self.path.open('rb') as stream:
            for chunk, in_chunk in self._index(FileData(stream)):
                start_ns = min(chunk.start_ns, start_ns or chunk.start_ns)
                for i, count in in_chunk.items():
                    counts[i] = counts.get(i, 0) + count
        if not counts:
            return self._look_from_the_front(deadline)
        channels = [replace(c, count=counts.get(i, 0)) for i, c in self._channels.items()]
        firsts = first_messages(self, [c for c in channels if c.count], deadline)
        return Look(channels, firsts, start_ns, counted=True)

    def _indexed_chunks(self, data: Data) -> Iterator[IndexedChunk]:
        return (chunk for chunk, _ in self._index(data))

    def _entries_of(self, data: Data, record: Record) -> Iterator[tuple[int, int, int]]:
        content = data.read(record.body, record.end)
        number = int.from_bytes(record.fields[b'conn'], 'little')
        for time, place in _ENTRY.iter_unpack(content[:len(content) // 12 * 12]):
            yield place, number, _nanoseconds(time)

    def _begin(self, data: Data) -> bool:
        return sum(1 for _ in self._index(data)) > 0

    def _ends_at(self, _record: Record) -> bool:
        return False

    def _header_of(self, chunk: Record) -> ChunkHeader:
        size = int.from_bytes(chunk.fields[b'size'], 'little')
        return ChunkHeader(chunk.fields[b'compression'].decode(), size)

    def _message_of(self, record: Record) -> tuple[int, int] | None:
        if record.op != MESSAGE:
            return None
        number = int.from_bytes(record.fields[b'conn'], 'little')
        return number, _nanoseconds(record.fields[b'time'])

    def _index(self, data: Data) -> Iterator[tuple[IndexedChunk, dict[int, int]]]:
        """Give what is said of each chunk, with the number of messages by connection."""
        header = self._grammar.record(data, len(MAGIC))
        if header is None or header.op != BAG_HEADER:
            return
        position = int.from_bytes(header.fields[b'index_pos'], 'little')
        while 0 < position < data.size:
            record = self._grammar.record(data, position)
            if record is None or record.end > data.size:
                return
            if record.op == CONNECTION:
                self._declare(data, record)
            elif record.op == CHUNK_INFO and record.end - record.body <= MAX_DECLARATION_BYTES:
                content = data.read(record.body, record.end)
                counts = dict(_COUNT.iter_unpack(content[:len(content) // 8 * 8]))
                place = int.from_bytes(record.fields[b'chunk_pos'], 'little')
                start_ns, end_ns = (
                    _nanoseconds(record.fields.get(name, b''))
                    for name in (b'start_time', b'end_time'))
                yield IndexedChunk(place, start_ns, end_ns, counts), counts
            position = record.end

    def _declare(self, data: Data, record: Record) -> None:
        """Note a connection; what was declared first stands."""
        if record.op != CONNECTION or record.end - record.body > MAX_DECLARATION_BYTES:
            return
        declared = parse_header(data.read(record.body, record.end)) or {}
        topic, msgtype = record.fields.get(b'topic', b''), declared.get(b'type', b'')
        if topic and msgtype:
            number = int.from_bytes(record.fields[b'conn'], 'little')
            self._channels.setdefault(number, Channel(
                topic.decode(errors='replace'), normalized(msgtype.decode(errors='replace')),
                'ros1'))


def _nanoseconds(stamp: bytes) -> int:
    if len(stamp) != _TIME.size:
        return 0
    seconds, nanoseconds = _TIME.unpack(stamp)
    return int(seconds * 1_000_000_000 + nanoseconds)
