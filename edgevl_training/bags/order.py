# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages in the order of recording, with flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
import heapq
from itertools import count

from edgevl_training.bags.storage import RawMessage

# Recorders write what they receive at once or buffer it for moments.
WINDOW_NS = 1_000_000_000
_WINDOW_BYTES = 64 << 20

Part = tuple[int | None, Callable[[], Iterator[RawMessage]]]


def sort_nearly_sorted(
    messages: Iterable[RawMessage], ran_back_by: Callable[[int], None] | None = None
) -> Iterator[RawMessage]:
    """
    Sort messages that are out of order by less than a second and 64 MiB.

    Where time runs further back (the clock was set), the order of the file stands.

    :param ran_back_by: told then by how many nanoseconds.
    """
    held: list[tuple[int, int, RawMessage]] = []
    held_bytes = 0
    for number, message in enumerate(messages):
        ran_back = bool(held) and message.time_ns < held[0][0] - WINDOW_NS
        if ran_back and ran_back_by:
            ran_back_by(max(held)[0] - message.time_ns)
        while held and (
            ran_back or held_bytes > _WINDOW_BYTES or held[0][0] <= message.time_ns - WINDOW_NS
        ):
            oldest = heapq.heappop(held)[2]
            held_bytes -= len(oldest.data)
            yield oldest
        heapq.heappush(held, (message.time_ns, number, message))
        held_bytes += len(message.data)
    while held:
        yield heapq.heappop(held)[2]


def merge(parts: Sequence[Part]) -> Iterator[RawMessage]:
    """
    Merge the sorted messages of several files; a file is opened when its time has come.

    :param parts: the time of each file's first message and how to open it, in the order of
        recording as far as it is known; a file without a time follows the one before it.
    """
    waiting = deque(parts)
    if all(start is not None for start, _ in parts):
        waiting = deque(sorted(parts, key=lambda part: part[0] or 0))
    numbers = count()
    opened: list[tuple[int, int, RawMessage, Iterator[RawMessage]]] = []
    while waiting or opened:
        while waiting and (not opened or _has_come(waiting[0], opened[0][0])):
            messages = waiting.popleft()[1]()
            if (first := next(messages, None)) is not None:
                heapq.heappush(opened, (first.time_ns, next(numbers), first, messages))
        if not opened:
            return
        _, number, message, messages = opened[0]
        yield message
        if (following := next(messages, None)) is not None:
            heapq.heapreplace(opened, (following.time_ns, number, following, messages))
        else:
            heapq.heappop(opened)


def _has_come(part: Part, now_ns: int) -> bool:
    return part[0] is not None and part[0] <= now_ns
