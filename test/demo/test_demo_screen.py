# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A terminal gets a live table, anything else plain lines."""

from dataclasses import replace
import io

from demo.screen import Screen, Snapshot
from rich.console import Console

SNAPSHOT = Snapshot(
    picture='coffee',
    vocabulary=('cup', 'cat'),
    labels=(('cup', 0.81), ('cat', 0.12), ('dog', 0.04), ('hen', 0.03)),
    stable_label='cup',
    latency_ms=7.94,
    frames=42,
    rate=9.96,
    progress=0.25,
    seconds_left=15.2,
    history_titles=('picture', 'first', 'second'),
    history=(('coffee', 'cup 81%', ''),),
)


def shown(*snapshots: Snapshot, terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, soft_wrap=True)
    with Screen(console) as screen:
        for snapshot in snapshots:
            screen.show(snapshot)
        screen.say('[not markup]')
    return output.getvalue()


def test_plain_lines_hold_the_answer_and_no_control_codes():
    text = shown(SNAPSHOT, terminal=False)
    assert '\x1b' not in text
    assert text.splitlines() == [
        ' 25%  coffee: cup 81%, cat 12%, dog 4%; stable: cup; 7.9 ms, 42 frames at 10.0 Hz, '
        '15 s left',
        '[not markup]',
    ]


def test_a_plain_line_says_what_a_picture_came_to_be_called_in_the_end():
    settled = replace(SNAPSHOT, frames=50)
    text = shown(SNAPSHOT, settled, replace(SNAPSHOT, picture='cat'), terminal=False)
    first, coffee, cat, _ = text.splitlines()
    assert '42 frames' in first
    assert 'coffee: ' in coffee
    assert '50 frames' in coffee
    assert 'cat: ' in cat


def test_a_terminal_gets_bars_and_the_history():
    text = shown(SNAPSHOT, terminal=True)
    for expected in ('coffee', '81%', '12%', '7.9 ms', '10.0 Hz', 'cup 81%', '15 s left'):
        assert expected in text
    assert 'hen' not in text
    assert '\u2501' * 5 in text
