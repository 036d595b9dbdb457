# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of a bag's image topics are the colour and the depth of one camera."""

from __future__ import annotations

from collections.abc import Sequence

from demo.bag import ImageTopic, RAW
from demo.errors import DemoError

NO_TOPIC = 'none'
DEPTH_ENCODINGS = ('16uc1', '32fc1', 'compresseddepth')
COLOUR_ENCODINGS = ('rgb', 'bgr', 'yuv', 'uyvy', 'yuyv', 'bayer', '8uc3', 'jpeg', 'jpg')
GREY_ENCODINGS = ('mono8', '8uc1')
COLOUR_NAMES = ('color', 'colour', 'rgb')
REGISTERED_NAMES = ('aligned', 'registered')
# Pictures that are neither what the eye sees nor a distance, though their encoding may say so.
OTHER_NAMES = ('infra', '/ir/', 'mask', 'label', 'segment', 'overlay', 'debug', 'confidence')


def is_depth(topic: ImageTopic) -> bool:
    """Tell depth from colour by the encoding and, where that is open, by the name."""
    encoding = topic.encoding.lower()
    if any(word in encoding for word in DEPTH_ENCODINGS):
        return True
    if any(word in encoding for word in (*COLOUR_ENCODINGS, *GREY_ENCODINGS)):
        return False
    return 'depth' in topic.name.lower()


def choose_topics(
    topics: Sequence[ImageTopic], colour: str | None = None, depth: str | None = None
) -> tuple[ImageTopic | None, ImageTopic | None]:
    """
    Choose a colour and a depth topic, preferably of the same camera; either may be None.

    :param colour: name of the colour topic, ``none`` to do without; None to have it found.
    :param depth: the same for depth.
    :raises DemoError: when a named topic is not among them, or nothing is left to show.
    """
    chosen_colour = _best_colour(topics) if colour is None else _named(topics, colour)
    chosen_depth = _best_depth(topics, chosen_colour) if depth is None else _named(topics, depth)
    if chosen_colour is None and chosen_depth is None:
        raise DemoError('expected a sensor_msgs/Image or CompressedImage topic, found none')
    return chosen_colour, chosen_depth


def _named(topics: Sequence[ImageTopic], name: str) -> ImageTopic | None:
    if name == NO_TOPIC:
        return None
    for topic in topics:
        if topic.name.strip('/') == name.strip('/'):
            return topic
    raise DemoError(f'expected an image topic named {name}, found none')


def _best_colour(topics: Sequence[ImageTopic]) -> ImageTopic | None:
    def merit(topic: ImageTopic) -> tuple[bool, bool, bool, int, bool]:
        name, encoding = topic.name.lower(), topic.encoding.lower()
        return (
            not any(word in name for word in (*OTHER_NAMES, 'depth')),
            any(word in encoding for word in COLOUR_ENCODINGS),
            any(word in name for word in COLOUR_NAMES),
            topic.count,
            topic.msgtype == RAW,
        )

    return max((x for x in topics if not is_depth(x)), key=merit, default=None)


def _best_depth(
    topics: Sequence[ImageTopic], colour: ImageTopic | None
) -> ImageTopic | None:
    def merit(topic: ImageTopic) -> tuple[bool, int, bool, int, bool]:
        name = topic.name.lower()
        return (
            not any(word in name for word in OTHER_NAMES),
            _shared_parts(topic.name, colour.name) if colour else 0,
            any(word in name for word in REGISTERED_NAMES),
            topic.count,
            topic.msgtype == RAW,
        )

    return max((x for x in topics if is_depth(x)), key=merit, default=None)


def _shared_parts(one: str, other: str) -> int:
    count = 0
    for a, b in zip(one.strip('/').split('/'), other.strip('/').split('/')):
        if a != b:
            break
        count += 1
    return count
