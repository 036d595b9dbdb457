# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long each student takes for one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgevl_training.evaluation.pairs import load_pairs, RGB, TestPairs
from edgevl_training.evaluation.runners import StudentRunner
from edgevl_training.evaluation.sessions import time_in_turns

_PICTURES = 8
ROUNDS = 100


def measure_latency(
    pairs: TestPairs, students: Sequence[StudentRunner], rounds: int = ROUNDS
) -> dict[str, float]:
    """
    Time students on real colour pictures, one at a time and in turns.

    :returns: the median by name in milliseconds; nothing when no picture can be read.
    """
    preparers = {student.key: student.preparer() for student in students}
    if not students:
        return {}
    batch = next(load_pairs(pairs, pairs.rows[:_PICTURES], preparers))
    readable = [one for one in batch if RGB not in one.problems]
    if not readable:
        return {}

    def of(student: StudentRunner) -> Callable[[int], object]:
        inputs = [one.inputs[student.key, RGB] for one in readable]
        return lambda turn: student.embed([inputs[turn % len(inputs)]])

    medians = time_in_turns([of(student) for student in students], rounds)
    return {student.name: median for student, median in zip(students, medians)}
