# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nested phases as one share, and what is passed on of it."""
from __future__ import annotations

from edgevl_ros.backends.build_progress import PhaseTree, Progress
from edgevl_ros.backends.reporter import LOG_EVERY_S, LogReporter
import pytest

hypothesis = pytest.importorskip('hypothesis', reason='hypothesis is not installed')
from hypothesis import strategies  # noqa: E402, I100


def shares(*calls):
    """Make calls (method, arguments) on a tree; return the shares that it reports."""
    told = []
    tree = PhaseTree(told.append)
    for name, *arguments in calls:
        getattr(tree, name)(*arguments)
    return [progress.share for progress in told]


def test_a_phase_within_a_step_is_a_part_of_it():
    assert shares(
        ('start', 'all', None, 4), ('step', 'all', 0), ('start', 'inner', 'all', 2),
        ('step', 'inner', 0), ('step', 'inner', 1), ('finish', 'inner'), ('step', 'all', 1),
        ('finish', 'all'),
    ) == [0, 0.25, 0.25, 0.375, 0.5, 0.5, 0.5, 1]


def test_phases_that_come_one_after_the_other_within_a_step_do_not_go_back():
    found = shares(
        ('start', 'all', None, 2), ('start', 'a', 'all', 2), ('step', 'a', 0), ('finish', 'a'),
        ('start', 'b', 'all', 4), ('step', 'b', 0), ('finish', 'b'), ('step', 'all', 0))
    assert found == sorted(found)
    assert found[-1] == 0.5


NAMES = strategies.sampled_from(['a', 'b', 'c'])
CALLS = strategies.one_of(
    strategies.tuples(
        strategies.just('start'), NAMES, strategies.none() | NAMES, strategies.integers(0, 5)),
    strategies.tuples(strategies.just('step'), NAMES, strategies.integers(0, 9)),
    strategies.tuples(strategies.just('finish'), NAMES))


@hypothesis.given(strategies.lists(CALLS, max_size=40))
def test_whatever_a_builder_reports_the_share_grows_from_0_to_1(calls):
    """Several threads report, phases end early, and names come again."""
    found = shares(*calls)
    assert found == sorted(found)
    assert all(0 <= share <= 1 for share in found)


def test_a_line_is_passed_on_now_and_then_and_the_latest_is_kept(monkeypatch):
    lines, now_s = [], [100.0]
    monkeypatch.setattr('edgevl_ros.backends.reporter.time.monotonic', lambda: now_s[0])
    reporter = LogReporter(lines.append)
    reporter.begin('tensorrt')
    for step in range(25):
        now_s[0] += 1
        reporter.progress(Progress(step / 25 if step % 2 else None, 'Timing'))
    assert len(lines) == 25 // LOG_EVERY_S
    assert lines[0] == 'building the engine for tensorrt: 36%, Timing, 10 s'
    assert reporter.status == 'building the engine for tensorrt: Timing, 25 s'
