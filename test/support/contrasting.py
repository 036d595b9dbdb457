# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data and a student of stage 1 to contrast in a few seconds, and the command that does."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

import numpy as np
from support.curated_folder import make_curated

# A timm network without batch norm; the smallest there is at this size.
NETWORK = 'timm:vit_tiny_patch16_224'
LABELS = ('bathroom', 'kitchen', 'office')
OPTIONS = [
    '--epochs', '4', '--batch-size', '8', '--device', 'cpu', '--learning-rate', '1e-4',
    '--calibration-pairs', '8',
]
WITHOUT_DEPTH = 3
DIM = 6


def make_data(
    folder: Path, train: int = 16, validation: int = 6, seed: int = 0, labels: int = 3,
    other_seed: int | None = None,
) -> Path:
    """
    Write curated pairs of kinds that differ in colour and depth, and their superset.

    :param labels: how many of the kinds the pseudo-labels tell apart.
    :param other_seed: for the pictures of the validation pairs, which then are others.
    """
    rng = np.random.default_rng(seed)
    texts = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][:len(LABELS)]
    kinds = np.arange(train + validation) % len(LABELS)
    colors = np.eye(3)[kinds] * 0.5 + rng.random((len(kinds), 3)) * 0.5
    rows = texts[kinds] + rng.normal(size=(len(kinds), DIM)) * 0.2
    if other_seed is not None:
        colors[train:] = np.random.default_rng(other_seed).random((validation, 3))
    depths: list[Any] = [
        np.full((20, 24), 1000 + 8000 * color[0]).astype(np.uint16) for color in colors
    ]
    depths[WITHOUT_DEPTH] = None
    pictures = [np.full((20, 24, 3), 255 * color).astype(np.uint8) for color in colors]
    make_curated(
        folder, pictures, rows / np.linalg.norm(rows, axis=1, keepdims=True),
        splits=['train'] * train + ['validation'] * validation, depths=depths,
        labels=[LABELS[kind % labels] for kind in kinds],
    )
    np.savez(
        folder / 'superset.npz', labels=np.array(LABELS), embeddings=texts.astype(np.float32),
        logit_scale=np.float32(10), teacher=np.array('made by a test'),
    )
    return folder


def make_stage1(data: Path, out: Path, epochs: int = 2) -> Path:
    """Distil a student."""
    from edgevl_training.distill import run

    assert run([
        '--data', str(data), '--out', str(out), '--student', NETWORK, '--weights', 'none',
        '--image-size', '16', '--epochs', str(epochs), '--batch-size', '8', '--device', 'cpu',
        '--learning-rate', '1e-3',
    ]) == 0
    return out


def arguments(data: Path, stage1: Path, out: Path, *more: str) -> list[str]:
    """Give the words after ``edgevl contrast``; later ones win."""
    return ['--data', str(data), '--student', str(stage1), '--out', str(out), *OPTIONS, *more]


def command(
    data: Path, stage1: Path, out: Path, *more: str, processes: int = 1
) -> list[str]:
    """Give the command line, under torchrun for several processes."""
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', str(processes)]
    return [
        sys.executable, *(torchrun if processes > 1 else []), '-m', 'edgevl_training.cli',
        'contrast', *arguments(data, stage1, out, *more),
    ]
