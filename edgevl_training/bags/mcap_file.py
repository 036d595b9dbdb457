# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
An mcap file, whole or damaged, with memory that does not grow with its length.

It is read from the front, chunk after chunk. The readers of `rosbags` and `mcap` go through the
index at the end, which damaged files lack, and hold an entry for every chunk in memory (rosbags a
generator as well; mcap all messages where there is no index).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import struct
from typing import Any

from edgevl_training.bags.chunked_file import (
    ChunkedFile,
    ChunkHeader,
    IndexedChunk,
    MAX_DECLARATION_BYTES,
)
from edgevl_training.bags.mcap_records import declares, MAGIC, McapGrammar, parse
from edgevl_training.bags.storage import Channel, Deadline, first_messages, Look, normalized
from edgevl_training.bags.walk import Data, FileData, Record
from mcap.opcode import Opcode
import mcap.records

_FOOTER = struct.Struct('<BQQQI8s')  # op, length, start of the summary and of its offsets, crc


class McapFile(ChunkedFile):
    """One mcap file of a bag."""

    magic = MAGIC
    record_name = 'mcap record'
    index_op = Opcode.MESSAGE_INDEX

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is read yet."""
        channels: dict[int, Channel] = {}
        super().__init__(path, channels, McapGrammar(channels))
        self._schemas: dict[int, str] = {}

    def look(self, deadline: Deadline) -> Look:
        """Glance at the file, through its summary where it has one."""
        with self.path.open('rb') as stream:
            statistics = self._read_summary(FileData(stream))
        if not statistics or not self._channels:
            return self._look_from_the_front(deadline)
        counts = statistics.channel_message_counts
        channels = [
            Channel(c.topic, c.msgtype, c.serialization, counts.get(i, 0))
            for i, c in self._channels.items()
        ]
        firsts = first_messages(self, [c for c in channels if c.count], deadline)
        return Look(channels, firsts, statistics.message_start_time, counted=bool(counts))

    def _indexed_chunks(self, data: Data) -> Iterator[IndexedChunk]:
        self._read_summary(data)
        for op, content in _summary(data):
            index = parse(mcap.records.ChunkIndex, content) if op == Opcode.CHUNK_INDEX else None
            if index is not None:
                # Some writers leave out what a chunk holds.
                numbers = index.message_index_offsets.keys() or self._channels.keys()
                yield IndexedChunk(
                    index.chunk_start_offset, index.message_start_time, index.message_end_time,
                    numbers)

    def _entries_of(self, data: Data, record: Record) -> Iterator[tuple[int, int, int]]:
        index = parse(mcap.records.MessageIndex, data.read(record.body, record.end))
        if index is not None:
            yield from ((place, index.channel_id, time_ns) for time_ns, place in index.records)

    def _begin(self, data: Data) -> bool:
        self._read_summary(data)
        # Only the record that ends the data tells that nothing is missing.
        return False

    def _ends_at(self, record: Record) -> bool:
        return record.op == Opcode.DATA_END

    def _header_of(self, chunk: Record) -> ChunkHeader:
        fields = chunk.fields
        return ChunkHeader(fields.compression, fields.size, fields.crc)

    def _message_of(self, record: Record) -> tuple[int, int] | None:
        if record.op != Opcode.MESSAGE:
            return None
        return record.fields.channel, record.fields.time_ns

    def _declare(self, data: Data, record: Record) -> None:
        if record.end - record.body <= MAX_DECLARATION_BYTES and (read := declares(record.op)):
            self._take(read(data.read(record.body, record.end)))

    def _take(self, declared: Any) -> None:
        """Note a channel or a schema; what was declared whole first stands."""
        if isinstance(declared, mcap.records.Schema):
            self._schemas.setdefault(declared.id, declared.name)
        elif isinstance(declared, mcap.records.Channel):
            known = self._channels.get(declared.id)
            if known is None or not known.msgtype:
                self._channels[declared.id] = Channel(
                    declared.topic, normalized(self._schemas.get(declared.schema_id, '')),
                    declared.message_encoding)

    def _read_summary(self, data: Data) -> Any:
        """Note the channels of the summary and return its statistics, None without them."""
        statistics = None
        for op, content in _summary(data):
            if op == Opcode.STATISTICS:
                statistics = parse(mcap.records.Statistics, content)
            elif read := declares(op):
                self._take(read(content))
        return statistics


def _summary(data: Data) -> Iterator[tuple[int, bytes]]:
    """Give the records of the summary one by one: it has one for each chunk of the file."""
    footer = data.read(data.size - _FOOTER.size, data.size) if data.size > _FOOTER.size else b''
    if not footer.endswith(MAGIC) or footer[0] != Opcode.FOOTER:
        return
    position = _FOOTER.unpack(footer)[2]
    grammar = McapGrammar({})
    while 0 < position < data.size - _FOOTER.size:
        record = grammar.record(data, position)
        if record is None or record.end - record.body > MAX_DECLARATION_BYTES:
            return
        yield record.op, data.read(record.body, record.end)
        position = record.end
