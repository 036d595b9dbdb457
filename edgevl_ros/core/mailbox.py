# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One slot between a camera and a worker: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """
    A slot that holds at most one item; putting another replaces it.

    Safe between threads. `put` never waits, so a callback that uses it returns at once however
    slow the reader is, and the reader never works on an item older than the newest put.
    """

    def __init__(self) -> None:
        """Start empty and open."""
        self._changed = threading.Condition()
        self._item: T | None = None
        self._replaced = 0
        self._closed = False

    def put(self, item: T) -> None:
        """Leave an item, replacing (and counting) one that nobody took."""
        with self._changed:
            if self._item is not None:
                self._replaced += 1
            self._item = item
            self._changed.notify()

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for an item and take it; None when the time is over or the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake the reader for good; what was not taken is let go."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Tell whether `close` was called."""
        return self._closed

    @property
    def replaced(self) -> int:
        """Count the items that a newer one replaced before anybody took them."""
        return self._replaced
