# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A perception node in its own process, and a client that talks to it over DDS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from edgevl_ros.core import encodings
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String
from vision_msgs.msg import Classification, LabelInfo

PATIENCE_S = 30.0
PROGRAM = ('-m', 'edgevl_ros.nodes.perception_node')
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CONFIGURE = Transition.TRANSITION_CONFIGURE
CLEANUP = Transition.TRANSITION_CLEANUP
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE


class PerceptionProcess:
    """`perception_node` as a user starts it, with its output kept in a file."""

    def __init__(
        self, log: Path, domain_id: int, *arguments: str, program: Sequence[str] = PROGRAM
    ) -> None:
        """Start the process with these arguments after ``--ros-args``."""
        self.log = log
        command = [sys.executable, *program, '--ros-args']
        environment = {
            **os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'PYTHONUNBUFFERED': '1',
            # Engines of test bundles would drive the user's own out of the cache.
            'XDG_CACHE_HOME': str(log.parent / 'cache'),
        }
        with log.open('w') as output:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=output, stderr=output, env=environment
            )

    @property
    def output(self) -> str:
        """Everything the process has printed so far."""
        return self.log.read_text()

    def interrupt(self) -> tuple[int, float]:
        """Press Ctrl-C; give the exit status and the seconds until the end."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(PATIENCE_S)
        return status, time.monotonic() - started

    def stop(self) -> None:
        """End the process; a killed one would leave its shared memory behind."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Client:
    """A camera and a user: publishes images, keeps answers, calls services."""

    def __init__(self, domain_id: int, node_name: str = '/edgevl_perception') -> None:
        """Join the domain and listen to everything the node publishes."""
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = Node('client', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.name = node_name
        self.scenes: list[Classification] = []
        self.labels: list[str] = []
        self.label_infos: list[list[str]] = []
        self.overlays: list[Image] = []
        self.statuses: list[Any] = []
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._listen(Classification, '~/scene', self.scenes.append, 100)
        self._listen(String, '~/label', lambda m: self.labels.append(m.data), LATCHED)
        self._listen(
            LabelInfo,
            '~/label_info',
            lambda m: self.label_infos.append([c.class_name for c in m.class_map]),
            LATCHED,
        )
        self._listen(DiagnosticArray, '/diagnostics', lambda m: self.statuses.extend(m.status), 10)

    def close(self) -> None:
        """Leave the domain."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def listen_to_overlay(self) -> None:
        """Subscribe to the overlay, which is drawn only then."""
        self._listen(Image, '~/overlay', self.overlays.append, 1)

    def spin_until(self, done: Callable[[], Any], what: str) -> Any:
        """Work off messages until something holds; fail with its name if it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := done()):
            assert time.monotonic() < deadline, f'waited {PATIENCE_S} s in vain for {what}'
            self.executor.spin_once(timeout_sec=0.05)
        return answer

    def spin_for(self, seconds: float) -> None:
        """Work off messages for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def publish(self, topic: str, message: Any, wait: bool = True) -> None:
        """Publish a message, once a subscriber is there."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, 10)
        publisher = self._publishers[topic]
        if wait:
            self.spin_until(publisher.get_subscription_count, f'a subscriber of {topic}')
        publisher.publish(message)

    def label_of(self, topic: str, message: Any) -> Classification:
        """
        Publish an image and give its scene.

        Sensor QoS may lose an image under load, and a stamp that came before is dropped, so each
        new try is a nanosecond later; the message keeps the stamp that was answered.
        """
        # Latched by an active node, it proves that discovery is over.
        self.spin_until(lambda: self.label_infos, 'the vocabulary of an active node')
        for _ in range(10):
            self.publish(topic, message)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                for scene in self.scenes:
                    if scene.header.stamp == message.header.stamp:
                        return scene
                self.executor.spin_once(timeout_sec=0.05)
            message.header.stamp.nanosec += 1
        raise AssertionError(f'no label came for the image at {message.header.stamp}')

    def diagnostic(self, accept: Callable[[Any], bool], what: str) -> Any:
        """Wait for a fresh diagnostic status that is accepted."""
        del self.statuses[:]
        return self.spin_until(lambda: next(filter(accept, self.statuses), None), what)

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """Call a service of the node."""
        name = f'{self.name}/{service}'
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.spin_until(client.service_is_ready, f'service {name}')
        future = client.call_async(request)
        return self.spin_until(lambda: future.done() and future.result(), f'an answer of {name}')

    def set_parameter(self, name: str, value: Any) -> Any:
        """Set one parameter as `ros2 param set` does."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call(SetParameters, 'set_parameters', request).results[0]

    def parameter(self, name: str) -> Any:
        """Get the value of one parameter."""
        answer = self.call(GetParameters, 'get_parameters', GetParameters.Request(names=[name]))
        return rclpy.parameter.parameter_value_to_python(answer.values[0])

    def describe(self, name: str) -> Any:
        """Get the descriptor of one parameter."""
        request = DescribeParameters.Request(names=[name])
        return self.call(DescribeParameters, 'describe_parameters', request).descriptors[0]

    def state(self) -> str:
        """Get the lifecycle state."""
        return self.call(GetState, 'get_state', GetState.Request()).current_state.label

    def change_state(self, transition: int) -> bool:
        """Ask for a lifecycle transition."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'change_state', request).success

    def wait_until_active(self) -> None:
        """Wait for autostart to have done its work."""
        self.spin_until(lambda: self.state() == 'active', 'the node to be active')

    def _listen(self, kind: Any, topic: str, callback: Any, qos: Any) -> None:
        name = topic.replace('~', self.name)
        self.node.create_subscription(kind, name, callback, qos)


def header(stamp_ns: int, frame_id: str = 'camera_color_optical_frame') -> Header:
    """Make a header."""
    message = Header(frame_id=frame_id)
    message.stamp.sec, message.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return message


def rgb8(rgb: np.ndarray, stamp_ns: int) -> Image:
    """Make a raw colour message."""
    return _image(encodings.encode_color(rgb), stamp_ns)


def depth16(metres: np.ndarray, stamp_ns: int) -> Image:
    """Make a raw depth message in millimetres."""
    return _image(encodings.encode_depth(metres), stamp_ns)


def compressed(data: bytes, layout: str, stamp_ns: int) -> CompressedImage:
    """Make a compressed message."""
    message = CompressedImage(header=header(stamp_ns), format=layout)
    message.data.frombytes(data)
    return message


def _image(encoded: encodings.EncodedImage, stamp_ns: int) -> Image:
    return Image(
        header=header(stamp_ns), height=encoded.height, width=encoded.width,
        encoding=encoded.encoding, step=encoded.step, data=encoded.data,
    )
