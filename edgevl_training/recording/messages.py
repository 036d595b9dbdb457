# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Topics and serialized messages as the recorder passes them on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
import struct
from typing import NamedTuple

NANOSECONDS = 1_000_000_000
# A representation identifier and options of two bytes each (OMG DDSI-RTPS 10.2), then the stamp,
# with which std_msgs/Header begins: sec int32, nanosec uint32.
_STAMP = {'big': struct.Struct('>iI'), 'little': struct.Struct('<iI')}
_ENCAPSULATION_BYTES = 4


class Role(str, Enum):
    """What a topic is to the recorder."""

    COLOR = 'color'
    DEPTH = 'depth'
    COLOR_INFO = 'color camera_info'
    DEPTH_INFO = 'depth camera_info'
    OTHER = 'other'

    @property
    def is_image(self) -> bool:
        """Tell whether this is a stream of images."""
        return self in (Role.COLOR, Role.DEPTH)

    @property
    def is_info(self) -> bool:
        """Tell whether this is the camera_info of a stream of images."""
        return self in (Role.COLOR_INFO, Role.DEPTH_INFO)


@dataclass(frozen=True)
class Topic:
    """
    A topic as the graph describes it.

    ``message_type`` reads like sensor_msgs/msg/Image. ``offered_qos`` are the profiles of its
    publishers as rosbag2 stores them in YAML. Of a ``latched`` topic late subscribers get the last
    messages too.
    """

    name: str
    message_type: str
    role: Role = Role.OTHER
    latched: bool = False
    offered_qos: str = ''
    type_hash: str = ''


class Message(NamedTuple):
    """
    A serialized message.

    ``log_ns`` is the system time of receipt; ``received_s`` the same on the monotonic clock, which
    never jumps.
    """

    topic: Topic
    log_ns: int
    received_s: float
    data: bytes


def header_stamp_ns(data: bytes) -> int | None:
    """Read the stamp of a serialized message that begins with a header; None if it has none."""
    if len(data) < _ENCAPSULATION_BYTES + 8:
        return None
    order = 'little' if data[1] & 1 else 'big'
    sec, nanosec = _STAMP[order].unpack_from(data, _ENCAPSULATION_BYTES)
    return sec * NANOSECONDS + nanosec
