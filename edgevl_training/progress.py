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

    def __init__(self, title: str, total: float, unit: str) -> None:
        """Start at zero of ``total`` units; a total of 0 is unknown."""
        self.title = title
        self.total = total
        self.done = 0.0
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

    def _line(self, elapsed_s: float) -> str:
        rate = self.done / elapsed_s if elapsed_s else 0.0
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

    def __init__(self, title: str, total: float, unit: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress as Bars,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        super().__init__(title, total, unit)
        self.bars = Bars(
            TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(),
            TextColumn(f'{{task.completed:.0f}} {unit}, {{task.fields[rate]}}/s'),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn('{task.fields[note]}'),
            console=Console(stderr=True),
        )
        self._task = self.bars.add_task(title, total=total or None, rate='0', note='')

    def advance(self, amount: float, note: str = '') -> None:
        self.done += amount
        self.note = note or self.note
        elapsed_s = time.monotonic() - self._started_s
        rate = self.done / elapsed_s if elapsed_s else 0.0
        self.bars.update(
            self._task, completed=self.done, note=self.note, rate=f'{rate:.1f}'
        )


@contextmanager
def progress(title: str, total: float, unit: str) -> Iterator[Progress]:
    """Show progress on stderr for the time of a ``with``: a bar on a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Progress(title, total, unit)
        return
    bar = _Bar(title, total, unit)
    with bar.bars:
        yield bar
