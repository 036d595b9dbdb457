# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings to adapt to in seconds, and the options that make it so quick."""

from __future__ import annotations

from pathlib import Path
import sys

import cv2
from support.camera_bag import millimetres, picture, write_pairs

PHRASES = ('bathroom', 'bedroom', 'kitchen', 'office', 'staircase')
LABELS = ('kitchen', 'office')
PAIRS = 24


def make_images(folder: Path, count: int = PAIRS) -> Path:
    """Write colour and depth pictures, with labels to measure by."""
    lines = ['stem,label']
    for name in ('rgb', 'depth'):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        stem = f'{number:03d}'
        cv2.imwrite(str(folder / 'rgb' / f'{stem}.png'), picture(number)[..., ::-1])
        cv2.imwrite(str(folder / 'depth' / f'{stem}.png'), millimetres(number))
        lines.append(f'{stem},{LABELS[number % len(LABELS)]}')
    (folder / 'labels.csv').write_text('\n'.join(lines) + '\n')
    return folder


def make_bag(folder: Path, count: int = PAIRS) -> Path:
    """Write a bag of pairs, ten a second."""
    return write_pairs(folder, count)


def make_superset(path: Path) -> Path:
    """Write a superset of a few phrases."""
    path.write_text('\n'.join(PHRASES) + '\n')
    return path


def settings(superset: Path, block_seconds: float = 1.0) -> list[str]:
    """Give the ``--set`` that make a small student in no time."""
    return ['--set', *(
        f'{name}={value}' for name, value in {
            'teach.teacher': 'conse',
            'curate.superset': superset,
            'curate.keep_fraction': 1.0,
            'curate.near_duplicates': -1,
            'curate.split_by': 'block',
            'curate.block_seconds': block_seconds,
            'curate.gap_seconds': 0.0,
            'curate.agree_seconds': 0.0,
            'curate.split': '[0.6, 0.2, 0.2]',
            'distill.student': 'timm:test_vit',
            'distill.weights': 'none',
            'distill.image_size': 32,
            'distill.epochs': 2,
            'distill.batch_size': 4,
            'contrast.epochs': 2,
            'contrast.batch_size': 8,
            'contrast.calibration_pairs': 8,
            'evaluate.threads': 1,
        }.items()
    )]


def from_images(folder: Path) -> list[str]:
    """Give the words after ``edgevl adapt`` for images in a folder, which are made if need be."""
    if not (folder / 'images').exists():
        make_images(folder / 'images')
        make_superset(folder / 'phrases.txt')
    return [
        '--images', str(folder / 'images'), '--out', str(folder / 'bundle'),
        *settings(folder / 'phrases.txt'),
    ]


def from_bag(folder: Path) -> list[str]:
    """Give the words after ``edgevl adapt`` for a bag in a folder, which is made if need be."""
    if not (folder / 'bag').exists():
        make_bag(folder / 'bag')
        make_superset(folder / 'phrases.txt')
    return [
        '--bags', str(folder / 'bag'), '--out', str(folder / 'bundle'),
        *settings(folder / 'phrases.txt', 0.2), 'extract.rate=null',
    ]


def command(*words: str) -> list[str]:
    """Give the command line of ``edgevl adapt``."""
    return [sys.executable, '-m', 'edgevl_training.cli', 'adapt', *words]
