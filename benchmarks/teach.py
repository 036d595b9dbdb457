# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure ``edgevl teach``: its pace, how busy it keeps the teacher, and what the teacher knows.

The 795 pairs of NYU Depth v2's train half go through ``extract`` and ``teach``. The teacher's
zero-shot accuracy among the 27 scene names is measured on colour, from the embeddings that teach
wrote, and on depth, as three equal channels like on the robot. Labels only tell who was right.

Needs the test data (EDGEVL_TEST_DATA): ``python benchmarks/teach.py`` writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import platform
import sys
import tempfile
import time
from typing import Any

import cv2
from edgevl_ros.core.vocabulary import canonical_phrase
from edgevl_training import extract, teach
from edgevl_training.dataset import read_batches, SecondModality, shards_of
from edgevl_training.output import atomic, read_manifest, tool_versions, write_json
from edgevl_training.report.charts import png_of
from edgevl_training.report.style import ACCENT, FAINT, INK, MARK
from edgevl_training.teachers.conse import PREPROCESS
from edgevl_training.teachers.teacher import open_teacher, Teacher
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

# The depth pictures of the test data: 8 bits, about 25.5 counts a metre, 0 where there is none.
SCALE_M = 1 / 25.5
BATCH = 16
BUSY = 0.9


def main() -> int:
    """Measure, print a table, write JSON and a picture; fail when the teacher idles too much."""
    options = _parser().parse_args()
    if options.data is None:
        print('set EDGEVL_TEST_DATA or give --data', file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        result = _measure(options.data / 'nyuv2_train', Path(folder))
    _print(result)
    write_json(options.out.with_suffix('.json'), result)
    with atomic(options.out.with_suffix('.png')) as temporary:
        temporary.write_bytes(_plot(result))
    return 0 if result['teach']['busy_share'] >= BUSY else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, default=os.environ.get('EDGEVL_TEST_DATA'))
    parser.add_argument(
        '--out', type=Path, default=Path(__file__).parent / 'results' / 'teach',
        help='where to write, without suffix',
    )
    return parser


def _measure(data: Path, scratch: Path) -> dict[str, Any]:
    pairs, taught = scratch / 'pairs', scratch / 'taught'
    extract.run([
        '--images', str(data), '--out', str(pairs), '--second-scale', str(SCALE_M),
        '--second-missing', '0',
    ])
    teach.run(['--pairs', str(pairs), '--out', str(taught), '--teacher', 'conse'])
    teacher = open_teacher('conse')
    columns = _columns(pairs, 'extract', ['truth', 'depth', 'color'])
    names = sorted(set(columns['truth']))
    truth = np.array([names.index(name) for name in columns['truth']])
    words = teacher.embed_texts([canonical_phrase(name) for name in names])
    rgb = np.array(_columns(taught, 'teach', ['teacher_embedding'])['teacher_embedding'])
    modality = SecondModality(**read_manifest(pairs, 'extract')['second_modality'])
    depth, alone = _embed_depth(teacher, columns['depth'], modality)
    return {
        'data': 'NYU Depth v2, train half',
        'pictures': len(truth),
        'classes': len(names),
        'processor': platform.processor() or platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'teacher': read_manifest(taught, 'teach')['teacher'],
        'teach': read_manifest(taught, 'teach')['speed'],
        # Nothing else going on, inputs ready in memory.
        'teacher_alone_images_per_second': round(alone, 2),
        'accuracy': {
            'rgb': _accuracy(rgb, words, truth),
            'depth': _accuracy(depth, words, truth),
            'always_the_most_frequent_scene': round(np.bincount(truth).max() / len(truth), 4),
        },
        'tools': tool_versions(),
    }


def _columns(folder: Path, verb: str, names: list[str]) -> dict[str, list]:
    """Read whole columns of a data set."""
    columns: dict[str, list] = {name: [] for name in names}
    for shard in shards_of(folder, read_manifest(folder, verb)):
        for rows in read_batches(folder / shard.name, names):
            for name in names:
                columns[name] += rows.column(name).to_pylist()
    return columns


def _embed_depth(
    teacher: Teacher, encoded: list[bytes], modality: SecondModality
) -> tuple[NDArray[np.float32], float]:
    """Embed depth as on the robot, as rows (N, D); give also the teacher's images a second."""
    rows, busy_s = [], 0.0
    for start in range(0, len(encoded), BATCH):
        inputs = np.stack([
            PREPROCESS.depth_input(_metres(data, modality))
            for data in encoded[start:start + BATCH]
        ])
        started_s = time.perf_counter()
        rows.append(teacher.embed_images(inputs))
        busy_s += time.perf_counter() - started_s
    return np.concatenate(rows), len(encoded) / busy_s


def _metres(data: bytes, modality: SecondModality) -> NDArray[np.float32]:
    counts = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    metres = counts.astype(np.float32) * np.float32(modality.scale)
    metres[np.isin(counts, modality.missing)] = np.nan
    return metres


def _accuracy(
    rows: NDArray[np.floating], words: NDArray[np.float32], truth: NDArray[np.int64]
) -> float:
    best = (rows.astype(np.float32) @ words.T).argmax(1)
    return round(float(np.mean(best == truth)), 4)


def _print(result: dict[str, Any]) -> None:
    speed, accuracy = result['teach'], result['accuracy']
    table = Table('measured', 'value', title=f'edgevl teach, {result["teacher"]["id"]}')
    for name, value in (
        ('images/s of edgevl teach', f'{speed["images_per_second"]:.1f}'),
        ('images/s of the teacher alone', f'{result["teacher_alone_images_per_second"]:.1f}'),
        ('share of the time the teacher was busy', f'{speed["busy_share"]:.1%}'),
        (f'right among {result["classes"]} scenes, on colour', f'{accuracy["rgb"]:.1%}'),
        (f'right among {result["classes"]} scenes, on depth', f'{accuracy["depth"]:.1%}'),
        ('always the most frequent scene',
         f'{accuracy["always_the_most_frequent_scene"]:.1%}'),
    ):
        table.add_row(name, value)
    Console().print(table)
    kept = speed['busy_share'] >= BUSY
    print(f'{"kept  " if kept else "BROKEN"} the teacher is busy at least {BUSY:.0%} of the time')


def _plot(result: dict[str, Any]) -> bytes:
    speed, accuracy = result['teach'], result['accuracy']
    drawing = Figure(figsize=(9, 2.6), layout='constrained')
    drawing.suptitle(
        f'edgevl teach, the offline teacher on {result["cores"]} CPU cores, NYU Depth v2',
        size=12.5, weight='bold', color=INK, x=0.01, ha='left',
    )
    left, right = drawing.subplots(1, 2)
    _bars(left, {
        'edgevl teach': (speed['images_per_second'], ACCENT),
        'teacher alone': (result['teacher_alone_images_per_second'], FAINT),
    }, '{:.1f}', f'images/s (teacher busy {speed["busy_share"]:.0%})')
    _bars(right, {
        'colour': (100 * accuracy['rgb'], ACCENT),
        'depth': (100 * accuracy['depth'], MARK),
        'most frequent': (100 * accuracy['always_the_most_frequent_scene'], FAINT),
    }, '{:.1f} %', f'right among {result["classes"]} scenes, zero-shot')
    return png_of(drawing, dpi=120)


def _bars(axes: Any, values: dict[str, tuple[float, str]], form: str, title: str) -> None:
    names = list(values)
    lengths = [value for value, _ in values.values()]
    bars = axes.barh(names, lengths, color=[colour for _, colour in values.values()], height=0.6)
    axes.bar_label(bars, [form.format(value) for value in lengths], padding=4, color=INK)
    axes.invert_yaxis()
    axes.set_title(title, size=10, color=INK, loc='left')
    axes.set_xlim(0, max(lengths) * 1.2)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)


if __name__ == '__main__':
    sys.exit(main())
