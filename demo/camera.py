# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera process: publishes the photographs as an RGB-D camera would, then ends."""

from __future__ import annotations

import argparse
import time

from demo.messages import make_header, make_image
from demo.photographs import load_photographs, Photograph
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Empty, Header

COLOUR_TOPIC = '/camera/color/image_raw'
DEPTH_TOPIC = '/camera/aligned_depth_to_color/image_raw'
# Names the photograph of every stamp, so that a viewer knows what an answer is about.
PICTURE_TOPIC = '/demo/picture'
# Until this is heard the first photograph is shown.
START_TOPIC = '/demo/start'
OPTICAL_FRAME = 'camera_color_optical_frame'
PASSES = 2
LATCHED = DurabilityPolicy.TRANSIENT_LOCAL
ALL_PICTURES = QoSProfile(depth=1000, durability=LATCHED)


class Camera(Node):
    """Publishes colour, depth where a photograph has it, and the photograph's name."""

    def __init__(self) -> None:
        """Offer the topics; reliable, so any subscriber can take them."""
        super().__init__('demo_camera')
        qos = QoSProfile(depth=5)
        self._colour = self.create_publisher(Image, COLOUR_TOPIC, qos)
        self._depth = self.create_publisher(Image, DEPTH_TOPIC, qos)
        self._picture = self.create_publisher(Header, PICTURE_TOPIC, ALL_PICTURES)
        self.started = False
        self.create_subscription(
            Empty, START_TOPIC, self._on_start, QoSProfile(depth=1, durability=LATCHED)
        )

    def show(self, photograph: Photograph) -> None:
        """Publish one photograph, stamped now."""
        header = make_header(self.get_clock().now().nanoseconds, OPTICAL_FRAME)
        self._picture.publish(Header(stamp=header.stamp, frame_id=photograph.name))
        self._colour.publish(make_image(header, 'rgb8', photograph.rgb))
        if photograph.depth_mm is not None:
            self._depth.publish(make_image(header, '16UC1', photograph.depth_mm))

    def _on_start(self, _: Empty) -> None:
        self.started = True


def run(seconds: float, rate: float) -> None:
    """Wait for the start, then show every photograph in turn, twice, in so many seconds."""
    camera = Camera()
    photographs = load_photographs()
    due = time.monotonic()
    while not camera.started:
        due = _show_until_next(camera, photographs[0], due, 1 / rate)
    started = time.monotonic()
    turns = PASSES * len(photographs)
    while (elapsed := time.monotonic() - started) < seconds:
        photograph = photographs[int(elapsed / seconds * turns) % len(photographs)]
        due = _show_until_next(camera, photograph, due, 1 / rate)


def _show_until_next(
    camera: Camera, photograph: Photograph, due: float, period: float
) -> float:
    """Show a photograph and wait until the next is due; return when that is."""
    camera.show(photograph)
    # A camera that was held up leaves frames out; it does not send them all at once.
    due = max(due + period, time.monotonic())
    while (wait := due - time.monotonic()) > 0:
        rclpy.spin_once(camera, timeout_sec=wait)
    return due


def main() -> None:
    """Run the camera from the command line."""
    parser = argparse.ArgumentParser(prog='demo.camera', description=__doc__)
    parser.add_argument('--seconds', type=float, default=20.0, help='how long to publish')
    parser.add_argument('--rate', type=float, default=10.0, help='frames in a second')
    options = parser.parse_args()
    rclpy.init()
    try:
        run(options.seconds, options.rate)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
