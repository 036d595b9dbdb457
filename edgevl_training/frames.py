# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the pictures of a stored pair to the pixels that a robot's camera would have given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
from edgevl_ros.core.encodings import decode_compressed_color
from edgevl_ros.core.errors import BadImage
from edgevl_training.dataset import SecondModality
import numpy as np
from numpy.typing import NDArray


@dataclass
class _Payload:
    """What `decode_compressed_color` looks at."""

    data: Any
    format: str = ''  # noqa: A003


def color_of(data: Any) -> NDArray[np.uint8]:
    """
    Decode the column ``color``, JPEG or PNG in any buffer of bytes, to RGB, uint8 (H, W, 3).

    :raises BadImage: when it cannot be decoded.
    """
    return decode_compressed_color(_Payload(data))


def second_of(data: Any, modality: SecondModality) -> NDArray[np.float32]:
    """
    Decode the column ``depth``, 16-bit PNG, to float32 (H, W) with NaN where there is no reading.

    Depth is in metres, bit for bit as a robot reads the same counts; any other second modality
    runs from 0 to 1 at full scale.

    :raises BadImage: when it cannot be decoded.
    """
    try:
        counts = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise BadImage(f'OpenCV cannot decode it: {str(error).strip()[-200:]}') from error
    if counts is None or counts.dtype != np.uint16 or counts.ndim != 2:
        found = 'corrupt bytes' if counts is None else f'{counts.dtype} {counts.shape}'
        raise BadImage(f'expected a PNG with one channel of 16 bits, found {found}')
    # Divided, as millimetres are on the robot: 0.001 has no exact float.
    values = np.divide(counts, np.float32(1 / modality.scale), dtype=np.float32)
    for count in modality.missing:
        values[counts == count] = np.nan
    return values
