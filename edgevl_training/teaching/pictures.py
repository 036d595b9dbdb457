# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the colour pictures of shards, in batches that are ready for a teacher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from edgevl_ros.core.encodings import decode_compressed_color
from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import read_batches, Shard
from edgevl_training.errors import DatasetError
from edgevl_training.teachers.teacher import FloatArray, Teacher
from edgevl_training.teaching.views import ONLY_WHOLE, parts_of, ViewName
import numpy as np

# Scaling the shorter side of a strip to the input size would make the longer one endless.
_LONGEST_STRIP = 32
_COLUMNS = ('pair_id', 'color', 'color_format')


@dataclass
class Batch:
    """
    Some consecutive rows of one shard.

    ``images``, float32 (B * views, 3, S, S), are those of the rows ``positions``, counted in the
    shard, the views of a picture in a row;
    ``unreadable`` says what is wrong with the pictures of the other rows, by position.
    """

    shard: Shard
    pair_ids: list[str] = field(default_factory=list)
    images: FloatArray = field(default_factory=lambda: np.empty((0, 3, 0, 0), np.float32))
    positions: list[int] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)
    last: bool = False


@dataclass
class _Payload:
    """What `decode_compressed_color` looks at."""

    data: Any
    format: str  # noqa: A003


def read_pictures(
    folder: Path, shards: Iterable[Shard], teacher: Teacher, batch_size: int, threads: int,
    views: Sequence[ViewName] = ONLY_WHOLE,
) -> Iterator[Batch]:
    """
    Read and preprocess the colour pictures of shards; a batch never spans two shards.

    The composition of the batches depends on the shard alone, so whoever embeds it, and after
    whatever interruption, embeds the same batches.

    :param batch_size: views in a batch, if that is not less than those of one picture.
    :param threads: that decode and preprocess.
    :param views: the parts of each picture that the teacher looks at.
    :raises DatasetError: naming the shard that is damaged or not the manifest's.
    """
    with ThreadPoolExecutor(threads, 'pictures') as pool:
        for shard in shards:
            path, start = folder / shard.name, 0
            _check(path, shard)
            for rows in read_batches(path, _COLUMNS, max(1, batch_size // len(views))):
                ids = rows.column('pair_id').to_pylist()
                formats = rows.column('color_format').to_pylist()
                buffers = [value.as_buffer() for value in rows.column('color')]
                loaded = list(
                    pool.map(load_picture, buffers, formats, repeat(teacher), repeat(views))
                )
                yield _batch(shard, start, ids, loaded)
                start += len(ids)


def _check(path: Path, shard: Shard) -> None:
    # Reading a shard twice costs little beside what a teacher does with it.
    found = sha256_of(path)
    if found != shard.sha256:
        raise DatasetError(
            f'{path}: expected the shard that the manifest lists (SHA-256 {shard.sha256[:12]}), '
            f'found another content ({found[:12]}); copy it again or make the data set anew'
        )


def load_picture(
    data: Any, color_format: str, teacher: Teacher, views: Sequence[ViewName] = ONLY_WHOLE
) -> FloatArray | str:
    """
    Give a teacher's inputs, float32 (views, 3, S, S), or in words what is wrong with a picture.

    :param data: any buffer of bytes.
    :param color_format: what was recorded beside them, for the words.
    """
    try:
        rgb = decode_compressed_color(_Payload(data, color_format))
    except BadImage as error:
        return str(error)
    short, long = sorted(rgb.shape[:2])
    if long > _LONGEST_STRIP * short:
        return f'expected sides of at most 1:{_LONGEST_STRIP}, found {short}:{long} pixels'
    return np.stack([teacher.preprocess(part) for part in parts_of(rgb, views)])


def _batch(
    shard: Shard, start: int, ids: list[str], loaded: list[FloatArray | str]
) -> Batch:
    batch = Batch(shard, ids, last=start + len(ids) >= shard.rows)
    images = []
    for position, result in enumerate(loaded, start):
        if isinstance(result, str):
            batch.unreadable[position] = result
        else:
            batch.positions.append(position)
            images.append(result)
    if images:
        batch.images = np.concatenate(images)
    return batch
