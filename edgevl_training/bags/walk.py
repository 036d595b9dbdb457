# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk a sequence of records, over damage where there is any.

Both mcap and ROS 1 bags are such sequences: a header that says how long the record is, then the
record, again inside their chunks. A record is believed when another one follows it; where none
does, the next believable record is searched for, and what lies between is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
import re
from typing import Any, BinaryIO, Protocol

_BLOCK = 1 << 20


class Data(Protocol):
    """Bytes with random access."""

    size: int

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes from start to end, fewer at the end of the data."""
        ...


class FileData:
    """A file; its size is taken when it is opened."""

    def __init__(self, stream: BinaryIO) -> None:
        """Take an open file."""
        self._stream = stream
        self.size = stream.seek(0, 2)

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes from start to end, fewer at the end of the file."""
        if not 0 <= start < self.size:
            return b''
        self._stream.seek(start)
        return self._stream.read(max(0, min(end, self.size) - start))


class ChunkData:
    """A chunk in memory."""

    def __init__(self, content: bytes) -> None:
        """Take the content, decompressed."""
        self._content = content
        self.size = len(content)

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes from start to end, fewer at the end of the chunk."""
        return self._content[start:end]


@dataclass(frozen=True)
class Record:
    """
    A record from ``start`` to ``end``, its content from ``body`` on.

    ``sound`` is False for a chunk whose header does not prove its length; ``cut`` is True for a
    chunk whose end is missing. ``fields`` is what the format makes of the header.
    """

    op: int
    start: int
    body: int
    end: int
    fields: Any = None
    is_chunk: bool = False
    sound: bool = True
    cut: bool = False


@dataclass(frozen=True)
class Gap:
    """Bytes in which no record can be found."""

    start: int
    end: int


class Grammar(Protocol):
    """What records of a format look like."""

    signature: re.Pattern[bytes]
    longest_header: int

    def record(self, data: Data, position: int) -> Record | None:
        """Read the header of a record, if there is one; its end may lie beyond the data."""
        ...

    def candidate(self, data: Data, match: int, outer: bool) -> Record | None:
        """
        Give the record whose signature begins at ``match``, if it can be believed.

        :param outer: pass over what may be the content of an uncompressed chunk.
        """
        ...


def walk(data: Data, position: int, grammar: Grammar) -> Iterator[Record | Gap]:
    """Give all records and gaps from some position to the end of the data."""
    record = grammar.record(data, position)
    while position < data.size:
        following = grammar.record(data, record.end) if record else None
        if record is not None and following is None and record.end != data.size:
            record = _examine(data, record, grammar)
            following = grammar.record(data, record.end) if record else None
        if record is None:
            found = find(data, position + 1, grammar)
            end = data.size if found is None else found.start
            yield Gap(position, end)
            position, record = end, found
        else:
            yield record
            position, record = record.end, following


def find(data: Data, start: int, grammar: Grammar, *, outer: bool = False) -> Record | None:
    """Find the first believable record at or after a position."""
    overlap = grammar.longest_header
    for block_start in range(max(0, start - overlap), data.size, _BLOCK):
        block = data.read(block_start, block_start + _BLOCK + overlap)
        for match in grammar.signature.finditer(block):
            if match.start() >= _BLOCK:
                break
            record = grammar.candidate(data, block_start + match.start(), outer)
            if record is not None and record.start >= start:
                return record
    return None


def _examine(data: Data, record: Record, grammar: Grammar) -> Record | None:
    """Decide on a record that is followed by damage, or runs beyond the end of the data."""
    if record.is_chunk:
        if record.sound and record.end < data.size:
            return record
        found = find(data, record.body, grammar, outer=True)
        return replace(record, end=found.start if found else data.size, cut=True)
    if record.end > data.size:
        return None
    found = find(data, record.start + 1, grammar)
    return None if found is not None and found.start < record.end else record
