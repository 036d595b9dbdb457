# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an earlier run of the same ablation has found: more rows and seeds join it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
import json
from pathlib import Path

from edgevl_training.ablation.experiments import ROWS
from edgevl_training.ablation.scores import Line, seed_of


@dataclass(frozen=True)
class Earlier:
    """Lines with numbers by row, and how they were measured, in words."""

    lines: dict[str, Line] = field(default_factory=dict)
    measured: str = ''

    def joined(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        """Put new lines to these; a seed that has failed now keeps the numbers that it had."""
        found = dict(self.lines)
        for line in lines:
            found[line.name] = _joined(found[line.name], line) if line.name in found else line
        return tuple(found[name] for name in ROWS if name in found)


def read_earlier(path: Path, measure: str) -> Earlier:
    """
    Read the tables that lie there; nothing where there are none, or rows were measured otherwise.

    :param measure: see `Sources.measure`.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return Earlier()
    if not isinstance(content, dict) or content.get('measure') != measure:
        return Earlier()
    lines: dict[str, Line] = {
        name: Line(
            name, row, {seed_of(seed): scores for seed, scores in found['by_seed'].items()},
            asked=tuple(seed_of(seed) for seed in found['by_seed']), precision=found['precision'],
        )
        for name, row in ROWS.items()
        if (found := content['rows'].get(name)) and found['by_seed']
    }
    return Earlier(lines, content['measured'] if lines else '')


def set_aside(out: Path, tables: str, measure: str) -> None:
    """Keep tables that were measured otherwise under another name."""
    try:
        other = json.loads((out / f'{tables}.json').read_text(encoding='utf-8'))['measure']
    except (OSError, ValueError, KeyError, TypeError):
        return
    if other != measure:
        for path in sorted(out.glob(f'{tables}.*')):
            path.rename(path.with_name(f'{tables}_{other}{path.suffix}'))


def _joined(old: Line, new: Line) -> Line:
    return replace(
        new, by_seed={**old.by_seed, **new.by_seed},
        asked=tuple(dict.fromkeys([*old.asked, *new.asked])),
        precision=new.precision if new.by_seed else old.precision,
    )
