# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rival: the same student, run inside the subscription callback, as tutorials do it."""

import sys

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.frame import Frame
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings
from edgevl_ros.nodes import messages
import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification

rclpy.init()
node = rclpy.create_node('edgevl_perception')
bundle = Bundle.open(sys.argv[1])
perception = Perception(bundle, open_backend('auto', bundle, threads=2), Settings())
publisher = node.create_publisher(Classification, '~/scene', 10)


def on_image(message: Image) -> None:
    """Decode, infer and publish while the executor waits."""
    frame = Frame(messages.stamp_ns(message.header), '', messages.decode_rgb(message))
    publisher.publish(messages.classification(perception.perceive(frame), message.header))


node.create_subscription(Image, 'image', on_image, 10)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    rclpy.try_shutdown()
