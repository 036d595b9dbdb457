# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``evaluate`` prints at its end."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from edgevl_training.evaluation.pairs import FUSED, RGB, SECOND
from edgevl_training.output import SKIPPED


def summarise(out: Path, path: Path) -> bool:
    """Print a table of the metrics and every count of what was left out; False without scores."""
    from rich.console import Console
    from rich.table import Table

    metrics = json.loads(path.read_text(encoding='utf-8'))
    names = {RGB: 'colour', SECOND: metrics['second_modality'], FUSED: 'both fused'}
    shown = {
        key: name for key, name in names.items()
        if any(key in result['modalities'] for result in metrics['results'].values())
    }
    print(f'top-1 {metrics["measure"]} with {metrics["reference"]}, in %')
    table = Table()
    table.add_column('model')
    for heading in (*shown.values(), 'mean', 'mean\nclass', 'MB', 'ms'):
        table.add_column(heading, justify='right')
    for name in metrics['order']:
        result = metrics['results'][name]
        table.add_row(
            name, *(_share(result['modalities'].get(key)) for key in shown),
            _number(result['mean_top1'], 100), _number(result['mean_mean_class'], 100),
            _number(result['bytes'], 1e-6), _number(result['latency_ms'], 1, 2),
        )
    Console().print(table)
    for line in _left_out(out, metrics['counts']):
        print(line)
    print(f'report: {out / "report.html"}')
    return bool(shown)


def _left_out(out: Path, counts: Mapping[str, Any]) -> list[str]:
    foreign = counts['labels_not_in_vocabulary']
    lines = [
        (counts['skipped_pictures'], f'pictures skipped, each listed in {out / SKIPPED}'),
        (counts['without_label'], 'pairs not counted: without a label'),
        (sum(foreign.values()), 'pairs not counted: labels that are not in the vocabulary: '
         + ', '.join(foreign)),
        (counts['near_split_border'], 'pairs left out: training saw the same moments'),
        (counts.get('near_duplicates_of_training', 0),
         'pairs left out: training saw nearly the same picture'),
        (counts['pairs'] - counts['with_second_picture'], 'pairs of colour alone'),
    ]
    return [f'{number:>8}  {what}' for number, what in lines if number]


def _share(score: Mapping[str, Any] | None) -> str:
    """Give a share and about half the width of its interval."""
    if score is None:
        return '-'
    low, high = score['top1_interval_95']
    return f'{100 * score["top1"]:.1f} \u00b1{50 * (high - low):.1f}'


def _number(value: float | None, scale: float, digits: int = 1) -> str:
    return '-' if value is None else f'{value * scale:.{digits}f}'
