# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One MCAP file of a bag, of which every part on disk is whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
import os
from pathlib import Path
import time
from typing import BinaryIO, cast

from edgevl_training.recording.definitions import definition_of
from edgevl_training.recording.mcap_summary import shortened_end
from edgevl_training.recording.messages import Message, Topic
from mcap.writer import CompressionType, Writer

LIBRARY = 'edgevl_ros'
# Chunks end when they are full or a second old, so that a kill loses no more than that.
CHUNK_BYTES = 4 * 1024 * 1024
CHUNK_S = 1.0
# The writer shall end no chunk by itself: flush does.
_NEVER = 1 << 62


@dataclass
class FileCounts:
    """What a file holds: messages by topic, and the span of their log times."""

    by_topic: Counter[str] = field(default_factory=Counter)
    start_ns: int | None = None
    end_ns: int | None = None

    def add(self, topic: str, log_ns: int, count: int = 1) -> None:
        """Count messages of a topic at a time."""
        self.by_topic[topic] += count
        self.start_ns = log_ns if self.start_ns is None else min(self.start_ns, log_ns)
        self.end_ns = log_ns if self.end_ns is None else max(self.end_ns, log_ns)

    def __add__(self, other: FileCounts) -> FileCounts:
        """Give the counts of both, in a new object: another thread may be reading this one."""
        times = [
            log_ns for log_ns in (self.start_ns, self.end_ns, other.start_ns, other.end_ns)
            if log_ns is not None
        ]
        # Topics without messages stay, which the sum of two counters would leave out.
        by_topic = Counter({
            topic: self.by_topic[topic] + other.by_topic[topic]
            for topic in {**self.by_topic, **other.by_topic}
        })
        return FileCounts(by_topic, min(times, default=None), max(times, default=None))

    @property
    def total(self) -> int:
        """Count the messages of all topics."""
        return sum(self.by_topic.values())


class McapFile:
    """
    A file being written, one whole chunk at a time.

    Every method that writes may raise OSError (a full disk): then the file is as it was before,
    what could not be written is kept, and the next `flush` tries again.
    """

    def __init__(self, path: Path, compression: str = 'none', metadata: str = '') -> None:
        """
        Create a file that does not exist yet.

        :param metadata: serialized rosbag2 metadata to store, from which readers take the version.
        """
        self.path = path
        self.counts = FileCounts()
        self.started_s = time.monotonic()
        self._pending = FileCounts()
        self._unwritten: list[Message] = []
        self._chunk_bytes = 0
        self._chunk_started_s = self.started_s
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._finished = False
        self._output = _Output(path)
        self._writer = Writer(
            cast(BinaryIO, self._output), chunk_size=_NEVER,
            compression=CompressionType[compression.upper()],
        )
        self._writer.start(profile='ros2', library=LIBRARY)
        if metadata:
            self._writer.add_metadata('rosbag2', {'serialized_metadata': metadata})
        try:
            self.flush()
        except OSError:
            # An empty file is of no use; the next try makes it anew.
            self._output.close()
            path.unlink()
            raise

    @property
    def size(self) -> int:
        """Give the bytes written and waiting to be written."""
        return self._output.tell() + self._chunk_bytes

    @property
    def bytes_written(self) -> int:
        """Give the bytes that the file has on disk."""
        return self._output.written

    @property
    def pending(self) -> FileCounts:
        """Count what was added and is not on disk yet."""
        return self._pending

    @property
    def unwritten(self) -> list[Message]:
        """Give what was added and is not on disk yet."""
        return self._unwritten

    def register(self, topic: Topic) -> int:
        """Announce a topic; give its channel."""
        if topic.name not in self._channels:
            metadata = {'offered_qos_profiles': topic.offered_qos}
            if topic.type_hash:
                metadata['topic_type_hash'] = topic.type_hash
            self._channels[topic.name] = self._writer.register_channel(
                topic.name, 'cdr', self._schema(topic.message_type), metadata
            )
        return self._channels[topic.name]

    def add(self, message: Message) -> None:
        """Add a message; it is on disk after the next `flush`."""
        if not self._chunk_bytes:
            self._chunk_started_s = time.monotonic()
        channel = self.register(message.topic)
        self._writer.add_message(
            channel, message.log_ns, message.data, publish_time=message.log_ns,
            sequence=self.counts.by_topic[message.topic.name]
            + self._pending.by_topic[message.topic.name],
        )
        self._chunk_bytes += len(message.data)
        self._pending.add(message.topic.name, message.log_ns)
        self._unwritten.append(message)

    @property
    def chunk_is_due(self) -> bool:
        """Tell whether the chunk in progress is full or old."""
        if not self._pending.total:
            return False
        age_s = time.monotonic() - self._chunk_started_s
        return self._chunk_bytes >= CHUNK_BYTES or age_s >= CHUNK_S

    def flush(self) -> None:
        """End the chunk in progress and hand it to the operating system."""
        # The writer moves the chunk to the output first, which keeps it if it cannot write.
        self._chunk_bytes = 0
        self._writer.flush()
        self._count_pending()

    def close(self) -> None:
        """Write the rest, the summary and the footer."""
        if not self._finished:
            self.flush()
            self._writer.finish()
            self._finished = True
        self._output.flush()
        self._count_pending()
        self._output.close()

    def close_without_pending(self) -> None:
        """
        Write the summary and the footer of what is on disk, and nothing that is still pending.

        After an OSError the file has no footer, and `repair` completes it later.
        """
        try:
            if not self._finished:
                self._writer.finish()
                self._finished = True
            end = self._output.take_back()
            by_channel = {self._channels[name]: n for name, n in self.counts.by_topic.items()}
            span_ns = (self.counts.start_ns or 0, self.counts.end_ns or 0)
            self._output.write(shortened_end(end, self._output.tell(), by_channel, span_ns))
            self._output.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is on disk; `repair` completes one that has no footer."""
        self._chunk_bytes = 0
        self._output.take_back()
        self._output.close()

    def sync(self) -> None:
        """Have the operating system put on disk what was handed to it; from any thread."""
        self._output.sync()

    def _count_pending(self) -> None:
        self.counts += self._pending
        self._pending = FileCounts()
        self._unwritten = []

    def _schema(self, message_type: str) -> int:
        if message_type not in self._schemas:
            text = definition_of(message_type)
            self._schemas[message_type] = self._writer.register_schema(
                message_type, 'ros2msg' if text else '', (text or '').encode()
            )
        return self._schemas[message_type]


class _Output:
    """A file that grows by whole chunks: everything is kept back until flush, then one write."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o644)
        self._waiting: list[bytes] = []
        self._position = 0
        self.written = 0

    def write(self, data: bytes) -> int:
        self._waiting.append(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def take_back(self) -> bytes:
        """Give what was not written, and forget it."""
        waiting = b''.join(self._waiting)
        self._waiting = []
        self._position = self.written
        return waiting

    def flush(self) -> None:
        whole = b''.join(self._waiting)
        self._waiting = [whole]
        data, offset = memoryview(whole), self.written
        try:
            while data:
                count = os.pwrite(self._descriptor, data, offset)
                data, offset = data[count:], offset + count
        except OSError:
            os.ftruncate(self._descriptor, self.written)
            raise
        self._waiting = []
        self.written = offset

    def sync(self) -> None:
        try:
            descriptor = os.dup(self._descriptor)
        except OSError:
            return  # closed meanwhile
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
