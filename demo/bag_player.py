# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag's images as real ROS messages: at their own pace, with their own stamps."""

from __future__ import annotations

import time
from typing import Any

from demo.messages import from_bag
from edgevl_training.bags import Topic
from edgevl_training.bags.storage import IMAGE
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

# Later than this, a pace waits no longer for the time lost to come back.
FORGIVEN_SECONDS = 0.1


class BagPlayer:
    """
    Publishers for the colour and the depth topic of a bag; either may be None.

    ``remappings`` and ``parameters`` are what the perception node needs to listen to them;
    ``frames`` counts the images of the leading topic so far.
    """

    def __init__(self, colour: Topic | None, depth: Topic | None) -> None:
        """Choose names and transports; `offer` makes the publishers."""
        self.remappings: dict[str, str] = {}
        self.parameters: dict[str, str] = {}
        self._colour = colour
        self._depth = depth
        self._publishers: dict[str, Any] = {}
        self.frames = 0
        if colour is not None:
            self._describe(colour, 'image', 'image_transport', 'compressed')
        if depth is not None:
            self._describe(depth, 'depth', 'depth_transport', 'compressedDepth')

    @property
    def leading(self) -> Topic:
        """Give the topic whose stamps the node answers with: colour where there is colour."""
        leading = self._colour or self._depth
        assert leading is not None
        return leading

    def offer(self, node: Node) -> None:
        """Make the publishers; reliable, so any subscriber can take them."""
        for topic, name, transport in (
            (self._colour, 'image', 'compressed'),
            (self._depth, 'depth', 'compressedDepth'),
        ):
            if topic is not None:
                base = self.remappings[name]
                raw = topic.msgtype == IMAGE
                self._publishers[topic.name] = node.create_publisher(
                    Image if raw else CompressedImage,
                    base if raw else f'{base}/{transport}',
                    QoSProfile(depth=5),
                )

    @property
    def heard(self) -> bool:
        """Whether somebody listens to the leading topic."""
        return self._publishers[self.leading.name].get_subscription_count() > 0

    def publish(self, topic: Topic, message: Any) -> None:
        """Publish an image that rosbags read, with its original header."""
        self.frames += topic is self.leading
        self._publishers[topic.name].publish(from_bag(message))

    def _describe(self, topic: Topic, name: str, parameter: str, transport: str) -> None:
        raw = topic.msgtype == IMAGE
        self.parameters[parameter] = 'raw' if raw else transport
        self.remappings[name] = topic.name if raw else topic.name.removesuffix(f'/{transport}')


class Pace:
    """Turns times of recording into times of publication; lost time shifts all that follows."""

    def __init__(self, rate: float) -> None:
        """Set how many times as fast as recorded to play."""
        self._rate = rate
        self._origin: tuple[float, int] | None = None

    def wait_seconds(self, time_ns: int) -> float:
        """Say how long it is until a message recorded then is due; 0 when it is due now."""
        now = time.monotonic()
        if self._origin is None:
            self._origin = now, time_ns
        started, first_ns = self._origin
        due = started + (time_ns - first_ns) / 1e9 / self._rate
        if now - due > FORGIVEN_SECONDS:
            self._origin = now, time_ns
        return max(0.0, due - now)
