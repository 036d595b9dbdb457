# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Complete the bags that an earlier recorder could not: killed, out of power, or out of space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import json
import os
from pathlib import Path
import struct
from typing import Any

from edgevl_training.output import atomic, PARTIAL, write_json
from edgevl_training.recording import metadata
from edgevl_training.recording.bag import NOTES
from edgevl_training.recording.folders import hold
from edgevl_training.recording.mcap_file import FileCounts, LIBRARY
from edgevl_training.recording.messages import Topic
from edgevl_training.recording.space import free_bytes
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, Footer, Message, Schema
from mcap.stream_reader import breakup_chunk, CRCValidationError, StreamReader
from mcap.writer import CompressionType, Writer

# What the mcap library, its decompressors included, raises for bytes that make no sense.
_DAMAGE = (
    McapError, CRCValidationError, struct.error, ValueError, KeyError, EOFError, RuntimeError,
    MemoryError,
)
_LARGEST_RECORD = 1 << 30


class _Stopped(Exception):
    """There is no time to complete a bag now."""


def complete_bags(
    out: Path, min_free_bytes: float, log: Callable[[str], None],
    stopping: Callable[[], bool] = lambda: False,
) -> list[Path]:
    """
    Complete every unfinished bag in a folder that no recorder holds.

    A file is repaired in a copy, which takes its place only when it is whole.

    :param min_free_bytes: leave at least so much space on the disk.
    :param stopping: tells that the work is to be given up, and left for another time.
    :returns: the folders of the bags completed.
    """
    completed = []
    for notes_path in sorted(out.glob(f'*/{NOTES}')):
        folder = notes_path.parent
        notes = _read_notes(notes_path)
        if notes.get('finished', True):
            continue
        try:
            descriptor = hold(folder)
        except OSError:
            continue  # another recorder is at work
        try:
            log(f'{folder}: was not completed by its recorder; completing it now')
            log(f'{folder}: completed; {_complete(folder, notes, min_free_bytes, stopping)}')
            completed.append(folder)
        except _Stopped:
            log(f'{folder}: not completed now; the next recorder with this folder goes on')
        except OSError as error:
            log(f'{folder}: cannot be completed: {error.strerror or error}')
        finally:
            os.close(descriptor)
    return completed


def _complete(
    folder: Path, notes: dict[str, Any], min_free_bytes: float, stopping: Callable[[], bool]
) -> str:
    topics = {topic.name: topic for topic in metadata.read_topics(folder)}
    files: dict[str, FileCounts] = {}
    empty: list[Path] = []
    damaged = 0
    for stale in folder.glob(f'*{PARTIAL}'):
        stale.unlink()
    for path in sorted(folder.glob('*.mcap'), key=_number):
        summary = _summary(path)
        if summary is None:
            if free_bytes(folder) - path.stat().st_size < min_free_bytes:
                raise OSError(f'expected {path.stat().st_size / 1e9:.2f} GB of free space more')
            damaged_here = _repair(path, stopping)
            damaged += damaged_here
            summary = _summary(path)
            if summary is not None and not (summary[0].total or damaged_here):
                empty.append(path)
        if summary is None:
            continue
        counts, found = summary
        files[path.name] = counts
        for topic in found:
            topics.setdefault(topic.name, topic)
    # A recorder killed just after it began a file leaves one in which nothing is.
    dropped = empty if len(empty) < len(files) else empty[1:]
    for path in dropped:
        del files[path.name]
    metadata.write(folder, metadata.describe(topics.values(), files))
    for path in dropped:
        path.unlink()
    whole = sum(files.values(), FileCounts())
    repaired = {'messages': dict(whole.by_topic), 'damaged_chunks': damaged}
    write_json(folder / NOTES, {
        **notes, 'finished': True, 'repaired': repaired, 'splits': max(0, len(files) - 1),
        'bytes': sum((folder / name).stat().st_size for name in files),
    })
    if not whole.total:
        return f'it holds no messages, {damaged} damaged chunk(s) left out; it may be deleted'
    return f'{whole.total} messages in {len(files)} file(s), {damaged} damaged chunk(s) left out'


def _repair(path: Path, stopping: Callable[[], bool]) -> int:
    """Put a whole file in the place of an unfinished one; give the number of damaged chunks."""
    damaged = 0
    with atomic(path) as temporary, path.open('rb') as source, temporary.open('wb') as target:
        copy: _Copy | None = None
        for record in _records(source):
            if stopping():
                raise _Stopped
            if not isinstance(record, Chunk):
                continue
            copy = copy or _Copy(target, record.compression)
            try:
                copy.add(breakup_chunk(record, validate_crc=True))
            except _DAMAGE:
                damaged += 1
        (copy or _Copy(target, '')).finish()
    return damaged


def _records(source: Any) -> Iterator[Any]:
    """Give the records of a file up to where it breaks off."""
    reader = StreamReader(source, emit_chunks=True, record_size_limit=_LARGEST_RECORD)
    try:
        for record in reader.records:
            if isinstance(record, Footer):
                return
            yield record
    except _DAMAGE:
        return


class _Copy:
    """A file that is written anew from the chunks of another one."""

    def __init__(self, target: Any, compression: str) -> None:
        kind = CompressionType[(compression or 'none').upper()]
        self._writer = Writer(target, chunk_size=1 << 62, compression=kind)
        self._writer.start(profile='ros2', library=LIBRARY)
        about = metadata.serialized(metadata.describe([], {}))
        self._writer.add_metadata('rosbag2', {'serialized_metadata': about})
        self._schemas: dict[int, int] = {}
        self._channels: dict[int, int] = {}

    def add(self, records: list[Any]) -> None:
        """Copy a chunk."""
        for record in records:
            if isinstance(record, Schema) and record.id not in self._schemas:
                self._schemas[record.id] = self._writer.register_schema(
                    record.name, record.encoding, record.data
                )
            elif isinstance(record, Channel) and record.id not in self._channels:
                self._channels[record.id] = self._writer.register_channel(
                    record.topic, record.message_encoding, self._schemas[record.schema_id],
                    record.metadata,
                )
            elif isinstance(record, Message):
                self._writer.add_message(
                    self._channels[record.channel_id], record.log_time, record.data,
                    record.publish_time, record.sequence,
                )
        self._writer.flush()

    def finish(self) -> None:
        """Write the summary and the footer."""
        self._writer.finish()


def _summary(path: Path) -> tuple[FileCounts, list[Topic]] | None:
    """Read what a complete file holds; None for one without a footer."""
    try:
        with path.open('rb') as file:
            summary = make_reader(file).get_summary()
    except _DAMAGE:
        return None
    if summary is None or summary.statistics is None:
        return None
    counts = FileCounts()
    statistics = summary.statistics
    if statistics.message_count:
        counts.start_ns, counts.end_ns = (
            statistics.message_start_time, statistics.message_end_time
        )
    topics = []
    for channel in summary.channels.values():
        count = statistics.channel_message_counts.get(channel.id, 0)
        counts.by_topic[channel.topic] += count
        schema = summary.schemas[channel.schema_id]
        offered = channel.metadata.get('offered_qos_profiles', '')
        topics.append(Topic(channel.topic, schema.name, offered_qos=offered))
    return counts, topics


def _number(path: Path) -> int:
    """Give the place of a file in its bag."""
    last = path.stem.rpartition('_')[2]
    return int(last) if last.isdigit() else 0


def _read_notes(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
