# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A few frames of a bag, evenly spread, kept for the contact sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
from demo.messages import stamp_ns
from edgevl_ros.core import encodings
from edgevl_ros.core.errors import BadImage
import numpy as np
from numpy.typing import NDArray

WIDTH = 480
SAME_MOMENT_NS = 50_000_000
# By whether the image is depth and whether it is compressed.
DECODERS: dict[tuple[bool, bool], Callable[[Any], NDArray[Any]]] = {
    (False, False): encodings.decode_color,
    (False, True): encodings.decode_compressed_color,
    (True, False): encodings.decode_depth,
    (True, True): encodings.decode_compressed_depth,
}


@dataclass
class Sample:
    """One frame: its stamp and what there is of colour (H, W, 3) and depth (H, W) in metres."""

    stamp_ns: int
    rgb: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None

    def picture(self) -> NDArray[np.uint8]:
        """Give colour, or else depth drawn in colours, near bright and far dark."""
        if self.rgb is not None:
            return self.rgb
        assert self.depth is not None
        near = np.nan_to_num(1 - self.depth / max(1e-6, float(np.nanmax(self.depth))))
        drawn = cv2.applyColorMap((near * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        drawn[np.isnan(self.depth)] = 0
        return np.ascontiguousarray(drawn[..., ::-1])


class FrameSamples:
    """Keeps so many of the frames that it is shown, with the other image of the same moment."""

    def __init__(self, frames: int, wanted: int) -> None:
        """Plan for a bag with so many frames."""
        self.samples: list[Sample] = []
        last = max(0, frames - 1)
        self._wanted = {round(last * (i + 0.5) / wanted) for i in range(wanted)}
        self._seen = 0
        self._companion: Any = None

    def lead(self, message: Any, depth: bool) -> None:
        """Take the next frame of the leading topic."""
        index, self._seen = self._seen, self._seen + 1
        if index not in self._wanted:
            return
        sample = Sample(stamp_ns(message.header))
        if _add(sample, message, depth):
            self.samples.append(sample)
            if self._companion is not None:
                self.accompany(self._companion)

    def accompany(self, depth_message: Any) -> None:
        """Take a depth image of a bag that has colour, too."""
        self._companion = depth_message
        if self.samples and self.samples[-1].depth is None:
            skew = abs(stamp_ns(depth_message.header) - self.samples[-1].stamp_ns)
            if skew <= SAME_MOMENT_NS:
                _add(self.samples[-1], depth_message, depth=True)


def _add(sample: Sample, message: Any, depth: bool) -> bool:
    decode = DECODERS[depth, hasattr(message, 'format')]
    try:
        if depth:
            sample.depth = _small(decode(message), cv2.INTER_NEAREST)
        else:
            sample.rgb = _small(decode(message), cv2.INTER_AREA)
    except BadImage:
        return False
    return True


def _small(image: NDArray[Any], interpolation: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    # The copy outlives the message, whose buffer a raw image shares.
    return cv2.resize(image, size, interpolation=interpolation)
