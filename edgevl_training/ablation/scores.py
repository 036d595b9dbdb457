# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers of a row: of each seed, their mean and standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from edgevl_training.ablation.experiments import Row

MODALITIES = ('rgb', 'depth')
MEASURES = ('top1', 'mean_class')
# Shares run from 0 to 1; those of ``mean`` are of both modalities.
SHARES = tuple(f'{of}_{measure}' for measure in MEASURES for of in ('depth', 'rgb', 'mean'))
COSTS = ('bytes', 'latency_ms')
_EVERY = 'every'

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Line:
    """
    A row with its numbers by seed; a teacher, which no seed changes, has those of None.

    ``asked`` lists the seeds that were tried; ``problem`` says why some have no numbers, and
    ``optional`` that nobody has asked for them by name.
    """

    name: str
    row: Row
    by_seed: Mapping[int | None, Scores] = field(default_factory=dict)
    problem: str = ''
    optional: bool = False
    asked: tuple[int | None, ...] = ()
    precision: str = ''

    @property
    def some_failed(self) -> bool:
        """Tell whether the numbers are of fewer seeds than were tried."""
        return 0 < len(self.by_seed) < len(self.asked)

    def mean(self, key: str) -> float | None:
        """Give the mean over the seeds, where there is a number."""
        values = self._values(key)
        return fmean(values) if values else None

    def deviation(self, key: str) -> float | None:
        """Give the sample standard deviation over the seeds, of two or more."""
        values = self._values(key)
        return stdev(values) if len(values) > 1 else None

    def _values(self, key: str) -> list[float]:
        return [scores[key] for scores in self.by_seed.values() if key in scores]


def seed_name(seed: int | None) -> str:
    """Name a seed in a file; what no seed changes is the same with every one."""
    return _EVERY if seed is None else str(seed)


def seed_of(name: str) -> int | None:
    """Read what `seed_name` has written."""
    return None if name == _EVERY else int(name)


def scores_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """
    Give the numbers of a row for one seed.

    :param results: what ``edgevl evaluate`` says of the student that is measured on a modality;
        of two students sizes are added, and the latency is the mean.
    """
    found: dict[str, float] = {}
    for measure in MEASURES:
        of_each = {
            modality: result['modalities'][modality][measure]
            for modality, result in results.items() if modality in result['modalities']
        }
        known = {name: value for name, value in of_each.items() if value is not None}
        found.update({f'{name}_{measure}': value for name, value in known.items()})
        if len(known) == len(MODALITIES):
            found[f'mean_{measure}'] = fmean(known.values())
    students = _different(list(results.values()))
    for key, joined in (('bytes', sum), ('latency_ms', fmean)):
        values = [student[key] for student in students if student.get(key) is not None]
        if values and len(values) == len(students):
            found[key] = float(joined(values))
    return found


def _different(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave the second of two equal ones out: one student that is measured on both modalities."""
    return [result for index, result in enumerate(results) if result not in results[:index]]
