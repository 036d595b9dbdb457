# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag file in the order of time, however its messages lie in it.

Recorders write what comes, nearly in the order of time. Converters and filters may write one topic
after the other: then a second message of a pair lies as far behind the first as the file is long,
and each topic is read by a reader of its own, which costs time but no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
import heapq
from pathlib import Path

from edgevl_training.bags.order import sort_nearly_sorted, WINDOW_NS
from edgevl_training.bags.storage import Deadline, Look, Lose, RawMessage, StorageFile
from edgevl_training.errors import SourceError


class TimeOrderedFile:
    """One file of a bag; its messages come in the order of time, unless a topic runs back."""

    def __init__(self, path: Path, reader: Callable[[Path], StorageFile]) -> None:
        """Take the path, and what reads it in the order of the file."""
        self.path = path
        self.position = 0
        self._reader = reader

    def look(self, deadline: Deadline) -> Look:
        """Glance at the file, through its index where it has one."""
        return self._reader(self.path).look(deadline)

    def times(self, topics: Collection[str]) -> Iterator[tuple[str, int]]:
        """Give topic and time of messages in the order of the file."""
        return self._reader(self.path).times(topics)

    def sparse(self, topics: Collection[str], deadline: Deadline) -> Iterator[RawMessage]:
        """Give the messages of rare topics in the order of the file, until the deadline."""
        return self._reader(self.path).sparse(topics, deadline)

    def messages(
        self, topics: Collection[str], lose: Lose, deadline: Deadline | None = None
    ) -> Iterator[RawMessage]:
        """Give the messages of some topics in the order of time."""

        def ran_back(by_ns: int) -> None:
            lose('the order of time',
                 f'time runs back by {by_ns / 1e9:.1f} s: a clock was set, or topics were written '
                 'one after the other and no index tells it; the order of the file is kept, and '
                 'images that lie so far apart are not paired', 'the order of time')

        by_topic = len(topics) > 1 and lies_topic_by_topic(self.times(topics))
        shares = [[topic] for topic in sorted(topics)] if by_topic else [topics]
        readers = [self._reader(self.path) for _ in shares]
        streams = [
            sort_nearly_sorted(messages_to_the_end(reader, share, lose, deadline), ran_back)
            for reader, share in zip(readers, shares)
        ]
        for message in heapq.merge(*streams, key=lambda message: message.time_ns):
            self.position = sum(reader.position for reader in readers) // len(readers)
            yield message


def lies_topic_by_topic(times: Iterator[tuple[str, int]]) -> bool:
    """Tell whether a file is out of the order of time, but none of its topics is by itself."""
    newest_ns: int | None = None
    newest_of: dict[str, int] = {}
    disordered = False
    try:
        for topic, time_ns in times:
            if time_ns < newest_of.get(topic, time_ns) - WINDOW_NS:
                return False
            disordered |= newest_ns is not None and time_ns < newest_ns - WINDOW_NS
            newest_ns = max(time_ns, newest_ns or time_ns)
            newest_of[topic] = max(time_ns, newest_of.get(topic, time_ns))
    # Garbage may find a way past every check, and an index is not needed.
    except Exception:
        return False
    return disordered


def messages_to_the_end(
    file: StorageFile, topics: Collection[str], lose: Lose, deadline: Deadline | None = None
) -> Iterator[RawMessage]:
    """
    Give the messages of a file until it ends or nothing more can be read, which is a loss.

    :raises SourceError: when it cannot be unpacked.
    """
    try:
        yield from file.messages(topics, lose, deadline)
    except SourceError:
        raise
    # Garbage may find a way past every check; the other files can still be read.
    except Exception as error:
        lose(f'what follows byte {file.position}',
             f'it cannot be read ({type(error).__name__}: {error})')
