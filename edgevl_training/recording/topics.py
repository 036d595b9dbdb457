# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics to record, and how they are found on the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgevl_training.recording.messages import Role
from edgevl_training.recording.recipe import RecordRecipe

TF_STATIC = '/tf_static'
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
# image_transport announces the raw topic and the compressed ones one after the other.
PATIENCE_S = 1.0
COMPLAIN_S, REMIND_S = 5.0, 30.0

_COMPRESSED = {
    Role.COLOR: ('compressed', 'compressedDepth'),
    Role.DEPTH: ('compressedDepth', 'compressed'),
}
_SUFFIXES = ('compressed', 'compressedDepth', 'theora', 'zstd', 'ffmpeg')

Graph = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Wanted:
    """
    A topic to record: the names it may have, the best first.

    One that is not ``required`` may be absent without a complaint.
    """

    role: Role
    names: tuple[str, ...]
    required: bool = True


def wanted_topics(recipe: RecordRecipe) -> list[Wanted]:
    """List what a recipe asks for, each topic once."""
    wanted = []
    images = (
        (recipe.rgb_topic, Role.COLOR, Role.COLOR_INFO),
        (recipe.depth_topic, Role.DEPTH, Role.DEPTH_INFO),
    )
    for topic, role, info in images:
        if topic:
            wanted.append(Wanted(role, _image_names(topic, role, recipe.transport)))
            wanted.append(Wanted(info, (_camera_info(topic),), required=False))
    wanted.append(Wanted(Role.OTHER, (TF_STATIC,), required=False))
    wanted += [Wanted(Role.OTHER, (topic,)) for topic in recipe.extra_topics if topic]
    first: dict[str, Wanted] = {}
    for topic_wanted in wanted:
        first.setdefault(topic_wanted.names[0], topic_wanted)
    return list(first.values())


class TopicFinder:
    """The topics that are still awaited."""

    def __init__(self, wanted: Iterable[Wanted], now_s: float) -> None:
        """Await all of these."""
        self._waiting = list(wanted)
        self._seen_s: dict[str, float] = {}
        self._remind_s = now_s + COMPLAIN_S
        self._complaints: list[str] = []

    def find(self, graph: Graph, now_s: float) -> list[tuple[Wanted, str]]:
        """Give the awaited topics that are on the graph now, with the name that each has."""
        found = [
            (wanted, found_name(wanted, graph, self._seen_s, now_s)) for wanted in self._waiting
        ]
        return [(wanted, name) for wanted, name in found if name is not None]

    def settle(self, wanted: Wanted) -> None:
        """Await a topic no longer."""
        self._waiting.remove(wanted)

    def complaints(self, graph: Graph, now_s: float) -> tuple[list[str], bool]:
        """
        Name the topics that are missed.

        :returns: a sentence for each, and whether it is time to log them (again).
        """
        missed = [wanted for wanted in self._waiting if wanted.required]
        due = now_s >= self._remind_s
        if due:
            self._remind_s = now_s + REMIND_S
        if due or len(missed) < len(self._complaints):
            self._complaints = [explain_absence(wanted, graph) for wanted in missed]
        return self._complaints, due


def found_name(wanted: Wanted, graph: Graph, seen_s: dict[str, float], now_s: float) -> str | None:
    """
    Give the name under which a topic is on the graph now, None if it is not (yet).

    A second choice is taken only after it has been there for a while without the first.

    :param seen_s: since when each name has been seen; kept by the caller from call to call.
    """
    for place, name in enumerate(wanted.names):
        if name in graph:
            since_s = seen_s.setdefault(name, now_s)
            if place == 0 or now_s - since_s >= PATIENCE_S:
                return name
    return None


def explain_absence(wanted: Wanted, graph: Graph) -> str:
    """Say that a topic is not there, and which image topics are."""
    names = ' or '.join(wanted.names)
    if not wanted.role.is_image:
        return f'{names}: nobody publishes it; still waiting'
    images = sorted(
        name for name, types in graph.items() if any(kind in IMAGE_TYPES for kind in types)
    )
    exist = ', '.join(images) if images else 'none'
    return f'{names}: nobody publishes it; still waiting (image topics that exist: {exist})'


def _image_names(topic: str, role: Role, transport: str) -> tuple[str, ...]:
    if topic.rpartition('/')[2] in _SUFFIXES:
        return (topic,)
    compressed = tuple(f'{topic}/{suffix}' for suffix in _COMPRESSED[role])
    return {
        'raw': (topic,), 'compressed': compressed, 'auto': (topic, *compressed)
    }[transport]


def _camera_info(topic: str) -> str:
    """Name the sibling of an image topic, as image_transport does."""
    base, _, last = topic.rpartition('/')
    if last in _SUFFIXES:
        base = base.rpartition('/')[0]
    return f'{base}/camera_info' if '/' in topic else 'camera_info'
