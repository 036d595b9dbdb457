# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Long work says how far it is and how long it still takes, in a log and on a terminal."""
from __future__ import annotations

import os
from pathlib import Path
import pty
import subprocess
import sys

from edgevl_training import progress as module
from edgevl_training.progress import progress
import pytest


@pytest.fixture
def clock(monkeypatch):
    """Give a list whose only item is the time that the module sees."""
    now = [100.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then_with_the_time_left(clock, capsys):
    with progress('extract', 1000, 'MB') as bar:
        clock[0] += 4
        bar.advance(20)
        assert capsys.readouterr().err == ''
        clock[0] += 6
        bar.advance(30, 'drive1.mcap')
        assert capsys.readouterr().err == (
            'extract: 50 of 1000 MB, 5.0/s, 0:03:10 left  drive1.mcap\n')
        clock[0] += 5
        bar.advance(1)
        assert capsys.readouterr().err == ''


@pytest.mark.parametrize(('total', 'done', 'line'), [
    (100_000, 10, 'teach: 10 of 100000 images, 1.0/s, 1 day, 3:46:30 left'),
    (100, 100, 'teach: 100 of 100 images, 10.0/s, 0:00:00 left'),
    (100, 120, 'teach: 120 of 100 images, 12.0/s, 0:00:00 left'),
    (100, 0, 'teach: 0 of 100 images, 0.0/s'),
    (0, 50, 'teach: 50 images, 5.0/s'),
])
def test_the_time_left_is_what_the_rate_so_far_gives(clock, capsys, total, done, line):
    with progress('teach', total, 'images') as bar:
        clock[0] += 10
        bar.advance(done)
    assert capsys.readouterr().err == line + '\n'


def test_what_an_earlier_run_has_done_does_not_hasten_the_rest(clock, capsys):
    with progress('distill', 100, 'batches', 60) as bar:
        clock[0] += 10
        bar.advance(5)
    assert capsys.readouterr().err == 'distill: 65 of 100 batches, 0.5/s, 0:01:10 left\n'


def test_a_terminal_gets_a_bar():
    pytest.importorskip('rich', reason='rich is not installed')
    program = (
        'from edgevl_training.progress import progress\n'
        'with progress("curate", 4, "pairs") as bar:\n'
        '    for number in range(4):\n        bar.advance(1, f"bag{number}")\n')
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, '-c', program], stderr=theirs, timeout=60,
            env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '120'},
            cwd=Path(module.__file__).parents[1])
        os.close(theirs)
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
    assert done.returncode == 0
    for part in ('curate', '100%', '4 pairs', 'bag3'):
        assert part in shown
