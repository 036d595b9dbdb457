# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data to distil in a few seconds, and the command that does."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import numpy as np
from support.curated_folder import make_curated
from support.source_tree import ROOT

# A tiny network of timm's own tests, without batch norm.
NETWORK = 'timm:test_vit'
OPTIONS = [
    '--student', NETWORK, '--weights', 'none', '--image-size', '16', '--epochs', '3',
    '--batch-size', '4', '--device', 'cpu', '--learning-rate', '1e-3',
]
WITHOUT_DEPTH = 3
PATIENCE_S = 300


def make_data(folder: Path, train: int = 14, validation: int = 4) -> Path:
    """Write curated pairs of one colour each, whose depth and embedding follow the colour."""
    count = train + validation
    rng = np.random.default_rng(0)
    colors = rng.random((count, 3))
    pictures = [np.full((20, 24, 3), 255 * color).astype(np.uint8) for color in colors]
    depths: list[Any] = [
        np.full((20, 24), 1000 + 8000 * color[0]).astype(np.uint16) for color in colors
    ]
    depths[WITHOUT_DEPTH] = None
    rows = colors @ rng.normal(size=(3, 6))
    return make_curated(
        folder, pictures, rows / np.linalg.norm(rows, axis=1, keepdims=True),
        splits=['train'] * train + ['validation'] * validation, depths=depths,
    )


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    """Give the words after ``edgevl distill``; later ones win."""
    return ['--data', str(data), '--out', str(out), *OPTIONS, *more]


def command(data: Path, out: Path, *more: str, processes: int = 1) -> list[str]:
    """Give the command line, under torchrun for several processes."""
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', str(processes)]
    return [
        sys.executable, *(torchrun if processes > 1 else []), '-m', 'edgevl_training.cli',
        'distill', *arguments(data, out, *more),
    ]


def environment() -> dict[str, str]:
    """Give the environment for `command`: this tree, one thread, no GPU."""
    return {
        **os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '',
    }


def metrics_of(out: Path) -> list[dict[str, Any]]:
    """Read the metrics, one dictionary an epoch, without what depends on the clock."""
    lines = (out / 'metrics.jsonl').read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items()
         if key not in ('seconds', 'pairs_per_second')}
        for line in lines
    ]


def finish(words: list[str]) -> str:
    """Run a command to its end; give what it prints."""
    done = subprocess.run(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout
    return done.stdout


def kill_after_an_epoch(words: list[str], out: Path) -> list[str]:
    """Kill a run with SIGKILL as soon as it tells of an epoch; give what it told."""
    metrics = out / 'metrics.jsonl'
    kill_when(words, lambda: metrics.is_file() and bool(metrics.read_text()))
    return metrics.read_text().splitlines()


def kill_when(words: list[str], reached: Callable[[], bool]) -> None:
    """Kill a run with SIGKILL as soon as it has come so far; it must not end before."""
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not reached():
            assert process.poll() is None, 'it ended by itself'
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
