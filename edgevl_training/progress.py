# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
import sys
import time

_LINE_EVERY_S = 10.0


class Progress:
    """How far a piece of work is; made by `progress`."""

    def __init__(self, title: str, total: float, unit: str, done: float = 0.0) -> None:
        """Start at ``done`` of ``total`` units; a total of 0 is unknown."""
        self.title = title
        self.total = total
        # What was done before says nothing about the time left.
        self.done = self._before = done
        self.note = ''
        self._unit = unit
        self._started_s = self._said_s = time.monotonic()

    def advance(self, amount: float, note: str = '') -> None:
        """Count some units, with a word on what is being done."""
        self.done += amount
        self.note = note or self.note
        now_s = time.monotonic()
        if now_s - self._said_s >= _LINE_EVERY_S:
            self._said_s = now_s
            print(self._line(now_s - self._started_s), file=sys.stderr, flush=True)

    def _rate(self, elapsed_s: float) -> float:
        return (self.done - self._before) / elapsed_s if elapsed_s else 0.0

    def _line(self, elapsed_s: float) -> str:
        rate = self._rate(elapsed_s)
        text = f'{self.title}: {self.done:.0f}'
        if self.total:
            text += f' of {self.total:.0f} {self._unit}, {rate:.1f}/s'
            if rate:
                left_s = max(0.0, self.total - self.done) / rate
                text += f', {timedelta(seconds=round(left_s))} left'
        else:
            text += f' {self._unit}, {rate:.1f}/s'
        return f'{text}  {self.note}'.rstrip()


class _Bar(Progress):
    """The same on a terminal, drawn by rich."""

    def __init__(self, title: str, total: float, unit: str, done: float = 0.0) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress as Bars,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        super().__init__(title, total, unit, done)
        self.bars = Bars(
            TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(),
            TextColumn(f'{{task.completed:.0f}} {unit}, {{task.fields[rate]}}/s'),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn('{task.fields[note]}'),
            console=Console(stderr=True),
        )
        self._task = self.bars.add_task(
            title, total=total or None, completed=round(done), rate='0', note=''
        )

    def advance(self, amount: float, note: str = '') -> None:
        self.done += amount
        self.note = note or self.note
        rate = self._rate(time.monotonic() - self._started_s)
        self.bars.update(
            self._task, completed=self.done, note=self.note, rate=f'{rate:.1f}'
        )


@contextmanager
def progress(
    title: str, total: float, unit: str, done: float = 0.0
) -> Iterator[Progress]:
    """
    Show progress on stderr for the time of a ``with``: a bar on a terminal, else lines.

    :param done: units that an earlier run has done.
    """
    if not sys.stderr.isatty():
        yield Progress(title, total, unit, done)
        return
    bar = _Bar(title, total, unit, done)
    with bar.bars:
        yield bar
