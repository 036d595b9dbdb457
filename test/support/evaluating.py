# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of one colour each, which the student of the tiny bundle tells apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from support.pairs_folder import make_pairs

COLOURS = {'red': (230, 20, 20), 'green': (20, 220, 20), 'blue': (20, 20, 240)}
PAIRS = 24
# Pictures that cannot be used, and labels that nobody knows.
BROKEN_COLOUR, BROKEN_DEPTH, EMPTY_DEPTH, COLOUR_ALONE = 4, 7, 9, 11
UNKNOWN = {13: None, 14: ''}
MISLABELLED = {16: 'blue', 17: 'red'}


def make_colours(folder: Path, **more: Any) -> Path:
    """Write pairs whose truth is their colour, but for a few; give the path."""
    names = [list(COLOURS)[index % 3] for index in range(PAIRS)]
    rng = np.random.default_rng(0)
    pictures: list[Any] = [
        np.clip(rng.normal(COLOURS[name], 25, (40, 56, 3)), 0, 255).astype(np.uint8)
        for name in names
    ]
    jpeg = cv2.imencode('.jpg', pictures[BROKEN_COLOUR])[1].tobytes()
    pictures[BROKEN_COLOUR] = jpeg[:-200]
    depths: list[Any] = [
        np.full((30, 40), 500 + 300 * index, np.uint16) for index in range(PAIRS)
    ]
    depths[EMPTY_DEPTH][:] = 0
    depths[COLOUR_ALONE] = None
    # Eight bits, which no depth picture has.
    depths[BROKEN_DEPTH] = np.full((30, 40), 9, np.uint8)
    truths = {**dict(enumerate(names)), **UNKNOWN, **MISLABELLED}
    return make_pairs(
        folder, pictures, depths=depths, rows_per_shard=10,
        **{'truths': [truths[index] for index in range(PAIRS)], **more},
    )


def metrics_of(out: Path) -> dict[str, Any]:
    """Read metrics.json."""
    return json.loads((out / 'metrics.json').read_text())


def predictions_of(out: Path, model: str, modality: str) -> dict[str, dict[str, Any]]:
    """Read what a model said by a modality, by pair."""
    rows = pq.read_table(out / 'predictions.parquet').to_pylist()
    return {
        row['pair_id']: row for row in rows
        if (row['model'], row['modality']) == (model, modality)
    }
