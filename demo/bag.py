# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A rosbag's image topics and messages, whatever its format: rosbag2 or ROS 1, without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.errors import DemoError
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_typestore, Stores

RAW = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'


class DamagedBag(DemoError):
    """A bag cannot be read from here on."""


@dataclass(frozen=True)
class ImageTopic:
    """
    An image topic of a bag.

    ``encoding`` is the encoding of its first raw image or the format of its first compressed
    one, as the message spells it; empty when no message could be read.
    """

    name: str
    msgtype: str
    count: int
    encoding: str

    def __str__(self) -> str:
        """Describe the topic in one line."""
        return f'{self.name} ({self.msgtype}, {self.encoding or "unreadable"}, {self.count})'


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """
    Open a rosbag2 folder or file, or a ROS 1 ``.bag``, for the time of the context.

    :raises DemoError: when there is none, `DamagedBag` when it cannot be opened.
    """
    reader = None
    try:
        reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
        reader.open()
    except FileNotFoundError as error:
        raise DemoError(
            f'no rosbag at {path}: expected a rosbag2 folder with its metadata.yaml, an .mcap or '
            f'.db3 file, or a ROS 1 .bag file ({error})'
        ) from error
    except Exception as error:  # A damaged file can make any of its readers raise anything.
        raise DamagedBag(
            f'cannot open the bag {path}: {str(error).rstrip(".")}; a recording that was cut off '
            "can often be mended: 'mcap recover' for .mcap, 'ros2 bag reindex' for a folder "
            "without metadata, 'rosbag reindex' for ROS 1"
        ) from error
    try:
        yield reader
    finally:
        reader.close()


def image_topics(reader: AnyReader) -> list[ImageTopic]:
    """List the topics that carry images, raw or compressed, with what their first one is."""
    topics = []
    for name, info in reader.topics.items():
        if info.msgtype in (RAW, COMPRESSED) and info.msgcount:
            topics.append(ImageTopic(name, info.msgtype, info.msgcount, _encoding(reader, name)))
    return topics


def describe_topics(reader: AnyReader) -> str:
    """List every topic of the bag with its type, one a line."""
    return '\n'.join(
        f'  {name}  {info.msgtype or "several types"}  {info.msgcount} messages'
        for name, info in reader.topics.items()
    )


def read_images(
    reader: AnyReader, topics: Sequence[ImageTopic]
) -> Iterator[tuple[ImageTopic, int, Any]]:
    """
    Read the images of some topics in the order of recording.

    Yields the topic, the time of recording in nanoseconds, and the message (a rosbags object
    with the fields of its ROS type).

    :raises DamagedBag: where the damage begins.
    """
    by_name = {topic.name: topic for topic in topics}
    connections = [x for x in reader.connections if x.topic in by_name]
    messages = reader.messages(connections)
    while True:
        try:
            connection, time_ns, raw = next(messages)
            message = reader.deserialize(raw, connection.msgtype)
        except StopIteration:
            return
        except Exception as error:
            raise DamagedBag(f'the bag is damaged from here on: {error}') from error
        yield by_name[connection.topic], time_ns, message


def _encoding(reader: AnyReader, name: str) -> str:
    connections = [x for x in reader.connections if x.topic == name]
    try:
        connection, _, raw = next(reader.messages(connections))
        message: Any = reader.deserialize(raw, connection.msgtype)
    except Exception:
        return ''
    return str(message.encoding if connection.msgtype == RAW else message.format)
