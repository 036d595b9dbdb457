# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every inference runtime must offer, and the specs its arrays are held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from edgevl_ros.core.errors import BackendError
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ArraySpec:
    """Name, shape and dtype that an array must have; None in the shape stands for any size."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def check(self, array: NDArray[Any], where: str) -> None:
        """
        Hold an array to this spec.

        :raises BackendError: naming what was expected, what was found and where.
        """
        fits = array.ndim == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, array.shape)
        )
        if not fits or array.dtype != self.dtype:
            wanted = tuple('any' if side is None else side for side in self.shape)
            raise BackendError(
                f'{where}: {self.name}: expected {self.dtype} of shape {wanted}, '
                f'found {array.dtype} of shape {array.shape}'
            )


def image_spec(input_size: int) -> ArraySpec:
    """Describe a student's input: float32 (B, 3, S, S)."""
    return ArraySpec('image', (None, 3, input_size, input_size), np.dtype(np.float32))


def embedding_spec(embedding_dim: int) -> ArraySpec:
    """Describe a student's output: float32 (B, D)."""
    return ArraySpec('embedding', (None, embedding_dim), np.dtype(np.float32))


class Backend(Protocol):
    """
    A student on one inference runtime.

    Used from one thread at a time. Making one raises BackendError, with a remedy, when the
    runtime is absent or the model does not fit it.
    """

    @property
    def name(self) -> str:
        """Name the runtime and the device it runs on, for people."""

    @property
    def input_spec(self) -> ArraySpec:
        """Describe what `embed` takes: float32 (B, 3, S, S)."""

    @property
    def output_spec(self) -> ArraySpec:
        """Describe what `embed` gives: float32 (B, D)."""

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Embed a batch of at least one image.

        :returns: float32 (B, D) with unit rows, an array the caller may keep.
        :raises BackendError: when the batch does not fit the spec or the runtime fails.
        """

    def close(self) -> bool:
        """
        Free what the runtime holds; calling it twice is harmless, `embed` afterwards raises.

        :returns: False when the runtime does not let go of it, and a thread is left behind.
        """
