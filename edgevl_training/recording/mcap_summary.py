# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The end of an MCAP file, for one whose last chunks did not reach the disk."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
import struct
import zlib

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    MetadataIndex,
    Schema,
    Statistics,
)
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC


def shortened_end(
    end: bytes, position: int, messages: Mapping[int, int], span_ns: tuple[int, int]
) -> bytes:
    """
    Rewrite the end of a file so that it follows what is on disk.

    :param end: all that a writer has put after ``position``: chunks, then data end, summary and
        footer. The chunks are left out, and the summary says nothing of them.
    :param position: bytes on disk, which are whole records.
    :param messages: the messages on disk by channel.
    :param span_ns: their first and their last log time.
    """
    summary = RecordBuilder()
    chunks = 0
    for record in StreamReader(BytesIO(end), skip_magic=True, emit_chunks=True).records:
        if isinstance(record, ChunkIndex) and record.chunk_start_offset < position:
            chunks += 1
            record.write(summary)
        elif isinstance(record, (Schema, Channel, MetadataIndex)):
            record.write(summary)
        elif isinstance(record, Statistics):
            statistics = record
    statistics.channel_message_counts = dict(messages)
    statistics.message_count = sum(messages.values())
    statistics.message_start_time, statistics.message_end_time = span_ns
    statistics.chunk_count = chunks
    statistics.write(summary)
    return _assemble(summary.end(), position)


def _assemble(summary: bytes, position: int) -> bytes:
    data_end, footer = RecordBuilder(), RecordBuilder()
    DataEnd(0).write(data_end)
    data_end_bytes = data_end.end()
    start = position + len(data_end_bytes)
    # Over the summary and the footer up to the sum itself; there are no summary offsets.
    head = struct.pack('<BQQQ', Opcode.FOOTER, 8 + 8 + 4, start, 0)
    Footer(start, 0, zlib.crc32(head, zlib.crc32(summary))).write(footer)
    return data_end_bytes + summary + footer.end() + MCAP0_MAGIC
