# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A teacher that is asked about the very crops that a student of stage 1 learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgevl_training.errors import RecipeError
from edgevl_training.teachers.teacher import choose_teacher, FloatArray, Teacher
from edgevl_training.teaching.embedder import Embedder
import numpy as np
from numpy.typing import NDArray

# Pictures at once; a GPU takes all of a batch.
_BATCH_SIZES = {'cpu': 16, 'cuda': 256}


class CropTeacher:
    """Gives the embedding of a crop where ``teach`` has stored that of the whole picture."""

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
        """Embed inputs, float32 (B, 3, S, S), as unit rows, float32 (B, D)."""
        return self._embedder.embed(inputs)


def open_crop_teacher(
    name: str, device: str, data: Path, manifest: dict[str, Any]
) -> CropTeacher:
    """
    Load the teacher of a curated data set.

    :param name: as for ``edgevl teach --teacher``.
    :param device: cpu or cuda.
    :param manifest: of the data set in ``data``.
    :raises RecipeError: when it is another teacher, or when the targets of the data set are not
        what a teacher says of a picture by itself.
    """
    how = manifest['recipe']
    changed = [option for option in ('agree_seconds', 'center') if how.get(option)]
    if changed:
        raise RecipeError(
            f'--teacher: expected a data set whose targets are what its teacher says of a '
            f'picture, found {data}, curated with {", ".join(changed)}; leave --teacher away, or '
            f'curate anew with {" and ".join(f"{option} 0" for option in changed)}'
        )
    choice = choose_teacher(name, device, 'auto')
    known = manifest['teacher']['id']
    if choice.id != known:
        raise RecipeError(
            f'--teacher: expected {known}, which embedded the pairs of {data}, found {choice.id}'
        )
    return CropTeacher(choice.load(), _BATCH_SIZES[choice.device])
