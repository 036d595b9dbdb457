# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What mcap files and ROS 1 bags have in common: records, some of them chunks of more records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
import zlib

from edgevl_training.bags.inflate import inflate
from edgevl_training.bags.order import WINDOW_NS
from edgevl_training.bags.storage import (
    Channel,
    Deadline,
    ignore,
    IMAGE_TYPES,
    Look,
    Lose,
    MAX_CHUNK_BYTES,
    MAX_MESSAGE_BYTES,
    RawMessage,
)
from edgevl_training.bags.walk import ChunkData, Data, FileData, Gap, Grammar, Record, walk

MAX_DECLARATION_BYTES = 16 << 20


class IndexedChunk(NamedTuple):
    """What an index says of a chunk: where it begins, its first and last time, its channels."""

    position: int
    start_ns: int
    end_ns: int
    numbers: Collection[int]


class ChunkHeader(NamedTuple):
    """What is said of a chunk's content; a crc of 0 was not computed."""

    compression: str
    size: int
    crc: int = 0


class ChunkedFile(ABC):
    """
    A bag file that is a sequence of records, read from the front whatever its index says.

    ``magic`` is how the file begins, ``record_name`` what its records are called, ``index_op`` the
    operation code of those behind a chunk that list its messages.
    """

    magic: bytes
    record_name: str
    index_op: int

    def __init__(self, path: Path, channels: dict[int, Channel], grammar: Grammar) -> None:
        """Take the path; nothing is read yet."""
        self.path = path
        self.position = 0
        self._channels = channels
        self._grammar = grammar

    def messages(
        self, topics: Collection[str], lose: Lose, deadline: Deadline | None = None
    ) -> Iterator[RawMessage]:
        """Give the messages of some topics in the order of the file, reading it from the front."""
        return self._all_messages(lose, deadline, topics)

    def sparse(self, topics: Collection[str], deadline: Deadline) -> Iterator[RawMessage]:
        """Give the messages of rare topics; only the chunks that hold some are read."""
        with self.path.open('rb') as stream:
            data, indexed = FileData(stream), False
            for position, _, _, numbers in self._indexed_chunks(data):
                if deadline.passed:
                    return
                indexed = True
                if not any(c.topic in topics for i, c in self._channels.items() if i in numbers):
                    continue
                record = self._grammar.record(data, position)
                if record is not None and record.is_chunk and record.end <= data.size:
                    yield from self._chunk(data, record, ignore, topics)
        if not indexed:
            yield from self.messages(topics, ignore, deadline)

    def times(self, topics: Collection[str]) -> Iterator[tuple[str, int]]:
        """Give topic and time of messages, if the times of chunks leave their order open."""
        with self.path.open('rb') as stream:
            data = FileData(stream)
            if _in_order(self._indexed_chunks(data)):
                return
            wanted = {i: c.topic for i, c in self._channels.items() if c.topic in topics}
            for chunk in self._indexed_chunks(data):
                entries = self._entries_behind(data, chunk.position)
                for _, number, time_ns in sorted(e for e in entries if e[1] in wanted):
                    yield wanted[number], time_ns

    def _entries_behind(self, data: Data, position: int) -> Iterator[tuple[int, int, int]]:
        """Give place, channel number and time of the messages in a chunk."""
        chunk = self._grammar.record(data, position)
        record = self._grammar.record(data, chunk.end) if chunk and chunk.is_chunk else None
        while record is not None and record.op == self.index_op:
            if record.end - record.body <= MAX_DECLARATION_BYTES:
                yield from self._entries_of(data, record)
            record = self._grammar.record(data, record.end)

    @abstractmethod
    def _indexed_chunks(self, data: Data) -> Iterator[IndexedChunk]:
        """Give what is said of each chunk, where there is an index."""

    @abstractmethod
    def _entries_of(self, data: Data, record: Record) -> Iterator[tuple[int, int, int]]:
        """Give place, channel number and time of the messages that a record lists."""

    @abstractmethod
    def _begin(self, data: Data) -> bool:
        """Note what the index declares; tell whether the file is closed by one."""

    @abstractmethod
    def _ends_at(self, record: Record) -> bool:
        """Tell whether no message follows a record."""

    @abstractmethod
    def _header_of(self, chunk: Record) -> ChunkHeader:
        """Read what is said of a chunk's content."""

    @abstractmethod
    def _message_of(self, record: Record) -> tuple[int, int] | None:
        """Give channel number and time of a message, None for another record."""

    @abstractmethod
    def _declare(self, data: Data, record: Record) -> None:
        """Note what a record says of a channel."""

    def _look_from_the_front(self, deadline: Deadline) -> Look:
        look = Look()
        for message in self._all_messages(ignore, deadline, None):
            if look.start_ns is None:
                look.start_ns = message.time_ns
            if message.channel.msgtype in IMAGE_TYPES:
                look.firsts.setdefault(message.channel.topic, message)
        look.channels = list(self._channels.values())
        return look

    def _all_messages(
        self, lose: Lose, deadline: Deadline | None, topics: Collection[str] | None
    ) -> Iterator[RawMessage]:
        """Give the messages of some topics, or of all for None."""
        with self.path.open('rb') as stream:
            data = FileData(stream)
            # Where the first declaration of a channel is damaged, the index repeats it.
            closed = self._begin(data)
            start = len(self.magic) if data.read(0, len(self.magic)) == self.magic else 0
            for item in walk(data, start, self._grammar):
                self.position = item.end
                if deadline is not None and deadline.passed:
                    return
                if isinstance(item, Gap):
                    lose(f'bytes {item.start} to {item.end} of {data.size}',
                         f'no {self.record_name} can be found in them')
                elif self._ends_at(item):
                    return
                elif item.is_chunk:
                    yield from self._chunk(data, item, lose, topics)
                else:
                    yield from self._record(data, item, lose, topics)
            if not closed:
                lose(f'what follows byte {data.size}',
                     'the recording was cut off: the file has no end')

    def _chunk(
        self, data: Data, chunk: Record, lose: Lose, topics: Collection[str] | None
    ) -> Iterator[RawMessage]:
        header, where = self._header_of(chunk), f'chunk at byte {chunk.start}'
        packed = data.read(chunk.body, min(chunk.end, chunk.body + MAX_CHUNK_BYTES))
        content, why = inflate(header.compression, packed, MAX_CHUNK_BYTES)
        if not why and len(content) != header.size:
            why = 'it is cut off' if chunk.cut else 'its length is not what its header says'
        if why:
            lose(f'{where}: what follows its first {len(content)} of {header.size} bytes', why)
        elif header.crc and zlib.crc32(content) != header.crc:
            lose(f'{where}: perhaps one of its messages, which are read all the same',
                 'its checksum is wrong')
        inner = ChunkData(content)
        for item in walk(inner, 0, self._grammar):
            if isinstance(item, Record):
                yield from self._record(inner, item, lose, topics)
            elif not why:
                lose(f'{where}: bytes {item.start} to {item.end} of its {inner.size}',
                     f'no {self.record_name} can be found in them')

    def _record(
        self, data: Data, record: Record, lose: Lose, topics: Collection[str] | None
    ) -> Iterator[RawMessage]:
        found = self._message_of(record)
        if found is None:
            self._declare(data, record)
            return
        number, time_ns = found
        channel = self._channels.get(number)
        if channel is None:
            lose(f'messages of channel {number}', 'nothing says what it is')
        elif record.end - record.body > MAX_MESSAGE_BYTES:
            lose(f'a message of {channel.topic} at {time_ns} ns',
                 f'it is larger than {MAX_MESSAGE_BYTES} bytes', f'{channel.topic} too large')
        elif topics is None or channel.topic in topics:
            yield RawMessage(channel, time_ns, data.read(record.body, record.end))


def _in_order(chunks: Iterable[IndexedChunk]) -> bool:
    """Whether chunks are so short and so far in order that their messages must be, too."""
    newest_ns = None
    for chunk in chunks:
        newest_ns = max(chunk.end_ns, newest_ns or chunk.end_ns)
        if chunk.start_ns < newest_ns - WINDOW_NS:
            return False
    return True
