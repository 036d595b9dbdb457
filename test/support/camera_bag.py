# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of one camera, made for a test: any order, stamps, frames and damage."""
from __future__ import annotations

from pathlib import Path
import struct
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

COLOR = '/camera/color/image_raw/compressed'
DEPTH = '/camera/aligned_depth_to_color/image_raw/compressedDepth'
RAW_COLOR = '/camera/color/image_raw'
RAW_DEPTH = '/camera/aligned_depth_to_color/image_raw'
FRAME = 'camera_color_optical_frame'
PERIOD_NS = 100_000_000
SKEW_NS = 3_000_000
START_NS = 1_700_000_000_000_000_000

_STORE = get_typestore(Stores.ROS2_JAZZY)
_TYPES = _STORE.types


def picture(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Paint a colour picture of rectangles that no other seed paints: uint8 RGB."""
    random = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), random.integers(0, 255, 3), np.uint8)
    for _ in range(12):
        x, y = random.integers(0, width), random.integers(0, height)
        rgb[y:y + height // 3, x:x + width // 3] = random.integers(0, 255, 3)
    return rgb


def millimetres(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Make depth in which a tenth of the rows has no reading: uint16."""
    depth = np.random.default_rng(seed).integers(500, 5000, (height, width)).astype(np.uint16)
    depth[:height // 10] = 0
    return depth


def jpeg(rgb: np.ndarray) -> bytes:
    """Encode RGB as JPEG."""
    return cv2.imencode('.jpg', rgb[..., ::-1])[1].tobytes()


def png(image: np.ndarray) -> bytes:
    """Encode as PNG."""
    return cv2.imencode('.png', image)[1].tobytes()


class CameraBag:
    """A bag that is being written; a ``with`` closes it."""

    def __init__(self, path: Path, storage: StoragePlugin = StoragePlugin.MCAP) -> None:
        """Name the folder of the bag."""
        self.path = path
        self._writer = Writer(path, version=9, storage_plugin=storage)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> CameraBag:
        """Open the bag."""
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self._writer.close()

    def pair(self, number: int, depth_frame: str = FRAME, depth: np.ndarray | None = None) -> None:
        """Add colour and depth, a period after the pair before."""
        stamp_ns = START_NS + number * PERIOD_NS
        self.color(jpeg(picture(number)), stamp_ns)
        self.depth(
            png(millimetres(number) if depth is None else depth), stamp_ns + SKEW_NS,
            frame=depth_frame,
        )

    def color(self, data: bytes, stamp_ns: int, time_ns: int | None = None) -> None:
        """Add a compressed colour image."""
        self._compressed(COLOR, 'rgb8; jpeg compressed bgr8', data, stamp_ns, time_ns, FRAME)

    def depth(
        self, data: bytes, stamp_ns: int, time_ns: int | None = None, frame: str = FRAME
    ) -> None:
        """Add a compressed depth image."""
        header = struct.pack('<iff', 0, 0.0, 0.0)
        self._compressed(
            DEPTH, '16UC1; compressedDepth png', header + data, stamp_ns, time_ns, frame
        )

    def raw(self, topic: str, pixels: np.ndarray, encoding: str, stamp_ns: int) -> None:
        """Add a raw image."""
        message = _TYPES['sensor_msgs/msg/Image'](
            header=_header(stamp_ns, FRAME), height=pixels.shape[0], width=pixels.shape[1],
            encoding=encoding, is_bigendian=0, step=pixels.nbytes // max(1, pixels.shape[0]),
            data=np.frombuffer(pixels.tobytes(), np.uint8),
        )
        self._write(topic, message, stamp_ns)

    def static_transform(self, parent: str, child: str, x: float) -> None:
        """Add a frame that lies ``x`` metres along the axis of another."""
        geometry = 'geometry_msgs/msg/'
        transform = _TYPES[f'{geometry}TransformStamped'](
            header=_header(START_NS, parent), child_frame_id=child,
            transform=_TYPES[f'{geometry}Transform'](
                translation=_TYPES[f'{geometry}Vector3'](x=x, y=0.0, z=0.0),
                rotation=_TYPES[f'{geometry}Quaternion'](x=0.0, y=0.0, z=0.0, w=1.0),
            ),
        )
        message = _TYPES['tf2_msgs/msg/TFMessage'](transforms=[transform])
        self._write('/tf_static', message, START_NS)

    def _compressed(
        self, topic: str, kind: str, data: bytes, stamp_ns: int, time_ns: int | None, frame: str
    ) -> None:
        message = _TYPES['sensor_msgs/msg/CompressedImage'](
            header=_header(stamp_ns, frame), format=kind, data=np.frombuffer(data, np.uint8)
        )
        self._write(topic, message, stamp_ns if time_ns is None else time_ns)

    def _write(self, topic: str, message: Any, time_ns: int) -> None:
        kind = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=_STORE)
        self._writer.write(
            self._connections[topic], time_ns, _STORE.serialize_cdr(message, kind)
        )


def write_pairs(path: Path, count: int, first: int = 0) -> Path:
    """Write a bag of some pairs."""
    with CameraBag(path) as bag:
        for number in range(first, first + count):
            bag.pair(number)
    return path


def _header(stamp_ns: int, frame: str) -> Any:
    stamp = _TYPES['builtin_interfaces/msg/Time'](
        sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000
    )
    return _TYPES['std_msgs/msg/Header'](stamp=stamp, frame_id=frame)
