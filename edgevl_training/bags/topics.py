# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of a bag's image topics are the colour and the depth of one camera."""

from __future__ import annotations

from collections.abc import Sequence

from edgevl_training.bags.bag import Bag, Topic
from edgevl_training.bags.storage import IMAGE, IMAGE_TYPES
from edgevl_training.errors import SourceError

NO_TOPIC = 'none'
DEPTH_ENCODINGS = ('16uc1', '32fc1', 'compresseddepth')
COLOUR_ENCODINGS = ('rgb', 'bgr', 'yuv', 'uyvy', 'yuyv', 'bayer', '8uc3', 'jpeg', 'jpg')
GREY_ENCODINGS = ('mono8', '8uc1')
COLOUR_NAMES = ('color', 'colour', 'rgb')
REGISTERED_NAMES = ('aligned', 'registered')
# Pictures that are neither what the eye sees nor a distance, though their encoding may say so.
OTHER_NAMES = ('infra', '/ir/', 'mask', 'label', 'segment', 'overlay', 'debug', 'confidence')
# What image_transport appends to a topic's name.
COLOUR_TRANSPORTS = ('compressed',)
DEPTH_TRANSPORTS = ('compressedDepth', 'compressed')


def image_topics(topics: Sequence[Topic]) -> list[Topic]:
    """List the topics that carry images, raw or compressed, and have some."""
    return [t for t in topics if t.msgtype in IMAGE_TYPES and (t.count or t.encoding)]


def describe_topics(topics: Sequence[Topic]) -> str:
    """List every topic with its type, one a line."""
    return '\n'.join(f'  {topic}' for topic in topics) or '  no topic at all'


def is_depth(topic: Topic) -> bool:
    """Tell depth from colour by the encoding and, where that is open, by the name."""
    encoding = topic.encoding.lower()
    if any(word in encoding for word in DEPTH_ENCODINGS):
        return True
    if any(word in encoding for word in (*COLOUR_ENCODINGS, *GREY_ENCODINGS)):
        return False
    return 'depth' in topic.name.lower()


def choose_topics(
    topics: Sequence[Topic], colour: str | None = None, depth: str | None = None
) -> tuple[Topic | None, Topic | None]:
    """
    Choose a colour and a depth topic, preferably of the same camera; either may be None.

    :param topics: all topics of a bag; those that are no images are only named in errors.
    :param colour: name of the colour topic, with or without what its transport appends, ``none``
        to do without; None to have it found.
    :param depth: the same for depth.
    :raises SourceError: when a named topic is not among them or carries no images, or nothing is
        left; the message lists what there is.
    """
    images = image_topics(topics)
    chosen_colour = (
        _best_colour(images) if colour is None else named_topic(topics, colour, COLOUR_TRANSPORTS)
    )
    chosen_depth = (
        _best_depth(images, chosen_colour) if depth is None
        else named_topic(topics, depth, DEPTH_TRANSPORTS)
    )
    if chosen_colour is None and chosen_depth is None:
        raise SourceError(
            'expected a sensor_msgs/Image or CompressedImage topic with images, found none among\n'
            f'{describe_topics(topics)}')
    return chosen_colour, chosen_depth


def find_topics(
    bag: Bag, colour: str | None = None, depth: str | None = None
) -> tuple[Topic, Topic | None]:
    """
    Choose the colour topic of a bag, and the depth topic if it has one; see `choose_topics`.

    :raises SourceError: when there is no colour, or a named topic is not there.
    """
    try:
        chosen_colour, chosen_depth = choose_topics(bag.topics, colour, depth)
    except SourceError as error:
        raise SourceError(f'{bag.path}: {error}') from error
    if chosen_colour is None:
        raise SourceError(
            f'{bag.path}: expected a topic with colour images, found none; it has\n'
            f'{describe_topics(bag.topics)}')
    return chosen_colour, chosen_depth


def named_topic(
    topics: Sequence[Topic], name: str, transports: Sequence[str]
) -> Topic | None:
    """
    Find an image topic by its name, with or without what one of some transports appends.

    :returns: the topic; None for the name ``none``.
    :raises SourceError: there is none, or it carries no images; the message lists what there is.
    """
    if name == NO_TOPIC:
        return None
    bare = name.strip('/')
    for transport in transports:
        bare = bare.removesuffix(f'/{transport}')
    by_name = {topic.name.strip('/'): topic for topic in topics}
    spellings = [name.strip('/'), bare, *(f'{bare}/{transport}' for transport in transports)]
    found = [by_name[spelling] for spelling in spellings if spelling in by_name]
    for topic in found:
        if topic.msgtype in IMAGE_TYPES:
            return topic
    what = f'found {found[0]}' if found else 'found none'
    raise SourceError(
        f'expected an image topic named {name}, {what}; the bag has\n{describe_topics(topics)}')


def _best_colour(topics: Sequence[Topic]) -> Topic | None:
    def merit(topic: Topic) -> tuple[bool, bool, bool, int, bool]:
        name, encoding = topic.name.lower(), topic.encoding.lower()
        return (
            not any(word in name for word in (*OTHER_NAMES, 'depth')),
            any(word in encoding for word in COLOUR_ENCODINGS),
            any(word in name for word in COLOUR_NAMES),
            topic.count,
            topic.msgtype == IMAGE,
        )

    return max((x for x in topics if not is_depth(x)), key=merit, default=None)


def _best_depth(topics: Sequence[Topic], colour: Topic | None) -> Topic | None:
    def merit(topic: Topic) -> tuple[bool, int, bool, int, bool]:
        name = topic.name.lower()
        return (
            not any(word in name for word in OTHER_NAMES),
            _shared_parts(topic.name, colour.name) if colour else 0,
            any(word in name for word in REGISTERED_NAMES),
            topic.count,
            topic.msgtype == IMAGE,
        )

    return max((x for x in topics if is_depth(x)), key=merit, default=None)


def _shared_parts(one: str, other: str) -> int:
    count = 0
    for a, b in zip(one.strip('/').split('/'), other.strip('/').split('/')):
        if a != b:
            break
        count += 1
    return count
