# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The latest messages, held back until it is clear which of them are worth the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgevl_training.recording.messages import header_stamp_ns, Message


@dataclass(eq=False)
class Held:
    """
    A message in the buffer.

    ``stamp_ns`` is that of its header, or the time of receipt where it has none.
    """

    message: Message
    stamp_ns: int
    taken: bool = False


class Ring:
    """The messages of the last seconds, bounded in bytes."""

    def __init__(self, seconds: float, most_bytes: int) -> None:
        """Start empty."""
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._held: deque[Held] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Count the messages held."""
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        """Go through the messages from the oldest to the newest."""
        return iter(self._held)

    def add(self, message: Message) -> Held:
        """Hold a message, and let go of those that are too old or too much."""
        role = message.topic.role
        stamp_ns = header_stamp_ns(message.data) if role.is_image or role.is_info else None
        held = Held(message, message.log_ns if stamp_ns is None else stamp_ns)
        self._held.append(held)
        self._bytes += len(message.data)
        oldest_s = message.received_s - self._seconds
        while len(self._held) > 1 and (
            self._held[0].message.received_s < oldest_s or self._bytes > self._most_bytes
        ):
            self._bytes -= len(self._held.popleft().message.data)
        return held

    def around(self, received_s: float, half_s: float) -> Iterator[Held]:
        """Give what was received around a moment of the monotonic clock."""
        return (h for h in self._held if abs(h.message.received_s - received_s) <= half_s)

    def nearest(self, topic: str, stamp_ns: int) -> Held | None:
        """Give the message of a topic with the stamp nearest to one."""
        return min(self._of(topic), key=lambda h: abs(h.stamp_ns - stamp_ns), default=None)

    def nearest_received(self, topic: str, received_s: float) -> Held | None:
        """Give the message of a topic that was received nearest to a moment."""
        return min(
            self._of(topic), key=lambda h: abs(h.message.received_s - received_s), default=None
        )

    def _of(self, topic: str) -> Iterator[Held]:
        return (h for h in self._held if h.message.topic.name == topic)

    def take(self, chosen: Iterable[Held]) -> list[Message]:
        """Give messages in the order of receipt, each only the first time it is chosen."""
        fresh = {id(held): held for held in chosen if not held.taken}
        for held in fresh.values():
            held.taken = True
        return [h.message for h in sorted(fresh.values(), key=lambda h: h.message.received_s)]
