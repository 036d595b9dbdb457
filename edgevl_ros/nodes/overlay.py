# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw a scene onto the picture it was seen in, for people."""

from __future__ import annotations

import cv2
from edgevl_ros.core.frame import Frame
from edgevl_ros.core.scene import Scene
import numpy as np
from numpy.typing import NDArray

SHOWN = 3
SMALLEST_WIDTH = 320
WHITE, GREY, BLUE = (255, 255, 255), (200, 200, 200), (70, 150, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(frame: Frame, scene: Scene) -> NDArray[np.uint8]:
    """
    Draw the stable label and the best hypotheses with probability bars.

    :returns: a new colour image, uint8 (H, W, 3) with red first; depth is shown in colours.
    """
    picture = _picture(frame)
    scale = picture.shape[1] / 640
    line = round(26 * scale)
    rows = scene.hypotheses[:SHOWN]
    panel = picture[: line * (len(rows) + 1) + line // 2]
    panel[:] = panel // 3
    source = '+'.join(modality.value for modality in scene.modalities)
    _write(picture, f'{scene.label}  [{source}]', line, 0.8 * scale, WHITE)
    for row, hypothesis in enumerate(rows, start=2):
        width = round(hypothesis.probability * 0.3 * picture.shape[1])
        bottom = line * row
        cv2.rectangle(picture, (10, bottom - round(12 * scale)), (10 + width, bottom), BLUE, -1)
        left = 20 + round(0.3 * picture.shape[1])
        text = f'{hypothesis.probability:5.1%} {hypothesis.label}'
        _write(picture, text, bottom, 0.6 * scale, GREY, left)
    return picture


def _picture(frame: Frame) -> NDArray[np.uint8]:
    """Copy the colour image, or colour the depth image; enlarge what is too small to read."""
    if frame.rgb is not None:
        picture = frame.rgb.copy()
    else:
        assert frame.depth is not None
        picture = _colored(frame.depth)
    height, width = picture.shape[:2]
    if width < SMALLEST_WIDTH:
        size = (SMALLEST_WIDTH, max(1, round(height * SMALLEST_WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return picture


def _colored(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    valid = np.isfinite(depth)
    far = float(depth[valid].max()) if valid.any() else 1.0
    grey = np.where(valid, 255 * (1 - depth / max(far, 1e-3)), 0).astype(np.uint8)
    bgr = np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), np.uint8)
    bgr[~valid] = 0
    return np.ascontiguousarray(bgr[..., ::-1])


def _write(
    picture: NDArray[np.uint8],
    text: str,
    bottom: int,
    size: float,
    color: tuple[int, int, int],
    left: int = 10,
) -> None:
    # OpenCV's own fonts know ASCII only.
    ascii_text = text.encode('ascii', 'replace').decode('ascii')
    thickness = max(1, round(2 * size))
    cv2.putText(picture, ascii_text, (left, bottom), FONT, size, color, thickness, cv2.LINE_AA)
