# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ``edgevl extract`` is compared with: read a bag with rosbags, decode it with OpenCV."""

from __future__ import annotations

from pathlib import Path
import sys

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.image import message_to_cvimage

DEPTH_HEADER_BYTES = 12


def main() -> None:
    """Decode every image of a bag, and keep nothing."""
    cv2.setNumThreads(1)
    images = 0
    with AnyReader([Path(sys.argv[1])]) as reader:
        connections = [c for c in reader.connections if c.msgtype.endswith('Image')]
        for connection, _, raw in reader.messages(connections):
            message = reader.deserialize(raw, connection.msgtype)
            if connection.msgtype.endswith('/Image'):
                pixels = message_to_cvimage(message)
            elif 'compressedDepth' in message.format:
                pixels = cv2.imdecode(message.data[DEPTH_HEADER_BYTES:], cv2.IMREAD_UNCHANGED)
            else:
                pixels = cv2.imdecode(message.data, cv2.IMREAD_COLOR)
            assert isinstance(pixels, np.ndarray)
            images += 1
    print(images)


if __name__ == '__main__':
    main()
