# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Golden frames: raw pictures with what they become, so that a robot can tell that it sees the same.

Every array goes into ``golden.npz``: rgb uint8 (N, H, W, 3), depth_mm uint16 (N, H, W) with 0 for
no reading, and of each modality the network input, float16 (N, 3, S, S), and the embedding,
float32 (N, D).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.preprocess import model_input, PreprocessSpec
from edgevl_training.curated_split import second_modality
from edgevl_training.dataset import read_batches, SecondModality, shards_of
from edgevl_training.errors import DatasetError
from edgevl_training.frames import color_of, second_of
from edgevl_training.output import read_manifest
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Frames = tuple[NDArray[np.uint8], NDArray[np.uint16]]

# Enough to notice other pixels or another runtime; a bundle stays small.
_FRAMES = 2
_COLUMNS = ['color', 'depth']
_SIZES = ['color_width', 'color_height', 'depth_width', 'depth_height']


def golden_arrays(
    frames: Frames, spec: PreprocessSpec, embed: Callable[[FloatArray], FloatArray],
    modalities: Sequence[Modality] = tuple(Modality),
) -> dict[str, NDArray[Any]]:
    """
    Record what frames become.

    :param frames: colour and depth in millimetres.
    :param embed: runs the student as a robot does, float32 (N, 3, S, S) to (N, D).
    """
    rgb, depth_mm = frames
    arrays: dict[str, NDArray[Any]] = {'rgb': rgb, 'depth_mm': depth_mm}
    for modality in modalities:
        inputs = np.concatenate(
            [
                model_input(spec, _frame(color, depth), [modality])
                for color, depth in zip(rgb, depth_mm)
            ]
        )
        arrays[f'{modality.value}_input'] = inputs.astype(np.float16)
        arrays[f'{modality.value}_embedding'] = embed(inputs)
    return arrays


def photographed_frames(spec: PreprocessSpec) -> Frames:
    """Give the freely licensed photographs, with depth that the student can tell apart."""
    from edgevl_training.photos import golden_frames

    rgb, depth_mm = golden_frames()
    farthest = 1000 * spec.depth.far_m
    if depth_mm.max() > farthest:
        # Of another camera than depth, far is full scale, 1.0: beyond it all looks alike.
        depth_mm = (depth_mm * (farthest / depth_mm.max())).round().astype(np.uint16)
    return rgb, depth_mm


def frames_of_pairs(pairs: Path) -> Frames:
    """
    Take frames from the output folder of ``edgevl extract``, far apart in it.

    :raises DatasetError: when no pair of it has a second picture.
    """
    manifest = read_manifest(pairs, 'extract')
    places = _places(pairs, manifest)
    if not places:
        raise DatasetError(
            f'{pairs}: expected pairs with a second picture to take golden frames from, found '
            'none; leave --golden-pairs out'
        )
    # Frames of one array have one size.
    alike = [place for place in places if place[2] == places[0][2]]
    chosen = {alike[int(at)][:2]: None for at in np.linspace(0, len(alike) - 1, _FRAMES)}
    modality = second_modality(manifest)
    taken = [_decoded(pairs / name, row, modality) for name, row in chosen]
    return np.stack([rgb for rgb, _ in taken]), np.stack([depth for _, depth in taken])


def _places(pairs: Path, manifest: dict[str, Any]) -> list[tuple[str, int, tuple[int, ...]]]:
    """List shard, row and picture sizes of every pair that has a second picture."""
    places = []
    for shard in shards_of(pairs, manifest):
        row = 0
        for batch in read_batches(pairs / shard.name, _SIZES):
            for sizes in zip(*(batch[name].to_pylist() for name in _SIZES)):
                if None not in sizes:
                    places.append((shard.name, row, sizes))
                row += 1
    return places


def _decoded(
    shard: Path, wanted: int, modality: SecondModality
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    start = 0
    for batch in read_batches(shard, _COLUMNS):
        if wanted < start + batch.num_rows:
            row = wanted - start
            rgb = color_of(batch['color'][row].as_buffer())
            values = second_of(batch['depth'][row].as_buffer(), modality)
            return rgb, np.nan_to_num(1000 * values).round().astype(np.uint16)
        start += batch.num_rows
    raise DatasetError(f'{shard}: expected a row {wanted}, found {start} rows')


def _frame(rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16]) -> Frame:
    depth = depth_mm.astype(np.float32) / np.float32(1000)
    depth[depth_mm == 0] = np.nan
    return Frame(stamp_ns=0, frame_id='golden', rgb=rgb, depth=depth)
