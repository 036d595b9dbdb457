# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A teacher that is asked about the very crops that a student of stage 1 learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevl_training.errors import RecipeError, TeacherError
from edgevl_training.teachers.teacher import choose_teacher, FloatArray, Teacher
from edgevl_training.teaching.embedder import BATCH_SIZES, Embedder
from edgevl_training.teaching.views import are_whole
import numpy as np
from numpy.typing import NDArray


class CropTeacher:
    """
    Gives the embedding of a crop where ``teach`` has stored that of the whole picture.

    ``input_shape`` is that of one of its inputs.
    """

    def __init__(self, teacher: Teacher, batch_size: int) -> None:
        """
        Take the teacher that embedded the pairs.

        :param batch_size: crops that it takes at once.
        """
        self._teacher, self._embedder = teacher, Embedder(teacher, batch_size)
        self.input_shape = self.preprocess(np.zeros((8, 8, 3), np.uint8)).shape

    def preprocess(self, crop: NDArray[np.uint8]) -> FloatArray:
        """Turn a crop, uint8 (H, W, 3), into the teacher's input, float32 (3, S, S)."""
        return self._teacher.preprocess(crop)

    def embed(self, inputs: FloatArray) -> FloatArray:
        """
        Embed inputs, float32 (B, 3, S, S), as unit rows, float32 (B, D).

        :raises TeacherError: when a row is not finite, as half precision may give.
        """
        rows = self._embedder.embed(inputs)
        if not np.isfinite(rows).all():
            raise TeacherError(
                f'{self._teacher.id}: expected finite embeddings of random crops, found others; '
                'leave distill --teacher away, so that what teach has stored counts'
            )
        return rows


def open_crop_teacher(
    name: str, device: str, data: Path, manifest: dict[str, Any]
) -> CropTeacher:
    """
    Load the teacher of a curated data set.

    :param name: as for ``edgevl teach --teacher``.
    :param device: cpu or cuda.
    :param manifest: of the data set in ``data``.
    :raises RecipeError: when it is another teacher, or when the targets of the data set are not
        what a teacher says of a whole picture by itself.
    """
    known = manifest['teacher']['id']
    if remedies := needed_for_crops(manifest['recipe'], manifest.get('views')):
        raise RecipeError(
            '--teacher: expected pairs whose targets are what their teacher says of one whole '
            f'picture, found others in {data}; leave --teacher away, or make the pairs anew with '
            f'{", ".join(remedies)}'
        )
    choice = choose_teacher(name, device, 'auto')
    if choice.id != known:
        raise RecipeError(
            f'--teacher: expected {known}, which embedded the pairs of {data}, found {choice.id}'
        )
    return CropTeacher(choice.load(), BATCH_SIZES[choice.device])


def needed_for_crops(curate: Mapping[str, Any], views: Sequence[str] | None) -> list[str]:
    """
    Name the options that targets need in order to mean the same as embeddings of crops do.

    :param curate: options of ``edgevl curate``.
    :param views: those of ``edgevl teach``; None for whole pictures.
    :returns: nothing where all are as needed.
    """
    remedies = [
        f'edgevl curate --{option.replace("_", "-")} 0' for option in ('agree_seconds', 'center')
        if float(curate.get(option) or 0)
    ]
    if not are_whole(views):
        remedies.append('edgevl teach --views whole')
    return remedies
