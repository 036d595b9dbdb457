# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What became of every message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Counts:
    """
    Messages by topic; each counter is counted by one thread only.

    ``kept`` are those that the mode chose of the ``received``. ``queue_full`` and ``paused`` are
    the reasons why kept ones are dropped; ``lost`` never reached the recorder (the middleware says
    so).
    """

    received: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    queue_full: Counter[str] = field(default_factory=Counter)
    paused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    triggers: Counter[str] = field(default_factory=Counter)

    @property
    def dropped(self) -> Counter[str]:
        """Count by topic what was kept and not written."""
        # Not the sum of two counters: another thread may add a topic meanwhile.
        return Counter({
            name: self.queue_full[name] + self.paused[name]
            for name in {*self.queue_full, *self.paused}
        })

    def table(self, written: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Give the counts of every topic."""
        names = sorted({*self.received, *written})
        return {
            name: {
                'received': self.received[name],
                'kept': self.kept[name],
                'written': written.get(name, 0),
                'dropped_queue_full': self.queue_full[name],
                'dropped_paused': self.paused[name],
                'lost_in_transport': self.lost[name],
            }
            for name in names
        }


def summary_lines(table: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Lay the counts of all topics out in columns."""
    columns = ('received', 'kept', 'written', 'dropped', 'lost in transport')
    width = max([len(name) for name in table] + [len('topic')])
    lines = [f'{"topic":<{width}}' + ''.join(f'{name:>{len(name) + 3}}' for name in columns)]
    for name, counts in table.items():
        values = (
            counts['received'], counts['kept'], counts['written'],
            counts['dropped_queue_full'] + counts['dropped_paused'], counts['lost_in_transport'],
        )
        cells = (f'{value:>{len(column) + 3}}' for column, value in zip(columns, values))
        lines.append(f'{name:<{width}}' + ''.join(cells))
    return lines


def final_report(notes: Mapping[str, Any]) -> str:
    """Say at the end what was recorded."""
    if notes['folder'] is None:
        return '\n'.join(['nothing recorded:', *_reasons(notes)])
    lines = [
        f'recorded {notes["bytes"] / 1e6:.1f} MB in {notes["seconds"]:.1f} s, '
        f'{notes["splits"] + 1} file(s), into {notes["folder"]}',
        *summary_lines(notes['topics']),
    ]
    if notes['triggers']:
        triggers = ', '.join(f'{count} {kind}' for kind, count in notes['triggers'].items())
        lines.append(f'triggers: {triggers}')
    if notes['paused_seconds']:
        lines.append(f'paused for {notes["paused_seconds"]:.1f} s: {notes["last_problem"]}')
    if not notes['finished']:
        lines.append(
            'a file could not be completed; the next recorder with this folder does that'
        )
    return '\n'.join(lines)


def _reasons(notes: Mapping[str, Any]) -> list[str]:
    """Say why nothing was recorded."""
    table = notes['topics']
    received = sum(counts['received'] for counts in table.values())
    reasons = list(notes.get('complaints', ()))
    if notes['last_problem']:
        reasons.append(notes['last_problem'])
    if received and not any(counts['kept'] for counts in table.values()):
        reasons.append(f'mode {notes["mode"]} chose none of {received} messages')
    heard = ', '.join(table) or 'none'
    return [f'  {reason}' for reason in [*reasons, f'topics heard: {heard}']]
