# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag being written: its folder, its files, and the notes beside them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
import errno
import os
from pathlib import Path
import time
from typing import Any

from edgevl_training.output import write_json
from edgevl_training.recording import metadata
from edgevl_training.recording.folders import make_folder, sync_file
from edgevl_training.recording.mcap_file import FileCounts, McapFile
from edgevl_training.recording.messages import Message, Topic
from edgevl_training.recording.recipe import RecordRecipe

NOTES = 'recording.json'
SCHEMA = 1
MB = 1_000_000
# What every file begins with stays small, whatever is published.
_MOST_LATCHED = 50
_MOST_LATCHED_BYTES = 16 * MB


class Bag:
    """
    A bag with one file after the other, each of which can be understood alone.

    The folder is made with the first message. What writes may raise OSError (a full disk): nothing
    is lost by that but the message at hand, and what was written stays readable. One thread
    writes; others may ask for counts, `save_notes` and `sync`, and never wait for the disk that
    writing waits for: what they read is replaced, not changed.
    """

    def __init__(self, recipe: RecordRecipe) -> None:
        """Make no folder yet."""
        self._recipe = recipe
        self.folder: Path | None = None
        self.topics: dict[str, Topic] = {}
        self.splits = 0
        self.whole = True
        self._file: McapFile | None = None
        self._closed: dict[str, FileCounts] = {}
        self._closed_bytes = 0
        self._repeated: Counter[str] = Counter()
        self._latched: dict[str, deque[Message]] = {}
        self._unsynced: deque[Path] = deque()
        self._folder_descriptor = -1

    @property
    def size(self) -> int:
        """Give the bytes of all files, with those that wait to be written."""
        file = self._file
        return self._closed_bytes + (file.size if file else 0)

    @property
    def bytes_written(self) -> int:
        """Give the bytes that all files have on disk."""
        file = self._file
        return self._closed_bytes + (file.bytes_written if file else 0)

    @property
    def written(self) -> Counter[str]:
        """Count by topic the received messages that are in the files."""
        whole = sum(self._files().values(), FileCounts())
        return Counter({
            name: max(0, count - self._repeated[name]) for name, count in whole.by_topic.items()
        })

    @property
    def pending(self) -> Counter[str]:
        """Count by topic the messages that were added and are not in a file yet."""
        file = self._file
        return file.pending.by_topic if file else Counter()

    def register(self, topic: Topic) -> None:
        """Announce a topic, so that it is in the metadata even if nothing comes on it."""
        if topic.name not in self.topics:
            self.topics = {**self.topics, topic.name: topic}
        if self._file is not None:
            self._file.register(topic)

    def remember(self, message: Message) -> None:
        """Keep a message that every file shall begin with, whether or not it is recorded now."""
        topic = message.topic
        if not (topic.latched or topic.role.is_info):
            return
        self.register(topic)
        most = _MOST_LATCHED if topic.latched else 1
        kept = self._latched.setdefault(topic.name, deque(maxlen=most))
        # A publisher that comes back sends the same again.
        if not any(earlier.data == message.data for earlier in kept):
            kept.append(message)
        while len(kept) > 1 and sum(len(m.data) for m in kept) > _MOST_LATCHED_BYTES:
            kept.popleft()

    def write(self, message: Message) -> None:
        """Add a message, to a new file where the one at hand is full."""
        self.register(message.topic)
        file = self._file_for(message)
        self.remember(message)
        file.add(message)
        if file.chunk_is_due:
            self._flush(file)

    def tick(self) -> None:
        """Hand over a chunk that is old enough."""
        if self._file and self._file.chunk_is_due:
            self._flush(self._file)

    def retry(self) -> None:
        """Try again to hand over what the disk refused."""
        if self._file:
            self._flush(self._file)

    def close(self) -> None:
        """
        Complete the file at hand.

        When that raises, what is `pending` is lost. A disk without space even for the footer
        leaves the bag not ``whole``, for `repair`.
        """
        try:
            if self._file:
                self._flush(self._file)
            if self._file:
                self._close_file(self._file)
        except OSError:
            if self._file:
                self._close_without_pending(self._file)
            raise
        except BaseException:
            self.whole = False
            if self._file:
                self._file.abandon()
            raise

    def release(self) -> None:
        """Let go of the folder."""
        if self._folder_descriptor >= 0:
            os.close(self._folder_descriptor)
            self._folder_descriptor = -1

    def save_notes(self, notes: Mapping[str, Any]) -> None:
        """Bring metadata.yaml and recording.json up to date."""
        if self.folder is None:
            return
        description = metadata.describe(self.topics.values(), self._files())
        metadata.write(self.folder, description)
        write_json(self.folder / NOTES, {'schema': SCHEMA, **notes})

    def sync(self) -> None:
        """Have everything handed over put on disk, against a power cut."""
        file = self._file
        if file is not None:
            file.sync()
        while self._unsynced:
            sync_file(self._unsynced.popleft())
        if self._folder_descriptor >= 0:
            os.fsync(self._folder_descriptor)

    def _file_for(self, message: Message) -> McapFile:
        if self._file is not None and self._is_full(self._file):
            self._flush(self._file)
        if self._file is not None and self._is_full(self._file):
            self._close_file(self._file)
            self.splits += 1
        if self._file is None:
            self._file = self._open_file(message)
        return self._file

    def _is_full(self, file: McapFile) -> bool:
        recipe = self._recipe
        age_s = time.monotonic() - file.started_s
        return bool(
            (recipe.split_mb and file.size >= recipe.split_mb * MB)
            or (recipe.split_minutes and age_s >= recipe.split_minutes * 60)
        )

    def _open_file(self, message: Message) -> McapFile:
        if self.folder is None:
            self.folder, self._folder_descriptor = make_folder(
                self._recipe.out, self._recipe.prefix
            )
        name = f'{self.folder.name}_{len(self._files())}.mcap'
        about = metadata.serialized(metadata.describe([], {name: FileCounts()}))
        file = McapFile(self.folder / name, self._recipe.compression, about)
        for topic in self.topics.values():
            file.register(topic)
        for earlier in [m for kept in self._latched.values() for m in kept]:
            file.add(earlier._replace(log_ns=message.log_ns))
            self._repeated[earlier.topic.name] += 1
        return file

    def _flush(self, file: McapFile) -> None:
        try:
            file.flush()
        except OSError as error:
            # A file may also be too large for its file system, which has space for another one.
            if error.errno != errno.EFBIG or not file.counts.total:
                raise
            self._go_on_after(file)

    def _go_on_after(self, file: McapFile) -> None:
        """Put what does not fit into a file any more into the next one."""
        waiting = file.unwritten
        following = self._open_file(waiting[0])
        for message in waiting:
            following.add(message)
        self._close_without_pending(file)
        self._leave(file, following)
        self.splits += 1
        following.flush()

    def _close_file(self, file: McapFile) -> None:
        try:
            file.close()
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            self._close_without_pending(file)
        self._leave(file, None)

    def _close_without_pending(self, file: McapFile) -> None:
        try:
            file.close_without_pending()
        except OSError:
            self.whole = False

    def _leave(self, file: McapFile, following: McapFile | None) -> None:
        self._unsynced.append(file.path)
        self._closed = {**self._closed, file.path.name: file.counts}
        self._closed_bytes += file.bytes_written
        self._file = following

    def _files(self) -> dict[str, FileCounts]:
        # In this order: a file that another thread closes meanwhile is seen once or twice.
        file = self._file
        closed = self._closed
        return {**closed, file.path.name: file.counts} if file else closed
