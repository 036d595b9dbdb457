# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Quality of service: what to ask of publishers, and how rosbag2 writes down what they offer.

Profiles are rclpy's, whose enumerations have the integer values of rmw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from edgevl_training.recording.messages import NANOSECONDS, Role, Topic
import yaml

RELIABLE, TRANSIENT_LOCAL = 1, 1


class Request(NamedTuple):
    """What a subscription asks for, so that it hears every publisher of a topic."""

    reliable: bool
    transient_local: bool

    def __str__(self) -> str:
        """Say it in words."""
        reliability = 'reliable' if self.reliable else 'best effort'
        return f'{reliability}, {"latched" if self.transient_local else "volatile"}'


def describe(name: str, message_type: str, role: Role, publishers: Sequence[Any]) -> Topic:
    """Describe a topic by what rclpy knows of its publishers."""
    profiles = [publisher.qos_profile for publisher in publishers]
    # Since Iron.
    type_hash = getattr(publishers[0], 'topic_type_hash', None)
    return Topic(
        name, message_type, role, request_for(profiles).transient_local, offered_qos(profiles),
        str(type_hash) if type_hash else '',
    )


def request_for(profiles: Sequence[Any]) -> Request:
    """Ask for the most that all publishers offer: one that offers less would not be heard."""
    return Request(
        reliable=all(int(p.reliability) == RELIABLE for p in profiles),
        transient_local=all(int(p.durability) == TRANSIENT_LOCAL for p in profiles),
    )


def offered_qos(profiles: Sequence[Any]) -> str:
    """Write profiles as rosbag2 does up to metadata version 8, which later versions read too."""
    return yaml.safe_dump([_fields(p) for p in profiles], sort_keys=False).strip()


def _fields(profile: Any) -> dict[str, Any]:
    return {
        'history': int(profile.history),
        'depth': int(profile.depth),
        'reliability': int(profile.reliability),
        'durability': int(profile.durability),
        'deadline': _duration(profile.deadline),
        'lifespan': _duration(profile.lifespan),
        'liveliness': int(profile.liveliness),
        'liveliness_lease_duration': _duration(profile.liveliness_lease_duration),
        'avoid_ros_namespace_conventions': bool(profile.avoid_ros_namespace_conventions),
    }


def _duration(duration: Any) -> dict[str, int]:
    sec, nsec = divmod(int(duration.nanoseconds), NANOSECONDS)
    return {'sec': sec, 'nsec': nsec}
