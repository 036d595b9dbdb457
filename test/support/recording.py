# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Serialized messages and recipes for tests of the recorder, and bags read back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import errno
import json
import os
from pathlib import Path
import resource
import struct
import time
from unittest.mock import patch

from edgevl_training.recording.messages import Message, NANOSECONDS, Role, Topic
from edgevl_training.recording.recipe import RecordRecipe
from rosbags.rosbag2 import Reader

QOS = (
    '- history: 3\n  depth: 0\n  reliability: 2\n  durability: 2\n'
    '  deadline: {sec: 9223372036, nsec: 854775807}\n'
    '  lifespan: {sec: 9223372036, nsec: 854775807}\n  liveliness: 1\n'
    '  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}\n'
    '  avoid_ros_namespace_conventions: false'
)
COLOR = Topic('/color', 'sensor_msgs/msg/Image', Role.COLOR, offered_qos=QOS)
DEPTH = Topic('/depth', 'sensor_msgs/msg/Image', Role.DEPTH, offered_qos=QOS)
INFO = Topic('/camera_info', 'sensor_msgs/msg/CameraInfo', Role.COLOR_INFO, offered_qos=QOS)
LATCHED = Topic('/tf_static', 'std_msgs/msg/String', latched=True, offered_qos=QOS)
OTHER = Topic('/odom', 'std_msgs/msg/String', offered_qos=QOS)


def message(
    topic: Topic, stamp_s: float = 0.0, received_s: float | None = None, size: int = 0
) -> Message:
    """Make a message of some size with a header stamp, received at the same or another time."""
    received_s = stamp_s if received_s is None else received_s
    sec, nanosec = divmod(round(stamp_s * NANOSECONDS), NANOSECONDS)
    data = b'\x00\x01\x00\x00' + struct.pack('<iI', sec, nanosec) + bytes(size)
    return Message(topic, round(received_s * NANOSECONDS) + 10**18, received_s, data)


def recipe(out: Path, **options: object) -> RecordRecipe:
    """Make a recipe that no disk is too small for."""
    return RecordRecipe.model_validate({'out': out, 'min_free_gb': 0, **options})


def only_bag(out: Path) -> Path:
    """Give the one bag in a folder."""
    (bag,) = [path for path in out.iterdir() if path.is_dir()]
    return bag


def read(bag: Path) -> list[tuple[str, int, bytes]]:
    """Read a bag as rosbags does by its metadata.yaml: topic, log time and bytes of everything."""
    with Reader(bag) as reader:
        return [(c.topic, log_ns, data) for c, log_ns, data in reader.messages()]


def notes(bag: Path) -> dict:
    """Read recording.json."""
    return json.loads((bag / 'recording.json').read_text())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the operating system refuse to let files grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Have the operating system refuse files beyond a size, and say that the disk is full."""
    pwrite = os.pwrite

    def write(descriptor: int, data: bytes, offset: int) -> int:
        try:
            return pwrite(descriptor, data, offset)
        except OSError as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error

    with largest_file(size), patch('os.pwrite', write):
        yield


class KeptLog:
    """A logger that remembers what it was told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.infos: list[str] = []
        self.errors: list[str] = []

    def info(self, message: str, /) -> None:
        """Remember good news."""
        self.infos.append(message)

    def error(self, message: str, /) -> None:
        """Remember bad news."""
        self.errors.append(message)


def wait_until(done, what: str, patience_s: float = 10.0) -> None:
    """Wait for threads to do something; fail with its name if they never do."""
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, f'waited {patience_s} s in vain for {what}'
        time.sleep(0.01)
