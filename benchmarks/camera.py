# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera for benchmarks: 640x480 colour and depth, raw, at a steady rate."""

from __future__ import annotations

import argparse
from array import array
import time

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image

WIDTH, HEIGHT = 640, 480
PICTURES = 8


def pictures() -> list[tuple[Image, Image]]:
    """Make a few colour and depth messages of noise, which no codec or cache makes cheaper."""
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(PICTURES):
        rgb = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        depth = random.integers(400, 8000, (HEIGHT, WIDTH), dtype=np.uint16)
        pairs.append((_image('rgb8', 3 * WIDTH, rgb), _image('16UC1', 2 * WIDTH, depth)))
    return pairs


def publish(node: Node, rate: float, frames: int) -> None:
    """Publish stamped pairs; one that would be late is published at once, none is skipped."""
    color = node.create_publisher(Image, 'image', 10)
    depth = node.create_publisher(Image, 'depth', 10)
    pairs = pictures()
    started = time.monotonic()
    for frame in range(frames):
        rgb_message, depth_message = pairs[frame % PICTURES]
        stamp = node.get_clock().now().to_msg()
        rgb_message.header.stamp = depth_message.header.stamp = stamp
        color.publish(rgb_message)
        depth.publish(depth_message)
        time.sleep(max(0.0, started + (frame + 1) / rate - time.monotonic()))


def _image(encoding: str, step: int, pixels: np.ndarray) -> Image:
    message = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=step)
    message.data = array('B', pixels.tobytes())
    return message


def main() -> None:
    """Publish until the frames are out or somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rate', type=float, default=30.0, help='pairs in a second')
    parser.add_argument('--frames', type=int, default=300, help='pairs in all')
    arguments = parser.parse_args()
    rclpy.init()
    try:
        publish(Node('camera'), arguments.rate, arguments.frames)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
