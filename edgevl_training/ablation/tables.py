# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tables as text: Markdown, CSV, JSON, and what the terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import csv
from dataclasses import dataclass
import io
from typing import Any

from edgevl_training.ablation.experiments import TABLES
from edgevl_training.ablation.scores import COSTS, Line, seed_name, SHARES

NOTHING = '\u2013'


@dataclass(frozen=True)
class Ablation:
    """
    All that is told: the lines in their order, and how they were measured, in words.

    ``measure`` is `Sources.measure`, by which a later run knows whether its rows belong here.
    """

    lines: tuple[Line, ...]
    seeds: tuple[int, ...]
    second: str
    measured: str
    measure: str = ''

    def table(self, number: int) -> list[Line]:
        """Give the lines of a table."""
        return [line for line in self.lines if number in line.row.tables]

    def title(self, line: Line, number: int) -> str:
        """Give the title of a line."""
        return line.row.tables[number].format(second=self.second)

    @property
    def headings(self) -> list[str]:
        """Give the headings of `cells`."""
        of = (self.second, 'RGB', 'average')
        return [
            'Method', 'Precision', *(f'{name} top-1, %' for name in of),
            *(f'{name} mean class, %' for name in of), 'Size, MB', 'Latency, ms',
        ]

    def cells(self, line: Line, number: int) -> list[str]:
        """Give a line as text; of several seeds mean and standard deviation."""
        title = self.title(line, number)
        if line.some_failed:
            title += f' ({len(line.by_seed)} of {len(line.asked)} seeds)'
        return [
            title, line.precision or line.row.precision,
            *(_number(line, key, 100, 1) for key in SHARES),
            _number(line, 'bytes', 1e-6, 1), _number(line, 'latency_ms', 1, 2),
        ]

    @property
    def missing(self) -> dict[str, str]:
        """Say of the lines without numbers why."""
        return {line.name: line.problem for line in self.lines
                if line.problem and not line.by_seed}

    @property
    def failures(self) -> dict[str, Mapping[str, str]]:
        """Give all that failed under headings: lines without numbers, and seeds of others."""
        partly = {line.name: line.problem for line in self.lines
                  if line.problem and line.by_seed}
        found = {'Without numbers': self.missing, 'Failed in part': partly}
        return {heading: problems for heading, problems in found.items() if problems}


def markdown(ablation: Ablation) -> str:
    """Give the tables in Markdown."""
    parts = ['# Ablation', ablation.measured]
    for number, title in TABLES.items():
        rows = [ablation.cells(line, number) for line in ablation.table(number)]
        if rows:
            parts += [f'## Table {number}: {title}', _markdown_table(ablation.headings, rows)]
    parts.append('\n'.join(
        f'- {title.format(second=ablation.second)}: {line.row.what}.'
        for line in ablation.lines for title in list(line.row.tables.values())[:1]
    ))
    for heading, problems in ablation.failures.items():
        parts += [f'## {heading}', '\n'.join(
            f'- {name}: {_escaped(problem)}' for name, problem in problems.items())]
    return '\n\n'.join(parts) + '\n'


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = [':--' if index == 0 else '--:' for index in range(len(headings))]
    return '\n'.join(
        f'| {" | ".join(_escaped(cell) for cell in cells)} |' for cells in (headings, ruler, *rows)
    )


def _escaped(text: str) -> str:
    return text.replace('|', '\\|')


def as_csv(ablation: Ablation) -> str:
    """Give a line for each row of each table; shares from 0 to 1."""
    text = io.StringIO(newline='')
    keys = [*SHARES, *COSTS]
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow([
        'table', 'row', 'method', 'precision', 'seeds', 'seeds_asked',
        *(name for key in keys for name in (key, f'{key}_deviation')), 'problem',
    ])
    for number in TABLES:
        for line in ablation.table(number):
            writer.writerow([
                number, line.name, ablation.title(line, number),
                line.precision or line.row.precision, len(line.by_seed), len(line.asked),
                *(value for key in keys for value in (line.mean(key), line.deviation(key))),
                line.problem,
            ])
    return text.getvalue()


def as_json(ablation: Ablation) -> dict[str, Any]:
    """Give everything; shares from 0 to 1."""
    keys = [*SHARES, *COSTS]
    return {
        'measured': ablation.measured,
        'measure': ablation.measure,
        'second_modality': ablation.second,
        'seeds': list(ablation.seeds),
        'rows': {
            line.name: {
                'titles': {
                    str(number): ablation.title(line, number) for number in line.row.tables
                },
                'what': line.row.what,
                'precision': line.precision or line.row.precision,
                'asked': [seed_name(seed) for seed in line.asked],
                'by_seed': {
                    seed_name(seed): dict(scores) for seed, scores in line.by_seed.items()
                },
                'mean': _known(keys, line.mean),
                'deviation': _known(keys, line.deviation),
                'problem': line.problem or None,
            }
            for line in ablation.lines
        },
    }


def _known(keys: Sequence[str], value_of: Any) -> Mapping[str, float]:
    values = {key: value_of(key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _number(line: Line, key: str, factor: float, digits: int) -> str:
    mean, deviation = line.mean(key), line.deviation(key)
    if mean is None:
        return NOTHING
    text = f'{factor * mean:.{digits}f}'
    # Files of all seeds have nearly the same size, and one seed's were timed.
    if deviation is None or key in COSTS:
        return text
    return f'{text} \u00b1 {factor * deviation:.{digits}f}'
