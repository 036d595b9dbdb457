# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure the rows one after the other; what fails is told with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgevl_training.ablation.experiments import RowName, ROWS
from edgevl_training.ablation.scores import Line, MODALITIES, scores_of
from edgevl_training.ablation.smaller import smaller_than
from edgevl_training.ablation.sources import Sources
from edgevl_training.ablation.students import evaluate, reason_of, Students
from edgevl_training.output import read_manifest

_BYTES = {'fp32': 4, 'fp16': 2, 'bf16': 2}


@dataclass(frozen=True)
class Measured:
    """The lines, and what ``edgevl evaluate`` said about how it measured."""

    lines: tuple[Line, ...]
    how: Mapping[str, Any] | None = None


def measure_rows(
    names: Sequence[RowName], sources: Sources, seeds: Sequence[int], out: Path,
    small_teacher: str | None,
) -> Measured:
    """
    Train, export and measure what the rows need, but for what lies there already.

    :param small_teacher: None to choose one.
    """
    students = {seed: Students(sources, seed, out / str(seed)) for seed in seeds}
    lines = [
        _line_of_students(name, students) if ROWS[name].students
        else _line_of_teacher(name, sources, out / name, small_teacher)
        for name in names
    ]
    latencies = _latencies(sources, next(iter(students.values())).exported)
    how = [metrics for line in lines for found in line.by_seed.values() for metrics in found]
    return Measured(
        tuple(line.line(latencies) for line in lines), how[-1] if how else None
    )


@dataclass
class _Results:
    """What was said of a row's students, one for each modality, by seed that was asked for."""

    name: RowName
    asked: tuple[int | None, ...]
    by_seed: dict[int | None, list[Mapping[str, Any]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    optional: bool = False

    def failed(self, where: str, error: Exception) -> None:
        """Note and tell a failure."""
        self.problems.append(f'{where}{reason_of(error)}')
        print(f'{self.name}: {self.problems[-1]}; the other rows go on', flush=True)

    def line(self, latencies: Mapping[str, float]) -> Line:
        """Give the numbers; students in ``latencies`` were timed in turns."""
        row = ROWS[self.name]
        modalities = tuple(row.students) or MODALITIES
        scores, precision = {}, row.precision
        for seed, found in self.by_seed.items():
            timed = [
                {**_with_size(metrics['result']), 'latency_ms': latencies.get(metrics['name'])}
                for metrics in found
            ]
            scores[seed] = scores_of(dict(zip(modalities, timed, strict=True)))
            precision = str(timed[0].get('precision') or precision).upper()
        return Line(
            self.name, row, scores, '; '.join(self.problems), self.optional, self.asked, precision
        )


def _with_size(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a teacher, which is no file here, the bytes of its image encoder's numbers."""
    numbers, size = result.get('parameters'), _BYTES.get(str(result.get('precision')))
    if result.get('bytes') is not None or numbers is None or size is None:
        return result
    return {**result, 'bytes': numbers * size}


def _line_of_students(name: RowName, students: Mapping[int, Students]) -> _Results:
    results = _Results(name, tuple(students))
    for seed, of_seed in students.items():
        try:
            results.by_seed[seed] = [
                of_seed.measured(student) for student in ROWS[name].students.values()
            ]
        except Exception as error:
            results.failed(f'seed {seed}: ', error)
    return results


def _line_of_teacher(
    name: RowName, sources: Sources, out: Path, small_teacher: str | None
) -> _Results:
    """Measure the teacher of these pairs, or a smaller one."""
    small = name == 'small_teacher'
    results = _Results(name, (None,), optional=small and small_teacher is None)
    try:
        known = read_manifest(sources.taught, 'teach')['teacher']
        teacher = str(known.get('name', known['id']))
        if small:
            teacher = small_teacher or smaller_than(teacher)
        words = ['--teacher', f'{name}={teacher}', '--models']
        metrics = evaluate(sources, out, teacher, name, words)
    except Exception as error:
        results.failed('', error)
    else:
        results.by_seed[None] = [metrics, metrics]
    return results


def _latencies(sources: Sources, exported: Mapping[str, Path]) -> dict[str, float]:
    """Time students of one seed in turns: what else the machine does then slows all alike."""
    from edgevl_training.evaluation.latency import measure_latency
    from edgevl_training.evaluation.pairs import select_pairs
    from edgevl_training.evaluation.runners import StudentRunner
    from edgevl_training.evaluation.students import open_student

    how = sources.evaluation
    try:
        pairs = select_pairs(sources.pairs, sources.curated, how.split)
        students = [
            StudentRunner(open_student(name, folder), how.threads)
            for name, folder in exported.items()
        ]
        return measure_latency(pairs, students)
    except Exception as error:
        print(f'latency: {reason_of(error)}', flush=True)
        return {}
