# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write the folder that ``edgevl extract`` would leave, from pictures made in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
from edgevl_training.dataset import described, PAIRS, SecondModality, write_shard
from edgevl_training.output import OutputFolder, write_text
import numpy as np
from numpy.typing import NDArray
import pyarrow as pa

SECOND_NS = 1_000_000_000


def make_pairs(
    folder: Path,
    pictures: Sequence[NDArray[np.uint8] | bytes],
    *,
    bags: Sequence[str] | None = None,
    stamps_ns: Sequence[int] | None = None,
    depths: Sequence[NDArray[np.uint16] | None] | None = None,
    truths: Sequence[str | None] | None = None,
    rows_per_shard: int = 4,
    modality: SecondModality | None = None,
) -> Path:
    """
    Write a finished folder of pairs; give its path.

    :param pictures: RGB, uint8 (H, W, 3), stored as PNG; or bytes, stored as they are, whole or
        broken.
    :param bags: the bag of each pair; one bag for all unless given.
    :param stamps_ns: colour stamps; one second apart unless given. Depth comes 4 ms later.
    :param depths: 16-bit counts (H, W), or None for a pair of colour alone.
    :param truths: the scene that a public data set would name.
    """
    count = len(pictures)
    bags = bags or ['bag'] * count
    stamps_ns = stamps_ns or [index * SECOND_NS for index in range(count)]
    depths = depths or [None] * count
    truths = truths or [None] * count
    schema = described(PAIRS, modality or SecondModality())
    rows = [_row(*fields) for fields in zip(pictures, bags, stamps_ns, depths, truths)]
    purpose = {'recipe': {'made_by': 'a test'}, 'sources': [{'name': name} for name in set(bags)]}
    with OutputFolder(folder, 'extract', purpose) as output:
        shards = [
            write_shard(
                output.path / f'shard-{number:05d}.parquet',
                pa.Table.from_pylist(rows[start:start + rows_per_shard], schema=schema),
            )
            for number, start in enumerate(range(0, count, rows_per_shard))
        ]
        write_text(output.path / 'skipped.csv', 'item,reason\n')
        output.finish({
            'second_modality': asdict(modality or SecondModality()),
            'counts': {'pairs': count},
            'shards': [asdict(shard) for shard in shards],
        })
    return folder


def _row(
    picture: NDArray[np.uint8] | bytes,
    bag: str,
    stamp_ns: int,
    depth: NDArray[np.uint16] | None,
    truth: str | None,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        'pair_id': f'{bag}/0/{stamp_ns}',
        'bag': bag,
        'item': f'rgb/{stamp_ns}.png',
        'timeline': 0,
        'color_stamp_ns': stamp_ns,
        'frame_id': 'camera',
        'truth': truth,
        **_color_columns(picture),
    }
    if depth is not None:
        row.update(
            depth_stamp_ns=stamp_ns + 4_000_000,
            skew_ns=4_000_000,
            depth_frame_id='camera',
            depth=_png(depth),
            depth_width=depth.shape[1],
            depth_height=depth.shape[0],
            depth_coverage=float(np.mean((depth > 0) & (depth < 65535))),
        )
    return row


def _color_columns(picture: NDArray[np.uint8] | bytes) -> dict[str, Any]:
    if isinstance(picture, bytes):
        data = picture
        # OpenCV raises for no bytes at all, and gives None for bad ones.
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        bgr = np.zeros((1, 1, 3), np.uint8) if decoded is None else decoded
    else:
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        data = _png(bgr)
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA)
    bits = np.packbits(small > small.mean())
    return {
        'color': data,
        'color_format': 'jpeg' if data.startswith(b'\xff\xd8') else 'png',
        'color_width': bgr.shape[1],
        'color_height': bgr.shape[0],
        'sharpness': float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        'perceptual_hash': int(bits.view('>i8')[0]),
    }


def _png(image: NDArray[Any]) -> bytes:
    return cv2.imencode('.png', image)[1].tobytes()
