# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A queue between callbacks and the disk, bounded in bytes."""

from __future__ import annotations

from collections import deque
import threading

from edgevl_training.recording.messages import Message, Topic


class MessageQueue:
    """First in, first out; what does not fit is refused, and nobody who puts ever waits."""

    def __init__(self, most_bytes: int) -> None:
        """Start empty; a single message larger than ``most_bytes`` fits into an empty queue."""
        self._most_bytes = most_bytes
        self._items: deque[Message | Topic] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    @property
    def waiting_bytes(self) -> int:
        """Give the bytes that wait."""
        return self._bytes

    def put(self, item: Message | Topic) -> bool:
        """Add a message or the announcement of a topic; False when it does not fit."""
        size = len(item.data) if isinstance(item, Message) else 0
        with self._changed:
            if size and self._bytes and self._bytes + size > self._most_bytes:
                return False
            self._items.append(item)
            self._bytes += size
            self._changed.notify()
        return True

    def take(self, timeout_s: float) -> Message | Topic | None:
        """Take the oldest; None when nothing came in time."""
        with self._changed:
            if not self._items and not self._changed.wait_for(lambda: self._items, timeout_s):
                return None
            item = self._items.popleft()
            if isinstance(item, Message):
                self._bytes -= len(item.data)
            return item
