# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A rosbag as a source of pairs, matched by the very pairing that runs on the robot.

Messages wait for their partner undecoded; a picture is unpacked only once its pair is examined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgevl_ros.core.pairing import Pair, Pairing, PairingCounts
from edgevl_training.bags import BagMessage, find_topics, Loss, open_bag, Topic
from edgevl_training.bags.topics import image_topics, is_depth
from edgevl_training.bags.transforms import transform_between
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.message_pictures import color_picture, depth_picture
from edgevl_training.sources.source import (
    LatePicture,
    Lose,
    SourcePair,
)

_NANOSECONDS = 1_000_000_000
# Messages that wait: the largest wait at the fastest camera.
_CAPACITY = 256
_MOST_TOPICS_NAMED = 20
_DROPPED = {
    'duplicate': 'stamp seen before',
    'late': 'came after its partner was given up',
    'overflow': 'too many images wait for a partner',
}


@dataclass(frozen=True)
class BagOptions:
    """How pairs are made of a bag's messages; topics that are None are found by type and name."""

    rgb_topic: str | None = None
    depth_topic: str | None = None
    modality: Literal['both', 'rgb'] = 'both'
    max_skew_s: float = 0.02
    max_wait_s: float = 0.5
    allow_unregistered: bool = False


@dataclass(frozen=True)
class _Image:
    """An image message that waits, not unpacked."""

    topic: Topic
    stamp_ns: int
    frame_id: str
    message: Any

    def __str__(self) -> str:
        """Name it in the list of what is lost."""
        return f'{self.topic.name} {self.stamp_ns}'


class BagSource:
    """
    The pairs of one bag.

    ``topics`` names those taken: ``rgb``, and ``depth`` or None. ``notes`` (what a person should
    know of the bag) and ``losses`` (its damages) are complete once `pairs` has ended.
    """

    def __init__(
        self, path: Path, name: str, options: BagOptions, truth: Mapping[int, str] | None = None
    ) -> None:
        """
        Open a bag and find its topics.

        :param truth: the scene of colour stamps, for measuring.
        :raises SourceError: when it cannot be opened, or lacks the topics asked for.
        """
        self.name = name
        self.modality = SecondModality()
        self.notes: list[str] = []
        self._options = options
        self._truth = truth or {}
        self._bag = open_bag(path)
        self.size_bytes = self._bag.size_bytes
        self._color, self._depth = self._choose_topics()
        self.topics = {
            'rgb': self._color.name, 'depth': self._depth.name if self._depth else None}
        self._note_choice()
        self._registered: dict[tuple[str, str], str | None] = {}
        self._pairing: Pairing[_Image, _Image] = Pairing(
            tolerance_ns=round(options.max_skew_s * _NANOSECONDS),
            timeout_ns=round(options.max_wait_s * _NANOSECONDS), capacity=_CAPACITY,
        )

    @property
    def losses(self) -> list[Loss]:
        """Give the damages of the bag that were met so far."""
        return self._bag.losses

    def fingerprint(self) -> str:
        """Identify the content without reading all of it."""
        return self._bag.fingerprint()

    def pairs(self, lose: Lose, advance: Callable[[int], None]) -> Iterator[SourcePair]:
        """
        Give every pair in the order in which the robot would have had them.

        :raises SourceError: when depth and colour are of different frames and nothing tells how
            these lie to each other.
        """
        names = [topic.name for topic in (self._color, self._depth) if topic]
        done = 0
        for message in self._bag.messages(names):
            advance(self._bag.bytes_read - done)
            done = self._bag.bytes_read
            yield from self._usable(self._add(message, lose), lose)
        yield from self._usable(self._pairing.flush(), lose)
        advance(max(0, self.size_bytes - done))

    def _choose_topics(self) -> tuple[Topic, Topic | None]:
        options = self._options
        color, depth = find_topics(self._bag, options.rgb_topic, options.depth_topic)
        if options.modality == 'rgb':
            return color, None
        if depth is None:
            raise SourceError(
                f'{self._bag.name}: has colour ({color.name}) but no depth; give --modality rgb '
                'to take colour alone, or --depth-topic'
            )
        return color, depth

    def _note_choice(self) -> None:
        options, taken = self._options, {*self.topics.values()}
        if options.rgb_topic and (options.depth_topic or self._depth is None):
            return
        others = [
            topic.name for topic in image_topics(self._bag.topics)
            if topic.name not in taken and not (self._depth is None and is_depth(topic))
        ]
        if others:
            more = len(others) - _MOST_TOPICS_NAMED
            self._note(
                f'colour is taken from {self._color.name}'
                f'{f" and depth from {self._depth.name}" if self._depth else ""}, not from '
                f'{", ".join(others[:_MOST_TOPICS_NAMED])}'
                f'{f" and {more} more topics" if more > 0 else ""} (--rgb-topic'
                f'{" and --depth-topic name" if self._depth else " names"} what is taken)'
            )

    def _add(self, message: BagMessage, lose: Lose) -> list[Pair[_Image, _Image]]:
        """Pair a message; those that pairing drops are lost."""
        before = self._pairing.counts
        if message.topic == self._color.name:
            image = self._image(self._color, message)
            pairs = self._pairing.add_color(image.stamp_ns, image, message.time_ns)
        else:
            assert self._depth is not None
            image = self._image(self._depth, message)
            pairs = self._pairing.add_depth(image.stamp_ns, image, message.time_ns)
        self._lose_dropped(before, image, lose)
        return pairs

    def _image(self, topic: Topic, message: BagMessage) -> _Image:
        header = message.message.header
        stamp_ns = header.stamp.sec * _NANOSECONDS + header.stamp.nanosec
        if stamp_ns == 0:
            self._note(f'{topic.name} has images without a stamp; the time of recording is taken')
            stamp_ns = message.time_ns
        return _Image(topic, stamp_ns, header.frame_id.lstrip('/'), message.message)

    def _lose_dropped(self, before: PairingCounts, image: _Image, lose: Lose) -> None:
        after = self._pairing.counts
        for name, reason in _DROPPED.items():
            if getattr(after, name) > getattr(before, name):
                # An overflow drops the oldest of those that wait when this one comes.
                lose(f'{image}' if name != 'overflow' else f'before {image}', reason)

    def _usable(
        self, pairs: list[Pair[_Image, _Image]], lose: Lose
    ) -> Iterator[SourcePair]:
        for pair in pairs:
            if pair.color is None:
                lose(str(pair.depth), 'lone depth')
            elif pair.depth is None and self._depth is not None:
                lose(str(pair.color), 'lone colour')
            elif pair.depth and (reason := self._unregistered(pair.color, pair.depth)):
                lose(str(pair.color), reason)
            else:
                yield self._source_pair(pair.timeline, pair.color, pair.depth)

    def _source_pair(self, timeline: int, color: _Image, depth: _Image | None) -> SourcePair:
        return SourcePair(
            bag=self.name, timeline=timeline, color_stamp_ns=color.stamp_ns,
            color=LatePicture(lambda: color_picture(color.message)), frame_id=color.frame_id,
            depth_stamp_ns=depth.stamp_ns if depth else None,
            depth=LatePicture(lambda: depth_picture(depth.message)) if depth else None,
            depth_frame_id=depth.frame_id if depth else None,
            truth=self._truth.get(color.stamp_ns),
        )

    def _unregistered(self, color: _Image, depth: _Image) -> str | None:
        """Say why depth cannot be laid over colour; the first pair of a bag decides for all."""
        frames = color.frame_id, depth.frame_id
        if frames[0] == frames[1]:
            return None
        if not all(frames):
            nameless, other = (depth, color) if frames[0] else (color, depth)
            self._note(
                f'{nameless.topic.name} has images without a frame; it is taken to be '
                f"'{other.frame_id}', that of {other.topic.name}"
            )
            return None
        if frames not in self._registered:
            reason = self._look_at(*frames)
            if reason and not self._registered:
                raise SourceError(f'{self._bag.name}: {reason}')
            self._registered[frames] = reason
        return self._registered[frames]

    def _look_at(self, color_frame: str, depth_frame: str) -> str | None:
        """Note how the frames lie to each other, or say what is missing."""
        transform = transform_between(
            self._bag.static_transforms(), target=color_frame, source=depth_frame
        )
        frames = f"colour is in frame '{color_frame}' and depth in '{depth_frame}'"
        if transform is not None:
            self._note(f'{frames}, which lies at {_described(transform)} in that of colour')
            return None
        if self._options.allow_unregistered:
            self._note(f'{frames}, and no transform between them is known')
            return None
        return (
            f'{frames}, and /tf_static holds no transform between them; extract from depth that '
            'is aligned to colour, or give --allow-unregistered true'
        )

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _described(transform: Any) -> str:
    x, y, z = transform.translation
    quaternion = ', '.join(f'{value:.4f}' for value in transform.rotation)
    return f'translation ({x:.4f}, {y:.4f}, {z:.4f}) m, rotation (x, y, z, w) ({quaternion})'
