# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random crops and flips, the same for both pictures of a pair."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class View:
    """A part of a picture, in shares of its width and height, perhaps mirrored."""

    left: float
    top: float
    width: float
    height: float
    mirrored: bool = False

    def of(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Cut the part out of pixels, two or three axes; at least one pixel is left."""
        rows, columns = picture.shape[:2]
        top, bottom = _pixels(self.top, self.height, rows)
        left, right = _pixels(self.left, self.width, columns)
        part = picture[top:bottom, left:right]
        return np.ascontiguousarray(part[:, ::-1]) if self.mirrored else part


WHOLE = View(0.0, 0.0, 1.0, 1.0)


def random_view(rng: np.random.Generator, smallest_area: float) -> View:
    """
    Choose a crop of random area and aspect (Szegedy et al., CVPR 2015), mirrored half the time.

    The aspect is relative to that of the picture.

    :param smallest_area: least share of the picture, above 0 and up to 1.
    """
    area = rng.uniform(smallest_area, 1.0)
    ratio = math.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
    # Where a side would be longer than the picture's, the other one keeps the area.
    ratio = min(max(ratio, area), 1 / area)
    width, height = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    left, top = rng.uniform(0.0, 1.0 - width), rng.uniform(0.0, 1.0 - height)
    return View(left, top, width, height, bool(rng.random() < 0.5))


def _pixels(start: float, share: float, size: int) -> tuple[int, int]:
    first = min(int(start * size), size - 1)
    return first, max(first + 1, round((start + share) * size))
