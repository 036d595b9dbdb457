# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the readers of single bag files have in common, whatever the format."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
import time
from typing import NamedTuple, Protocol

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)

# No image is larger; a length beyond it is damage, and nothing of that size is ever allocated.
MAX_MESSAGE_BYTES = 256 << 20
MAX_CHUNK_BYTES = 512 << 20


class Lose(Protocol):
    """Told what is lost of a file."""

    def __call__(self, what: str, why: str, alike: str = '') -> None:
        """
        Take a loss.

        :param alike: what losses have in common of which the first is named and the others are
            counted; empty for one that is named by itself.
        """
        ...


@dataclass(frozen=True)
class Channel:
    """
    A topic as a file declares it; count is 0 where the file does not say.

    ``serialization`` is cdr (ROS 2) or ros1.
    """

    topic: str
    msgtype: str
    serialization: str
    count: int = 0


class RawMessage(NamedTuple):
    """A message as it lies in the bag, with the time of recording."""

    channel: Channel
    time_ns: int
    data: bytes


@dataclass
class Look:
    """
    What a glance at a file shows.

    ``firsts`` holds the first message of each image topic where it was found in time.
    ``start_ns`` is when the recording begins, ``counted`` whether the channels have counts.
    """

    channels: list[Channel] = field(default_factory=list)
    firsts: dict[str, RawMessage] = field(default_factory=dict)
    start_ns: int | None = None
    counted: bool = False


class Deadline:
    """A moment after which a glance has to end."""

    def __init__(self, seconds: float) -> None:
        """Set it some seconds from now."""
        self._at = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() > self._at


class StorageFile(Protocol):
    """
    One file of a bag.

    Nothing but OSError and SourceError (no room to unpack) leaves its methods; damage is told to
    ``lose``. ``position`` is how far the file has been read, in bytes of the file on disk.
    """

    path: Path
    position: int

    def look(self, deadline: Deadline) -> Look:
        """Glance at the file, through its index where it has one."""
        ...

    def messages(
        self, topics: Collection[str], lose: Lose, deadline: Deadline | None = None
    ) -> Iterator[RawMessage]:
        """Give the messages of some topics in the order of the file, reading it from the front."""
        ...

    def times(self, topics: Collection[str]) -> Iterator[tuple[str, int]]:
        """
        Give topic and time of messages in the order of the file, from its index.

        Gives nothing where there is no index, or where it shows at a glance that the order of the
        file is that of time.
        """
        ...

    def sparse(self, topics: Collection[str], deadline: Deadline) -> Iterator[RawMessage]:
        """
        Give the messages of rare topics in the order of the file, until the deadline.

        Goes through the index where there is one; what is damaged is passed over in silence.
        """
        ...


def normalized(msgtype: str) -> str:
    """Spell a type as ROS 2 does: sensor_msgs/Image is sensor_msgs/msg/Image."""
    package, slash, name = msgtype.partition('/')
    return f'{package}/msg/{name}' if slash and '/' not in name else msgtype


def ignore(what: str, why: str, alike: str = '') -> None:
    """Pass over damage in silence."""


def first_messages(
    file: StorageFile, channels: Collection[Channel], deadline: Deadline
) -> dict[str, RawMessage]:
    """Find the first message of each image topic."""
    firsts = {}
    for topic in {c.topic for c in channels if c.msgtype in IMAGE_TYPES}:
        first = next(iter(file.sparse({topic}, deadline)), None)
        if first is not None:
            firsts[topic] = first
    return firsts
