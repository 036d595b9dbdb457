# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The photographs that scikit-image ships inside its wheel; one of them has metric depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
import skimage.data

# Calibration of the pair as scikit-image ships it, a quarter of the Middlebury 2014 size (the
# docstring of skimage.data.stereo_motorcycle; Scharstein et al., GCPR 2014).
FOCAL_LENGTH_PX = 994.978
PRINCIPAL_POINT_OFFSET_PX = 31.086
BASELINE_MM = 193.001


@dataclass(frozen=True)
class Photograph:
    """
    A named photograph.

    ``rgb`` is uint8 of shape (H, W, 3); ``depth_mm`` is uint16 of shape (H, W) in millimetres
    along the optical axis with 0 for no reading (REP 118), or None.
    """

    name: str
    rgb: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16] | None = None


def load_photographs() -> list[Photograph]:
    """Load the photographs from the installed scikit-image; nothing is downloaded."""
    motorcycle, _, disparity = skimage.data.stereo_motorcycle()
    return [
        Photograph('coffee', skimage.data.coffee()),
        Photograph('cat', skimage.data.chelsea()),
        Photograph('motorcycle', motorcycle, depth_from_disparity(disparity)),
        Photograph('rocket', skimage.data.rocket()),
        Photograph('tripod', _in_colour(skimage.data.camera())),
        Photograph('bricks', _in_colour(skimage.data.brick())),
    ]


def _in_colour(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([grey] * 3)


def depth_from_disparity(disparity: NDArray[np.floating]) -> NDArray[np.uint16]:
    """
    Turn the motorcycle's disparity into depth.

    :param disparity: pixels, shape (H, W); not finite where there is no ground truth.
    :return: millimetres along the optical axis, 0 for no reading.
    """
    known = np.isfinite(disparity)
    depth = np.zeros(disparity.shape, np.uint16)
    distance = disparity[known] + PRINCIPAL_POINT_OFFSET_PX
    depth[known] = np.rint(FOCAL_LENGTH_PX * BASELINE_MM / distance)
    return depth
