# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Subscribe to a camera pair and hand over its newest frame, undecoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
import time
from typing import Any

from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.mailbox import Mailbox
from edgevl_ros.core.pairing import Pair, Pairing, PairingCounts
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings
from edgevl_ros.nodes import messages
from edgevl_ros.nodes.messages import CameraMessage
from edgevl_ros.nodes.statistics import SILENCE_S, Statistics
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

CameraPair = Pair[CameraMessage, CameraMessage]
ReportBad = Callable[[Modality, str], None]

NANOSECONDS = 1_000_000_000
ABSENCE_S = 1.0
LOG_PERIOD_S = 5.0
SHORTEST_WAIT_NS = 1_000_000


@dataclass(frozen=True)
class Stream:
    """One subscribed topic: what it carries, its resolved name and its message type."""

    modality: Modality
    topic: str
    message_type: type


class CameraInput:
    """
    The subscriptions of an active node.

    Callbacks check an undecoded message, pair it and put the newest frame into a mailbox; they
    never decode and never wait. All of it runs on the executor's thread.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        perception: Perception,
        mailbox: Mailbox[CameraPair],
        statistics: Statistics,
        report_bad: ReportBad,
    ) -> None:
        """
        Subscribe to both streams of the camera; what fails leaves nothing behind.

        :param report_bad: called with the modality and the reason for each image refused.
        """
        self._node = node
        self._perception = perception
        self._mailbox = mailbox
        self._statistics = statistics
        self._report_bad = report_bad
        self._pairing: Pairing[CameraMessage, CameraMessage] = Pairing(
            tolerance_ns=round(settings.pairing_tolerance * NANOSECONDS),
            timeout_ns=round(settings.pairing_timeout * NANOSECONDS),
            absence_ns=round(ABSENCE_S * NANOSECONDS),
        )
        self._newest = (0, -1)
        self._incompatible_qos: dict[Stream, str] = {}
        self.streams = (color_stream(node, settings), depth_stream(node, settings))
        with ExitStack() as entities:
            for stream in self.streams:
                entities.callback(node.destroy_subscription, self._subscribe(stream))
            # The node's clock stands still in a paused simulation; waiting images must not.
            self._timer = node.create_timer(
                ABSENCE_S, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
            self._timer.cancel()
            entities.callback(node.destroy_timer, self._timer)
            self._entities = entities.pop_all()

    @property
    def counts(self) -> PairingCounts:
        """Tell what became of every message that was paired."""
        return self._pairing.counts

    def incompatible_qos_of_silent_topics(self) -> dict[str, str]:
        """Name the policy that keeps images from coming, for topics where none come."""
        return {
            stream.topic: policy
            for stream, policy in self._incompatible_qos.items()
            if not self._statistics.heard_within(stream.modality, SILENCE_S)
        }

    def explain_silence(self) -> str:
        """Say for each topic what keeps images from coming, with the remedy."""
        return '; '.join(self._explain_silence_of(stream) for stream in self.streams)

    def close(self) -> None:
        """End the subscriptions; messages that wait are let go."""
        self._entities.close()

    def _explain_silence_of(self, stream: Stream) -> str:
        publishers = self._node.get_publishers_info_by_topic(stream.topic)
        if not publishers:
            return f'no image on {stream.topic}: nobody publishes it; check the remapping'
        expected = f'sensor_msgs/msg/{stream.message_type.__name__}'
        found = sorted({publisher.topic_type for publisher in publishers})
        if expected not in found:
            return (
                f'no image on {stream.topic}: expected {expected}, found {", ".join(found)}; '
                'set image_transport or depth_transport to what the camera publishes'
            )
        return f'no image on {stream.topic}: its publisher is silent'

    def _subscribe(self, stream: Stream) -> Any:
        def on_message(message: CameraMessage) -> None:
            self._on_message(stream.modality, message)

        def on_incompatible_qos(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._incompatible_qos[stream] = policy
            self._node.get_logger().warning(
                f'{stream.topic}: a publisher offers incompatible QoS (policy {policy}), so '
                f'nothing is received from it; set qos_overrides.{stream.topic}.subscription.'
                f'{policy.lower()} to what it offers',
                throttle_duration_sec=LOG_PERIOD_S,
            )

        return self._node.create_subscription(
            stream.message_type,
            stream.topic,
            on_message,
            # rclpy writes overrides into the profile it is given, and this one is everybody's.
            copy(qos_profile_sensor_data),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_incompatible_qos),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _on_message(self, modality: Modality, message: CameraMessage) -> None:
        self._statistics.received(modality)
        try:
            messages.check(message, modality)
        except BadImage as error:
            self._report_bad(modality, str(error))
            return
        add = self._pairing.add_color if modality is Modality.RGB else self._pairing.add_depth
        self._hand_over(add(messages.stamp_ns(message.header), message, time.monotonic_ns()))

    def _poll(self) -> None:
        self._hand_over(self._pairing.poll(time.monotonic_ns()))

    def _hand_over(self, pairs: list[CameraPair]) -> None:
        """Put what is newer than all before it; a lone image that waited may not be."""
        for pair in pairs:
            age = (pair.timeline, pair.stamp_ns)
            if age <= self._newest:
                self._statistics.outdated()
            elif self._is_spare(pair):
                self._statistics.spare()
            else:
                self._newest = age
                self._mailbox.put(pair)
        self._set_timer()

    def _is_spare(self, pair: CameraPair) -> bool:
        """
        Tell whether an image that came alone is not needed, because its partner stream lives.

        A depth image that misses its colour by some milliseconds must not be labelled alone
        between colour frames, if the bundle gives depth no weight beside colour.
        """
        if pair.color is not None and pair.depth is not None:
            return False
        own, other = Modality.RGB, Modality.DEPTH
        if pair.color is None:
            own, other = other, own
        if self._perception.weight(own) > 0 or not self._perception.looks_at(other):
            return False
        return self._statistics.heard_within(other, ABSENCE_S)

    def _set_timer(self) -> None:
        """Wake up when the next lone image has waited long enough, and not before."""
        deadline_ns = self._pairing.next_deadline_ns()
        if deadline_ns is None:
            self._timer.cancel()
            return
        wait_ns = max(SHORTEST_WAIT_NS, deadline_ns - time.monotonic_ns())
        self._timer.timer_period_ns = wait_ns
        self._timer.reset()


def color_stream(node: Node, settings: Settings) -> Stream:
    """Resolve the colour topic under the node's remappings and the chosen transport."""
    base = node.resolve_topic_name('image')
    if settings.image_transport == 'raw':
        return Stream(Modality.RGB, base, Image)
    return Stream(Modality.RGB, _with_suffix(base, '/compressed'), CompressedImage)


def depth_stream(node: Node, settings: Settings) -> Stream:
    """Resolve the depth topic under the node's remappings and the chosen transport."""
    base = node.resolve_topic_name('depth')
    if settings.depth_transport == 'raw':
        return Stream(Modality.DEPTH, base, Image)
    return Stream(Modality.DEPTH, _with_suffix(base, '/compressedDepth'), CompressedImage)


def _with_suffix(topic: str, suffix: str) -> str:
    # image_transport names the base topic; people also give the full name.
    return topic if topic.endswith(suffix) else topic + suffix
