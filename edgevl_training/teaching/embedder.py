# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Embed batches with a teacher, in pieces that its memory holds, and time it."""

from __future__ import annotations

import time

from edgevl_training.errors import TeacherError
from edgevl_training.teachers.teacher import FloatArray, Teacher
import numpy as np

# Images that go in at once unless somebody says otherwise, by device.
BATCH_SIZES = {'cpu': 16, 'cuda': 256}


class Embedder:
    """
    A teacher with a stopwatch: ``busy_s`` is the time it has computed, for ``images`` images.

    ``batch_size`` is what goes in at once; running out of GPU memory halves it for good.
    """

    def __init__(self, teacher: Teacher, batch_size: int) -> None:
        """Start the count at zero."""
        self.batch_size = batch_size
        self.images = 0
        self.busy_s = 0.0
        self._teacher = teacher

    def embed(self, images: FloatArray) -> FloatArray:
        """
        Embed preprocessed images, float32 (B, 3, S, S), as rows, float32 (B, D).

        :raises TeacherError: when not even a single image fits into memory.
        """
        started_s = time.perf_counter()
        rows = [np.empty((0, self._teacher.dim), np.float32)]
        done = 0
        while done < len(images):
            piece = images[done:done + self.batch_size]
            embedded = self._try(piece)
            if embedded is not None:
                rows.append(embedded)
                done += len(piece)
        self.images += len(images)
        self.busy_s += time.perf_counter() - started_s
        return np.concatenate(rows)

    def _try(self, images: FloatArray) -> FloatArray | None:
        """Embed, or halve the batch size for the next try."""
        import torch

        try:
            return self._teacher.embed_images(images)
        except torch.cuda.OutOfMemoryError as error:
            if len(images) == 1:
                raise TeacherError(
                    f'{self._teacher.id}: a single image does not fit into the memory of the GPU; '
                    'free some, or give --device cpu'
                ) from error
        # Outside of the except clause, which would keep the tensors of the failed try alive.
        self.batch_size = max(1, len(images) // 2)
        torch.cuda.empty_cache()
        return None
