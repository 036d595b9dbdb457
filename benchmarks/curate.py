# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure whether confidence filters noise: how often the pseudo-labels kept are right.

The offline teacher judges the 795 colour pictures of NYU Depth v2's train half among the 27 scene
names; the labels of the data set only tell afterwards who was right. Nothing is fitted.

Needs the test data (EDGEVL_TEST_DATA): ``python benchmarks/curate.py`` writes a plot and JSON.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path
import sys
from typing import Any

import cv2
from edgevl_ros.core.vocabulary import canonical_phrase
from edgevl_training.curation.confidence import judge, Judgements
from edgevl_training.output import atomic, tool_versions, write_json
from edgevl_training.progress import progress
from edgevl_training.report.charts import png_of
from edgevl_training.report.style import ACCENT, FAINT, INK, LINE, MARK
from edgevl_training.teachers.teacher import open_teacher, Teacher
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

TAUS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75)
FRACTIONS = (1.0, 0.75, 0.5, 0.25, 0.1)
BATCH = 16
# Fewer pictures than this say little about accuracy.
ENOUGH = 10


def main() -> int:
    """Measure, print a table, write JSON and plot; fail when confidence does not filter."""
    options = _parser().parse_args()
    if options.data is None:
        print('set EDGEVL_TEST_DATA or give --data', file=sys.stderr)
        return 2
    teacher = open_teacher(options.teacher)
    stems, truth, labels = _read_labels(options.data / 'nyuv2_train')
    words = teacher.embed_texts([canonical_phrase(label) for label in labels])
    judged = judge(_embed(teacher, stems), words, teacher.logit_scale)
    result = {
        'data': 'NYU Depth v2, train half', 'pictures': len(truth), 'classes': len(labels),
        'teacher': teacher.id, 'logit_scale': teacher.logit_scale,
        'mean_confidence': round(float(judged.confidence.mean()), 4),
        'by_tau': [_measure(judged, truth, tau) for tau in TAUS],
        'by_fraction': [
            {'fraction': fraction, **_measure(judged, truth, _tau_of(judged, fraction))}
            for fraction in FRACTIONS
        ],
        'tools': tool_versions(),
    }
    _print(result)
    write_json(options.out.with_suffix('.json'), result)
    with atomic(options.out.with_suffix('.png')) as temporary:
        temporary.write_bytes(_plot(judged, truth, result))
    everything, best = result['by_fraction'][0], result['by_fraction'][3]
    return 0 if best['accuracy'] > everything['accuracy'] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, default=os.environ.get('EDGEVL_TEST_DATA'))
    parser.add_argument('--teacher', default='conse')
    parser.add_argument(
        '--out', type=Path, default=Path(__file__).parent / 'results' / 'curate',
        help='where to write, without suffix',
    )
    return parser


def _read_labels(folder: Path) -> tuple[list[Path], NDArray[np.int64], list[str]]:
    with (folder / 'labels.csv').open(newline='', encoding='utf-8') as stream:
        rows = list(csv.DictReader(stream))
    labels = sorted({row['label'] for row in rows})
    truth = np.array([labels.index(row['label']) for row in rows])
    return [folder / 'rgb' / f'{row["stem"]}.jpg' for row in rows], truth, labels


def _embed(teacher: Teacher, paths: list[Path]) -> NDArray[np.float32]:
    rows = []
    with progress('embedding', len(paths), 'pictures') as bar:
        for start in range(0, len(paths), BATCH):
            batch = [
                teacher.preprocess(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
                for path in paths[start:start + BATCH]
            ]
            # As `teach` stores them.
            rows.append(teacher.embed_images(np.stack(batch)).astype(np.float16))
            bar.advance(len(batch))
    return np.concatenate(rows).astype(np.float32)


def _tau_of(judged: Judgements, fraction: float) -> float:
    """Give the tau that keeps the most confident share."""
    falling = np.sort(judged.confidence)[::-1]
    return float(falling[max(1, round(fraction * len(falling))) - 1])


def _measure(judged: Judgements, truth: NDArray[np.int64], tau: float) -> dict[str, Any]:
    kept = judged.confidence >= np.float32(tau)
    right = judged.label == truth
    return {
        'tau': round(tau, 4),
        'kept': int(kept.sum()),
        'kept_share': round(float(kept.mean()), 4),
        'accuracy': round(float(right[kept].mean()), 4) if kept.any() else None,
        'accuracy_of_dropped': round(float(right[~kept].mean()), 4) if not kept.all() else None,
        'classes_kept': len(np.unique(judged.label[kept])),
    }


def _print(result: dict[str, Any]) -> None:
    table = Table(
        'tau', 'kept', 'share', 'right', 'right among dropped', 'labels kept',
        title=f'{result["pictures"]} pictures, {result["classes"]} scenes, {result["teacher"]}',
    )
    for rows in (result['by_tau'], result['by_fraction']):
        for row in rows:
            table.add_row(
                f'{row["tau"]:.3f}', str(row['kept']), f'{row["kept_share"]:.1%}',
                *('' if row[name] is None else f'{row[name]:.1%}'
                  for name in ('accuracy', 'accuracy_of_dropped')),
                str(row['classes_kept']),
            )
        table.add_section()
    Console().print(table)


def _plot(judged: Judgements, truth: NDArray[np.int64], result: dict[str, Any]) -> bytes:
    drawing = Figure(figsize=(12, 4.6), layout='constrained')
    drawing.suptitle(
        'Confidence filters noise: pseudo-labels of the offline teacher on NYU Depth v2',
        size=13, weight='bold', color=INK, x=0.01, ha='left',
    )
    left, right = drawing.subplots(1, 2)
    measured = [_measure(judged, truth, tau) for tau in np.linspace(0, 0.8, 161)]
    measured = [row for row in measured if row['kept'] >= ENOUGH]
    taus = [row['tau'] for row in measured]
    _curve(left, taus, [row['accuracy'] for row in measured], ACCENT, 'right among the kept')
    _curve(left, taus, [row['kept_share'] for row in measured], FAINT, 'share kept')
    left.axvline(0.25, color=MARK, linestyle=(0, (4, 2)), linewidth=1.4)
    left.annotate('tau 0.25, the default', (0.25, 0), xytext=(6, 6), color=MARK, size=9.5,
                  textcoords='offset points')
    left.set(xlabel='tau', xlim=(0, taus[-1]))
    falling = np.argsort(-judged.confidence, kind='stable')
    share = np.arange(1, len(truth) + 1) / len(truth)
    accuracy = np.cumsum((judged.label == truth)[falling]) / np.arange(1, len(truth) + 1)
    shown = slice(ENOUGH - 1, None)
    _curve(right, share[shown], accuracy[shown], ACCENT, 'right among the kept')
    for row in result['by_fraction']:
        right.plot(row['kept_share'], row['accuracy'], 'o', color=MARK, markersize=5)
        right.annotate(f'{row["accuracy"]:.0%}', (row['kept_share'], row['accuracy']), size=9.5,
                       xytext=(0, 8), textcoords='offset points', ha='center', color=MARK)
    right.set(xlabel='share kept, the most confident first', xlim=(0, 1.02))
    right.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return png_of(drawing, dpi=120)


def _curve(axes: Axes, x: Any, y: Any, colour: str, label: str) -> None:
    axes.plot(x, y, color=colour, linewidth=2.2, label=label)
    axes.set(ylim=(0, 1.1), yticks=np.arange(0, 1.1, 0.2))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(color=LINE, linewidth=0.8)
    axes.legend(frameon=False, fontsize=9.5, loc='upper right')
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)


if __name__ == '__main__':
    sys.exit(main())
