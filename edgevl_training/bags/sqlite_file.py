# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
An SQLite file of a rosbag2, whole or damaged.

It is read in the order of its rows, which is the order of recording but for little: the reader of
`rosbags` sorts by time, which without an index copies the whole file, and counts all rows first.
Where the index of times shows that the rows are in another order, it is read topic by topic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
import sqlite3
from typing import Any
from urllib.parse import quote

from edgevl_training.bags.order import WINDOW_NS
from edgevl_training.bags.sqlite_pages import Pages, Row, rows_of
from edgevl_training.bags.storage import (
    Channel,
    Deadline,
    first_messages,
    ignore,
    Look,
    Lose,
    MAX_MESSAGE_BYTES,
    normalized,
    RawMessage,
)
from edgevl_training.bags.walk import FileData

# Counting reads the whole file, page by page.
_COUNTED_BYTES = 256 << 20
# Topics are declared as they appear, nearly always at the start.
_DECLARED_WITHIN_BYTES = 256 << 20
_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK = 10_000
# A damaged file makes the module stumble over its own messages, too.
_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
_MESSAGE_COLUMNS = ('niib', 'iiib')


class SqliteFile:
    """One SQLite file of a bag."""

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is read yet."""
        self.path = path
        self.position = 0
        self._size = path.stat().st_size

    def look(self, deadline: Deadline) -> Look:
        """Glance at the file: its topics, and the first image of each."""
        channels = self._channels()
        counts: dict[int, int] = {}
        start_ns = None
        with suppress(*_ERRORS), closing(self._connect(deadline)) as database:
            first = database.execute('SELECT timestamp FROM messages ORDER BY rowid LIMIT 1')
            start_ns = next((t for t, in first if isinstance(t, int)), None)
            if self._size <= _COUNTED_BYTES:
                counts = dict(database.execute(
                    'SELECT topic_id, count(*) FROM messages GROUP BY topic_id').fetchall())
        listed = [
            Channel(c.topic, c.msgtype, c.serialization, counts.get(i, 0))
            for i, c in channels.items()
        ]
        firsts = first_messages(self, [c for c in listed if c.count or not counts], deadline)
        return Look(listed, firsts, start_ns, counted=bool(counts))

    def messages(
        self, topics: Collection[str], lose: Lose, deadline: Deadline | None = None
    ) -> Iterator[RawMessage]:
        """Give the messages of some topics in the order of the file."""
        channels = self._channels()
        wanted = [i for i, c in channels.items() if c.topic in topics]
        last = 0
        if why := self._cut_off():
            # SQLite would read what is missing as zeros.
            yield from self._salvage(channels, wanted, last, lose, deadline, why)
            return
        try:
            for rowid, message in self._query(channels, wanted, lose, deadline):
                last = rowid
                yield message
        except _ERRORS as error:
            if deadline is None or not deadline.passed:
                yield from self._salvage(channels, wanted, last, lose, deadline, str(error))

    def times(self, topics: Collection[str]) -> Iterator[tuple[str, int]]:
        """Give topic and time of messages, if the index of times leaves their order open."""
        channels = self._channels()
        with suppress(*_ERRORS), closing(self._connect(None)) as database:
            if self._size > _COUNTED_BYTES and _in_order(database):
                return
            rows = database.execute('SELECT topic_id, timestamp FROM messages ORDER BY rowid')
            for number, time_ns in rows:
                if number in channels and channels[number].topic in topics:
                    yield channels[number].topic, time_ns

    def sparse(self, topics: Collection[str], deadline: Deadline) -> Iterator[RawMessage]:
        """Give the messages of rare topics in the order of the file, until the deadline."""
        return self.messages(topics, ignore, deadline)

    def _connect(self, deadline: Deadline | None) -> sqlite3.Connection:
        # What a killed recorder left in its write-ahead log counts; a file without one is taken
        # as it is, so that nothing is ever written beside it.
        log = self.path.with_name(f'{self.path.name}-wal')
        mode = 'mode=ro' if log.exists() and log.stat().st_size else 'mode=ro&immutable=1'
        database = sqlite3.connect(f'file:{quote(str(self.path.absolute()))}?{mode}', uri=True)
        database.text_factory = lambda text: text.decode(errors='replace')
        if hasattr(database, 'setlimit'):  # Python 3.11
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_MESSAGE_BYTES + 1024)
        if deadline is not None:
            database.set_progress_handler(
                lambda: deadline.passed, _STEPS_BETWEEN_LOOKS_AT_THE_CLOCK)
        return database

    def _channels(self) -> dict[int, Channel]:
        with suppress(*_ERRORS), closing(self._connect(None)) as database:
            rows = database.execute('SELECT id, name, type, serialization_format FROM topics')
            channels = {i: _channel(*columns) for i, *columns in rows if isinstance(i, int)}
            if channels:
                return channels
        return dict(_salvaged_channels(self.path))

    def _cut_off(self) -> str:
        """Say by how much the file is shorter than its header says; empty when it is not."""
        with self.path.open('rb') as stream:
            pages = Pages(FileData(stream))
        stated = pages.stated_count * pages.page_bytes
        return f'the file has {self._size} of {stated} bytes' if stated > self._size else ''

    def _query(
        self, channels: dict[int, Channel], wanted: list[int], lose: Lose,
        deadline: Deadline | None,
    ) -> Iterator[tuple[int, RawMessage]]:
        with closing(self._connect(deadline)) as database:
            (newest,) = database.execute('SELECT max(rowid) FROM messages').fetchone()
            marks = ','.join('?' * len(wanted))
            # All rows are looked at, for damage need not be an error to SQLite: rows vanish, or
            # become others.
            rows = database.execute(
                'SELECT rowid, topic_id, timestamp, '  # noqa: S608 (marks)
                f'CASE WHEN topic_id IN ({marks}) THEN data END '
                'FROM messages ORDER BY rowid', wanted)
            following = 1
            for rowid, topic, time_ns, data in rows:
                self.position = self._size * rowid // max(1, newest)
                if rowid > following:
                    lose(f'messages {following} to {rowid - 1}', 'their rows are not there')
                following = rowid + 1
                if topic not in channels or not isinstance(time_ns, int):
                    lose(f'message {rowid}', 'its row is damaged, or nothing says what it is',
                         'damaged rows')
                elif isinstance(data, bytes):
                    yield rowid, RawMessage(channels[topic], time_ns, data)
                elif topic in wanted:
                    lose(f'message {rowid}', 'its row is damaged', f'damaged rows of {topic}')

    def _salvage(
        self, channels: dict[int, Channel], wanted: list[int], last: int, lose: Lose,
        deadline: Deadline | None, why: str,
    ) -> Iterator[RawMessage]:
        """Give the messages after a row from whatever pages are whole."""
        chosen = {i: channels[i] for i in wanted}
        found = newest = 0
        for pages, row in rows_of(self.path):
            if deadline is not None and deadline.passed:
                return
            self.position = max(self.position, pages.number * pages.page_bytes)
            if row.kinds not in _MESSAGE_COLUMNS:
                continue
            newest = max(newest, row.rowid)
            found += 1
            if row.rowid > last:
                yield from _salvaged_message(row, chosen, lose)
        if newest > found:
            lose(f'{newest - found} of at least {newest} messages, of whatever topics',
                 f'their pages are damaged or missing ({why})')
        else:
            lose('an unknown number of messages, if any', f'the file is damaged ({why})')


def _in_order(database: sqlite3.Connection) -> bool:
    """
    Whether rows lie so far in the order of time that none is out of it by the window.

    Only the index that rosbag2 makes is read: rows lie beside the images, which are large.

    :raises sqlite3.OperationalError: there is no such index.
    """
    rows = database.execute(
        'SELECT timestamp, rowid FROM messages INDEXED BY timestamp_idx ORDER BY timestamp')
    # Of the half windows before the last one, and of the last one.
    newest = newest_of_last = last = 0
    for half, moment in groupby(rows, key=lambda row: 2 * row[0] // WINDOW_NS):
        numbers = [rowid for _, rowid in moment]
        if half > last + 1:
            newest = max(newest, newest_of_last)
        if min(numbers) < newest:
            return False
        newest, newest_of_last, last = max(newest, newest_of_last), max(numbers), half
    return True


def _salvaged_message(
    row: Row, channels: dict[int, Channel], lose: Lose
) -> Iterator[RawMessage]:
    _, topic, time_ns, _ = row.head()
    channel = channels.get(topic) if isinstance(topic, int) else None
    if channel is None or not isinstance(time_ns, int):
        return
    columns = row.whole(MAX_MESSAGE_BYTES)
    if columns is None or not isinstance(columns[3], bytes):
        lose(f'a message of {channel.topic} at {time_ns} ns',
             'a part of it is damaged or missing', f'{channel.topic} in part')
    else:
        yield RawMessage(channel, time_ns, columns[3])


def _salvaged_channels(path: Path) -> Iterator[tuple[int, Channel]]:
    """Find the rows of the table of topics: number, name, type, serialization and more text."""
    found = False
    for pages, row in rows_of(path):
        if found and pages.number * pages.page_bytes > _DECLARED_WITHIN_BYTES:
            return
        if row.kinds[1:4] == 'ttt':
            number, *columns = row.head()[:4]
            if columns[2] == 'cdr' and '/' in str(columns[1]):
                found = True
                yield number if isinstance(number, int) else row.rowid, _channel(*columns)


def _channel(topic: Any, msgtype: Any, serialization: Any) -> Channel:
    return Channel(str(topic), normalized(str(msgtype)), str(serialization))
