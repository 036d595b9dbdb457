# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages for rclpy, made from arrays or from what rosbags read."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

NANOSECONDS = 1_000_000_000


def stamp_ns(header: Any) -> int:
    """Read a header's stamp in nanoseconds; the header may be of rclpy or of rosbags."""
    return int(header.stamp.sec) * NANOSECONDS + int(header.stamp.nanosec)


def make_header(stamp: int, frame_id: str) -> Header:
    """Make a header from a stamp in nanoseconds."""
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, NANOSECONDS)
    return header


def make_image(header: Header, encoding: str, pixels: NDArray[np.generic]) -> Image:
    """Make a raw image from pixels of shape (H, W) or (H, W, channels) in this encoding."""
    pixels = np.ascontiguousarray(pixels)
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(not np.little_endian),
        step=pixels.strides[0],
        data=array('B', pixels.tobytes()),
    )


def from_bag(message: Any) -> Image | CompressedImage:
    """Copy an image that rosbags read, field by field; the header keeps its stamp and frame."""
    header = make_header(stamp_ns(message.header), message.header.frame_id)
    data = array('B', message.data.tobytes())
    if hasattr(message, 'format'):
        return CompressedImage(header=header, format=message.format, data=data)
    return Image(
        header=header,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        is_bigendian=message.is_bigendian,
        step=message.step,
        data=data,
    )
