# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics to record, and how they are found on the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgevl_training.errors import RecipeError
from edgevl_training.recording.messages import Role
from edgevl_training.recording.recipe import RecordRecipe

TF_STATIC = '/tf_static'
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
INFO_TYPES = ('sensor_msgs/msg/CameraInfo',)
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


def wanted_topics(
    recipe: RecordRecipe, resolve: Callable[[str], str] = lambda name: name
) -> list[Wanted]:
    """
    List what a recipe asks for, each topic once.

    :param resolve: applies the namespace and the remappings of the node to a name. A remapped
        camera takes its compressed topics and its camera_info with it.
    :raises RecipeError: when colour and depth are the same topic.
    """
    wanted = []
    rgb, depth = (
        topic and resolve(topic) for topic in (recipe.rgb_topic, recipe.depth_topic)
    )
    if rgb == depth:
        raise RecipeError(f'rgb_topic and depth_topic: expected two topics, found {rgb} twice')
    images = ((rgb, Role.COLOR, Role.COLOR_INFO), (depth, Role.DEPTH, Role.DEPTH_INFO))
    for topic, role, info in images:
        if topic:
            names = _image_names(topic, role, recipe.transport)
            # The topic itself is resolved; what is derived from it may be remapped by itself.
            names = tuple(name if name == topic else resolve(name) for name in names)
            wanted.append(Wanted(role, names))
            wanted.append(Wanted(info, (resolve(_camera_info(topic)),), required=False))
    wanted.append(Wanted(Role.OTHER, (resolve(TF_STATIC),), required=False))
    wanted += [Wanted(Role.OTHER, (resolve(topic),)) for topic in recipe.extra_topics]
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

    def find(self, graph: Graph, now_s: float) -> list[tuple[Wanted, str, str]]:
        """Give the awaited topics that are on the graph now, with the name and type of each."""
        found = [
            (wanted, found_name(wanted, graph, self._seen_s, now_s)) for wanted in self._waiting
        ]
        return [
            (wanted, name, _fitting(wanted.role, graph[name])[0])
            for wanted, name in found if name is not None
        ]

    def settle(self, wanted: Wanted) -> None:
        """Await a topic no longer."""
        self._waiting.remove(wanted)

    def complaints(self, graph: Graph, now_s: float) -> tuple[list[str], bool]:
        """
        Name the topics that are missed.

        :returns: a sentence for each, and whether it is time to log them (again).
        """
        missed = self._missed(graph)
        due = now_s >= self._remind_s
        if due:
            self._remind_s = now_s + REMIND_S
        if due or len(missed) < len(self._complaints):
            self._complaints = self.explain(graph)
        return self._complaints, due

    def explain(self, graph: Graph) -> list[str]:
        """Give a sentence for each topic that is missed."""
        return [explain_absence(wanted, graph) for wanted in self._missed(graph)]

    def _missed(self, graph: Graph) -> list[Wanted]:
        # One that is there as a second choice is about to be taken.
        return [
            wanted for wanted in self._waiting
            if wanted.required
            and not any(_fitting(wanted.role, graph.get(name, ())) for name in wanted.names)
        ]


def found_name(wanted: Wanted, graph: Graph, seen_s: dict[str, float], now_s: float) -> str | None:
    """
    Give the name under which a topic is on the graph now, None if it is not (yet).

    A second choice is taken only after it has been there for a while without the first.

    :param seen_s: since when each name has been seen; kept by the caller from call to call.
    """
    for place, name in enumerate(wanted.names):
        if _fitting(wanted.role, graph.get(name, ())):
            since_s = seen_s.setdefault(name, now_s)
            if place == 0 or now_s - since_s >= PATIENCE_S:
                return name
    return None


def explain_absence(wanted: Wanted, graph: Graph) -> str:
    """Say that a topic is not there, and which image topics are."""
    for name in wanted.names:
        if name in graph:
            return (
                f'{name}: expected {" or ".join(_types_of(wanted.role))}, '
                f'found {", ".join(graph[name])}; still waiting{_existing(wanted, graph)}'
            )
    names = ' or '.join(wanted.names)
    return f'{names}: nobody publishes it; still waiting{_existing(wanted, graph)}'


def _existing(wanted: Wanted, graph: Graph) -> str:
    if not wanted.role.is_image:
        return ''
    images = sorted(
        name for name, types in graph.items() if any(kind in IMAGE_TYPES for kind in types)
    )
    exist = ', '.join(images) if images else 'none'
    return f' (image topics that exist: {exist})'


def _types_of(role: Role) -> tuple[str, ...]:
    """Give the types that a topic may have; none means any."""
    if role.is_image:
        return IMAGE_TYPES
    return INFO_TYPES if role.is_info else ()


def _fitting(role: Role, types: Sequence[str]) -> list[str]:
    expected = _types_of(role)
    return [kind for kind in types if not expected or kind in expected]


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
