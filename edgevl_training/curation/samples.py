# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs chosen to be looked at, with their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from edgevl_training.curation.columns import PairColumns
from edgevl_training.curation.duplicates import near_any
from edgevl_training.dataset import SecondModality, Shard
import numpy as np
from numpy.typing import NDArray
import pyarrow.parquet as pq

_OF_A_LABEL = 2
# Further apart than duplicates: a sheet of one corner of a room says little.
_SAME_VIEW_BITS = 10
_LOOKED_AT = 2000
_PICTURES = ['color', 'depth']


def choose(columns: PairColumns, ordered: NDArray[np.int64], most: int) -> list[int]:
    """
    Choose rows from an order of preference: few of a label, and no view twice.

    :param ordered: row numbers, the preferred first.
    """
    ordered = ordered[:_LOOKED_AT]
    chosen: list[int] = []
    for of_a_label in (_OF_A_LABEL, most):
        for row in ordered.tolist():
            if len(chosen) == most:
                break
            label = columns.judged.label[row]
            of_this = int(np.sum(columns.judged.label[chosen] == label)) if chosen else 0
            if row not in chosen and of_this < of_a_label and not _seen(columns, row, chosen):
                chosen.append(row)
    return sorted(chosen, key=ordered.tolist().index)


def _seen(columns: PairColumns, row: int, chosen: list[int]) -> bool:
    return bool(near_any(columns.hash[[row]], columns.hash[chosen], _SAME_VIEW_BITS)[0])


def fetch(
    pairs: tuple[Path, Sequence[Shard]], starts: NDArray[np.int64], rows: Sequence[int]
) -> dict[int, tuple[bytes, bytes | None]]:
    """Read the encoded pictures of a few rows, and no row group without one of them."""
    found: dict[int, Any] = {}
    for shard, start in zip(pairs[1], starts.tolist()):
        wanted = {row for row in rows if start <= row < start + shard.rows}
        if not wanted:
            continue
        with pq.ParquetFile(pairs[0] / shard.name) as file:
            for index, first in enumerate(_row_group_starts(file, start)):
                end = first + file.metadata.row_group(index).num_rows
                inside = [row for row in wanted if first <= row < end]
                if inside:
                    table = file.read_row_group(index, columns=_PICTURES)
                    for row in inside:
                        found[row] = tuple(table[n][row - first].as_py() for n in _PICTURES)
    return found


def _row_group_starts(file: pq.ParquetFile, start: int) -> list[int]:
    sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    return [start + sum(sizes[:index]) for index in range(len(sizes))]


def decode_color(data: bytes) -> NDArray[np.uint8]:
    """Decode a colour picture to RGB, uint8 (H, W, 3); grey if it is damaged."""
    bgr = _decode(data, cv2.IMREAD_COLOR)
    return _grey() if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def colourise(data: bytes, modality: SecondModality) -> NDArray[np.uint8]:
    """
    Show a second modality as colours, uint8 (H, W, 3) RGB; black where there is no reading.

    Depth is bright where it is near; the range is that of the picture without its extremes.
    """
    counts = _decode(data, cv2.IMREAD_UNCHANGED)
    if counts is None or counts.ndim != 2:
        return _grey()
    known = ~np.isin(counts, modality.missing)
    if not known.any():
        return np.zeros((*counts.shape, 3), np.uint8)
    low, high = np.percentile(counts[known], (2, 98))
    share = np.clip((counts.astype(np.float32) - low) / max(1.0, high - low), 0, 1)
    if modality.name == 'depth':
        share = 1 - share
    drawn = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    drawn[~known] = 0
    return np.asarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB), np.uint8)


def _decode(data: bytes, flags: int) -> NDArray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _grey() -> NDArray[np.uint8]:
    return np.full((240, 320, 3), 128, np.uint8)
