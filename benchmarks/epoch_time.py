# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how long an epoch of stage 1 takes beside the bare computation of the student.

Bare is forward, backward and optimizer step on random tensors of the same shapes, with nothing
read, decoded, cropped or logged. Both take turns, epoch by epoch, as a machine's pace drifts.

Needs the test data (EDGEVL_TEST_DATA), or curated pairs: ``python benchmarks/epoch_time.py
[--curated FOLDER]`` writes JSON.
"""

from __future__ import annotations

import argparse
from functools import partial
import os
from pathlib import Path
import platform
from statistics import median
import sys
import tempfile
import time
from typing import Any

from edgevl_training import curate, extract, teach
from edgevl_training.curated_split import CuratedSplit
from edgevl_training.distill import distillation_terms, MODALITIES, preprocess_of
from edgevl_training.losses import distillation
from edgevl_training.output import tool_versions, write_json
from edgevl_training.processes import joined_processes
from edgevl_training.students.student import open_student
from edgevl_training.training_data import batches_of, BatchPlan
from edgevl_training.training_loop import Trainer
from edgevl_training.training_plan import Training
import torch

# The depth pictures of the test data: 8 bits, about 25.5 counts a metre, 0 where there is none.
SCALE_M = 1 / 25.5
MOST = 1.15


def main() -> int:
    """Measure, print, write JSON; fail when an epoch takes too long."""
    options = _parser().parse_args()
    torch.set_num_threads(options.torch_threads)
    with tempfile.TemporaryDirectory() as folder:
        curated = options.curated
        if curated is None:
            if options.data is None:
                print('set EDGEVL_TEST_DATA, or give --data or --curated', file=sys.stderr)
                return 2
            curated = _curated(options.data / 'nyuv2_train', Path(folder))
        result = _measure(curated, options, Path(folder) / 'out')
    for name, value in result.items():
        if isinstance(value, (int, float, str)):
            print(f'{name:>34}: {value}')
    write_json(options.out, result)
    kept = result['epoch_beside_bare'] <= MOST
    print(f'{"kept  " if kept else "BROKEN"} an epoch takes at most {MOST} times the bare one')
    return 0 if kept else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, default=os.environ.get('EDGEVL_TEST_DATA'))
    parser.add_argument('--curated', type=Path, help='output of edgevl curate')
    parser.add_argument('--student', default='efficientnet_lite0')
    parser.add_argument('--image-size', type=int, default=192)
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--threads', type=int, default=1, help='threads that decode pictures')
    parser.add_argument('--torch-threads', type=int, default=2)
    parser.add_argument('--epochs', type=int, default=3, help='that are measured, after one more')
    parser.add_argument(
        '--out', type=Path, default=Path(__file__).parent / 'results' / 'epoch_time.json'
    )
    return parser


def _curated(data: Path, scratch: Path) -> Path:
    """Curate the pairs of NYU Depth v2's train half."""
    pairs, taught, curated = (scratch / name for name in ('pairs', 'taught', 'curated'))
    extract.run([
        '--images', str(data), '--out', str(pairs), '--second-scale', str(SCALE_M),
        '--second-missing', '0',
    ])
    teacher = 'conse:tf_efficientnet_lite0'
    teach.run(['--pairs', str(pairs), '--out', str(taught), '--teacher', teacher])
    curate.run([
        '--pairs', str(pairs), '--taught', str(taught), '--out', str(curated), '--tau', '0',
        '--superset', 'indoor',
    ])
    return curated


def _measure(curated: Path, options: Any, out: Path) -> dict[str, Any]:
    """Train for some epochs; before each, compute as much on random tensors."""
    out.mkdir()
    split = CuratedSplit(curated, 'train')
    student = open_student(
        options.student, split.dim, weights=None, image_size=options.image_size
    )
    spec = preprocess_of(student.color, student.image_size, split.modality, 'squash')
    modalities = MODALITIES['both']
    bare, whole, alone = [], [], []
    with joined_processes('cpu') as accelerator:
        for epoch in range(options.epochs + 1):
            # An epoch at a time: the checkpoint is what the next one goes on from.
            training = Training(
                epoch + 1, 1e-4, 1e-4, 0.01, options.batch_size, 0.5, threads=options.threads
            )
            trainer = Trainer(
                accelerator, student, partial(distillation_terms, modalities=modalities),
                {'rgb': 1.0, 'depth': 1.0}, spec, training, out,
            )
            trainer.fit(split, CuratedSplit(curated, 'validation'))
            steps = len(split) // options.batch_size
            pace = trainer.epochs[-1]['pairs_per_second']
            whole.append(steps * options.batch_size / pace)
            bare.append(_bare(student, split, options, steps))
            alone.append(_data_alone(split, spec, options))
    return {
        'student': options.student,
        'image_size': options.image_size,
        'pairs_in_a_batch': options.batch_size,
        'steps': steps,
        'torch_threads': options.torch_threads,
        'decoding_threads': options.threads,
        'epoch_seconds': round(median(whole[1:]), 3),
        'bare_seconds': round(median(bare[1:]), 3),
        'data_alone_seconds': round(median(alone[1:]), 3),
        'epoch_beside_bare': round(median(a / b for a, b in zip(whole[1:], bare[1:])), 3),
        'every_epoch': {'whole': whole, 'bare': bare, 'data_alone': alone},
        'processor': platform.processor() or platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'tools': tool_versions(),
    }


def _bare(student: torch.nn.Module, split: CuratedSplit, options: Any, steps: int) -> float:
    """Give the seconds of forward, backward and optimizer on random tensors."""
    count, side = options.batch_size, options.image_size
    images = torch.randn(2 * count, 3, side, side).to(memory_format=torch.channels_last)
    wanted = torch.nn.functional.normalize(torch.randn(2 * count, split.dim), dim=1)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-9)
    student.train()
    started_s = time.perf_counter()
    for _ in range(steps):
        distillation(student(images), wanted).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - started_s


def _data_alone(split: CuratedSplit, spec: Any, options: Any) -> float:
    """Give the seconds in which an epoch's pictures are read while nothing is trained."""
    plan = BatchPlan(options.batch_size, 0, 0.5, threads=options.threads)
    started_s = time.perf_counter()
    for _ in batches_of(split, spec, plan):
        pass
    return time.perf_counter() - started_s


if __name__ == '__main__':
    sys.exit(main())
