# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node answers: its scenes, stable label and latency, gathered as they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
import time

from demo.camera import ALL_PICTURES, PICTURE_TOPIC, START_TOPIC
from demo.errors import DemoError
from demo.messages import stamp_ns
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Empty, Header, String
from vision_msgs.msg import Classification, LabelInfo

NODE = '/edgevl_perception'
RATE_WINDOW = 20


@dataclass(frozen=True)
class Answer:
    """The node's answer to one frame: labels with probabilities, the best first."""

    stamp_ns: int
    labels: tuple[tuple[str, float], ...]
    latency_ms: float

    @property
    def best(self) -> str:
        """Give the most probable label, empty when the node gave none."""
        return self.labels[0][0] if self.labels else ''


class Viewer(Node):
    """
    Listens to the perception node.

    ``answers`` maps the stamp of a frame to the answer, ``pictures`` to the photograph's name.
    ``vocabulary`` is what the node says it is; empty until it has said so.
    """

    def __init__(self) -> None:
        """Subscribe; nothing arrives before `spin`."""
        super().__init__('demo_viewer')
        self.answers: dict[int, Answer] = {}
        self.pictures: dict[int, str] = {}
        self.newest: Answer | None = None
        self.stable_label = ''
        self.vocabulary: tuple[str, ...] = ()
        self._sent_ns: dict[int, int] = {}
        self._arrivals: deque[float] = deque(maxlen=RATE_WINDOW)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        many = QoSProfile(depth=100)
        self._scenes = self.create_subscription(
            Classification, f'{NODE}/scene', self._on_scene, many
        )
        self.create_subscription(String, f'{NODE}/label', self._on_label, latched)
        self.create_subscription(Header, PICTURE_TOPIC, self._on_picture, ALL_PICTURES)
        self._start = self.create_publisher(Empty, START_TOPIC, latched)
        # The last, see Watch.wait_until_active.
        self.create_subscription(LabelInfo, f'{NODE}/label_info', self._on_label_info, latched)
        self._set_parameters = self.create_client(SetParameters, f'{NODE}/set_parameters')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def close(self) -> None:
        """Leave ROS in order; an executor left to the garbage collector complains."""
        self._executor.shutdown(timeout_sec=0)
        self.destroy_node()

    def spin(self, seconds: float) -> None:
        """Take what arrives within so many seconds, at least what is already there."""
        until = time.monotonic() + seconds
        while True:
            self._executor.spin_once(max(0.0, until - time.monotonic()))
            if time.monotonic() >= until:
                return

    @property
    def rate(self) -> float:
        """Give the answers in a second, over the last few of them."""
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])

    @property
    def median_latency_ms(self) -> float:
        """Give the median time from a frame's stamp (or publication) to its answer."""
        return median(answer.latency_ms for answer in self.answers.values())

    @property
    def turns(self) -> list[str]:
        """Name the photographs in the order in which the camera showed them."""
        names = [name for _, name in sorted(self.pictures.items())]
        return [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]]

    def start_camera(self) -> None:
        """Tell the camera, which shows its first photograph, that it may go on to the others."""
        self._start.publish(Empty())

    def sent(self, stamp: int) -> None:
        """Note that a recorded frame is published now; its latency counts from here."""
        self._sent_ns[stamp] = time.time_ns()

    def picture_of(self, answer: Answer) -> str:
        """Name the photograph an answer is about; empty when it is not known."""
        return self.pictures.get(answer.stamp_ns, '')

    def set_vocabulary(self, labels: Sequence[str], timeout: float = 10.0) -> None:
        """
        Change the node's vocabulary through the ROS parameter service.

        :raises DemoError: when the node refuses, with its reason, or does not reply.
        """
        value = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY)
        value.string_array_value = list(labels)
        request = SetParameters.Request(parameters=[Parameter(name='vocabulary', value=value)])
        until = time.monotonic() + timeout
        while not self._set_parameters.service_is_ready() and time.monotonic() < until:
            self.spin(0.05)
        reply = self._set_parameters.call_async(request)
        while not reply.done() and time.monotonic() < until:
            self.spin(0.01)
        if not reply.done():
            raise DemoError(f'{NODE}/set_parameters gave no reply within {timeout:.0f} s')
        result = reply.result().results[0]
        if not result.successful:
            raise DemoError(f'the node refused the vocabulary: {result.reason}')

    def _on_scene(self, scene: Classification, info: dict[str, int]) -> None:
        stamp = stamp_ns(scene.header)
        # The node's own time of publication: the demo may be busy drawing when it arrives here.
        latency_ns = info['source_timestamp'] - self._sent_ns.pop(stamp, stamp)
        labels = tuple((x.class_id, float(x.score)) for x in scene.results)
        self.newest = self.answers[stamp] = Answer(stamp, labels, latency_ns / 1e6)
        self._arrivals.append(time.monotonic())

    def _on_label(self, message: String) -> None:
        self.stable_label = message.data

    def _on_label_info(self, message: LabelInfo) -> None:
        self.vocabulary = tuple(label.class_name for label in message.class_map)

    def _on_picture(self, message: Header) -> None:
        self.pictures[stamp_ns(message)] = message.frame_id
