# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a camera pair saw at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Modality(str, Enum):
    """One of the two kinds of image that a student reads with the same weights."""

    RGB = 'rgb'
    DEPTH = 'depth'


@dataclass(frozen=True)
class Frame:
    """
    One view of the world: colour, depth or both, taken at the same moment.

    ``rgb`` is uint8 of shape (H, W, 3) in the order red, green, blue. ``depth`` is float32 of
    shape (H, W) in metres along the optical axis, NaN where there is no reading (REP 118). The
    two need not have the same size. ``stamp_ns`` is the camera's header stamp in nanoseconds and
    ``frame_id`` its optical frame (REP 103).

    :raises ValueError: when there is neither image, or one has the wrong dtype or shape.
    """

    stamp_ns: int
    frame_id: str
    rgb: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Refuse what no later step could use."""
        if self.rgb is None and self.depth is None:
            raise ValueError('a Frame needs rgb, depth or both; found neither')
        if self.rgb is not None:
            _check('rgb', self.rgb, np.dtype(np.uint8), ndim=3)
            if self.rgb.shape[2] != 3:
                raise ValueError(f'Frame.rgb: expected 3 channels, found shape {self.rgb.shape}')
        if self.depth is not None:
            _check('depth', self.depth, np.dtype(np.float32), ndim=2)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Name the images that this frame carries, colour first."""
        present = []
        if self.rgb is not None:
            present.append(Modality.RGB)
        if self.depth is not None:
            present.append(Modality.DEPTH)
        return tuple(present)


def _check(name: str, image: NDArray[np.generic], dtype: np.dtype[np.generic], ndim: int) -> None:
    if image.dtype != dtype or image.ndim != ndim or 0 in image.shape:
        raise ValueError(
            f'Frame.{name}: expected a non-empty {dtype} array with {ndim} axes, '
            f'found {image.dtype} of shape {image.shape}'
        )
