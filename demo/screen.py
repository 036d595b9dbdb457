# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import time
import types

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BAR_CELLS = 30
LABEL_CELLS = 22
SHOWN = 3
REFRESH_SECONDS = 0.15
PLAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Snapshot:
    """
    All that the screen shows at one moment.

    ``labels`` are those of the newest frame with their probabilities, best first. ``progress``
    is the share that is done, 0..1, and ``seconds_left`` an estimate. ``history`` has one row of
    texts for each picture so far, under ``history_titles``.
    """

    picture: str
    vocabulary: Sequence[str]
    labels: Sequence[tuple[str, float]]
    stable_label: str
    latency_ms: float
    frames: int
    rate: float
    progress: float
    seconds_left: float
    history_titles: Sequence[str] = ()
    history: Sequence[Sequence[str]] = ()


class Screen:
    """A context that shows snapshots; the terminal is left as it was."""

    def __init__(self, console: Console | None = None) -> None:
        """Take a console; by default the process's own."""
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._shown_at = float('-inf')
        self._unsaid: Snapshot | None = None

    def __enter__(self) -> Screen:
        """Enter the context."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Stop drawing; the last table stays."""
        self.freeze()

    def say(self, text: str) -> None:
        """Print a line, above the table where there is one."""
        self._say_what_was_held_back()
        self._console.print(text, markup=False)

    def show(self, snapshot: Snapshot) -> None:
        """
        Show a snapshot, unless the last one is too recent to be read.

        Without a terminal, that is one line every few seconds and the last one of each picture.
        """
        age = time.monotonic() - self._shown_at
        if self._console.is_terminal:
            if age >= REFRESH_SECONDS:
                self._draw(draw(snapshot))
            return
        if self._unsaid is not None and snapshot.picture != self._unsaid.picture:
            self._say_what_was_held_back()
        self._unsaid = snapshot
        if age >= PLAIN_SECONDS:
            self._say_what_was_held_back()

    def finish(self, snapshot: Snapshot) -> None:
        """Show a last snapshot, however recent the one before is."""
        self._shown_at = float('-inf')
        self.show(snapshot)
        self.freeze()

    def freeze(self) -> None:
        """Leave the table as it is and go on below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def lay_out(self, renderable: RenderableType) -> None:
        """Print a table or another rich object."""
        self._console.print(renderable)

    def _say_what_was_held_back(self) -> None:
        snapshot, self._unsaid = self._unsaid, None
        if snapshot is not None:
            self._shown_at = time.monotonic()
            self._console.print(plain_line(snapshot), markup=False)

    def _draw(self, renderable: RenderableType) -> None:
        self._shown_at = time.monotonic()
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(renderable, refresh=True)


def draw(snapshot: Snapshot) -> RenderableType:
    """Lay a snapshot out for a terminal."""
    answers = Table.grid(padding=(0, 1))
    for label, probability in list(snapshot.labels)[:SHOWN]:
        answers.add_row(
            Text(label, style='bold' if not answers.rows else ''),
            ProgressBar(1.0, probability, width=BAR_CELLS, complete_style='cyan'),
            f'{probability:4.0%}',
        )
    parts: list[RenderableType] = [
        Text.assemble(('vocabulary  ', 'dim'), ', '.join(snapshot.vocabulary)),
        Text(),
        answers,
        Text(),
        Text.assemble(
            ('stable label ', 'dim'), (snapshot.stable_label or '-', 'bold green'),
            ('   stamp to label ', 'dim'), f'{snapshot.latency_ms:.1f} ms',
            ('   frames ', 'dim'), f'{snapshot.frames}',
            ('   rate ', 'dim'), f'{snapshot.rate:.1f} Hz',
        ),
        _progress(snapshot),
    ]
    if snapshot.history:
        history = Table(*snapshot.history_titles, box=None, padding=(0, 3, 0, 0))
        for row in snapshot.history:
            history.add_row(*row)
        parts += [Text(), history]
    return Panel(Group(*parts), title=f'[bold]{snapshot.picture}[/]', title_align='left')


def plain_line(snapshot: Snapshot) -> str:
    """Write a snapshot in one line."""
    if not snapshot.labels:
        return f'{snapshot.progress:4.0%}  {snapshot.picture}: no label yet'
    labels = ', '.join(f'{label} {share:.0%}' for label, share in snapshot.labels[:SHOWN])
    return (
        f'{snapshot.progress:4.0%}  {snapshot.picture}: {labels}; '
        f'stable: {snapshot.stable_label or "-"}; {snapshot.latency_ms:.1f} ms, '
        f'{snapshot.frames} frames at {snapshot.rate:.1f} Hz, '
        f'{snapshot.seconds_left:.0f} s left'
    )


def _progress(snapshot: Snapshot) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    line.add_row(
        Text('progress', style='dim'),
        ProgressBar(1.0, snapshot.progress, width=BAR_CELLS),
        f'{snapshot.seconds_left:.0f} s left',
    )
    return line
