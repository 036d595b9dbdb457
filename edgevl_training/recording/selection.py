# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of the messages received are recorded, in each mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from edgevl_training.recording.messages import Message, NANOSECONDS, Role, Topic
from edgevl_training.recording.recipe import RecordRecipe
from edgevl_training.recording.ring import Held, Ring
from edgevl_training.recording.trigger import Reason, SceneTrigger, Scores

# Depth and camera_info of a picture may come after it.
PARTNER_WAIT_S = 0.25
# Depth of another time is no partner.
_FARTHEST_PARTNER_S = 1.0
# Without colour for so long, pictures are chosen by depth.
NO_COLOR_S = 2.0
SILENCE_S = 10.0
_MB = 1_000_000
_UNAVAILABLE = 'picture no longer held'


class Selection(Protocol):
    """What a mode does: takes every message, gives those to record, now or later."""

    def feed(self, message: Message) -> Iterable[Message]:
        """Take a message; give what is to be recorded now."""

    def tick(self, now_s: float) -> Iterable[Message]:
        """Give what is to be recorded now, without a message."""


class Everything:
    """The mode ``continuous``."""

    def feed(self, message: Message) -> Iterable[Message]:
        """Give the message."""
        return (message,)

    def tick(self, now_s: float) -> Iterable[Message]:  # noqa: ARG002
        """Give nothing: nothing is held back."""
        return ()


class _Pick(NamedTuple):
    """A picture to record when its time has come: itself, or known by its stamp."""

    picture: Held | int
    due_s: float
    context_s: float


class Samples:
    """The mode ``interval``: a picture with all that belongs to it, every now and then."""

    def __init__(self, recipe: RecordRecipe, triggers: Counter[str]) -> None:
        """
        Begin with the first picture.

        :param triggers: counts the pictures chosen, by reason.
        """
        self._ring = Ring(recipe.buffer_seconds, round(recipe.buffer_mb * _MB))
        self._role = Role.COLOR if recipe.rgb_topic else Role.DEPTH
        self._leader_s: float | None = None
        self._interval_s = recipe.interval
        self._next_s = float('-inf')
        self._picks: list[_Pick] = []
        self._topics: dict[str, Topic] = {}
        self._triggers = triggers
        self._reason = 'interval'

    def feed(self, message: Message) -> Iterable[Message]:
        """Hold a message back; what is latched is rare and always recorded."""
        if message.topic.latched:
            return (message, *self.tick(message.received_s))
        self._topics[message.topic.name] = message.topic
        held = self._ring.add(message)
        now_s = message.received_s
        if self._leads(message) and now_s >= self._next_s and self._samples(now_s):
            self._next_s = now_s + self._interval_s
            self._triggers[self._reason] += 1
            self._picks.append(_Pick(held, now_s + PARTNER_WAIT_S, 0.0))
        return self.tick(now_s)

    def tick(self, now_s: float) -> Iterable[Message]:
        """Give the pictures whose partners have had time to come."""
        due = [pick for pick in self._picks if pick.due_s <= now_s]
        self._picks = [pick for pick in self._picks if pick.due_s > now_s]
        return [message for pick in due for message in self._ring.take(self._chosen(pick))]

    def _leads(self, message: Message) -> bool:
        """Tell whether pictures are chosen among those of this topic, for the time being."""
        now_s = message.received_s
        if message.topic.role is self._role or self._leader_s is None:
            self._leader_s = now_s
        return message.topic.role is self._role or (
            message.topic.role.is_image and now_s - self._leader_s >= NO_COLOR_S
        )

    def _samples(self, now_s: float) -> bool:  # noqa: ARG002
        return True

    def _chosen(self, pick: _Pick) -> Iterable[Held]:
        picture = pick.picture
        center = picture if isinstance(picture, Held) else self._center(picture)
        if center is None:
            return
        received_s = center.message.received_s
        yield center
        if pick.context_s:
            yield from self._ring.around(received_s, pick.context_s / 2)
        for topic in self._topics.values():
            near = None if topic is center.message.topic else self._partner(topic, center)
            if near is not None and (topic.role.is_info or _are_close(near, center)):
                yield near

    def _partner(self, topic: Topic, center: Held) -> Held | None:
        """Give what belongs to a picture by its stamp, or by its receipt if that cannot be."""
        if topic.role is not Role.OTHER and center.stamp_ns:
            near = self._ring.nearest(topic.name, center.stamp_ns)
            apart_s = abs(near.stamp_ns - center.stamp_ns) / NANOSECONDS if near else 0.0
            if near and apart_s <= _FARTHEST_PARTNER_S and _are_close(near, center):
                return near
        # The stamps are of two clocks, or of none.
        return self._ring.nearest_received(topic.name, center.message.received_s)

    def _center(self, stamp_ns: int) -> Held | None:
        """Give the picture with a stamp; without one, the newest picture."""
        images = [held for held in self._ring if held.message.topic.role.is_image]
        images.sort(key=lambda held: held.message.topic.role is self._role)
        exact = [held for held in images if held.stamp_ns == stamp_ns]
        if exact:
            return exact[-1]
        if images:
            self._triggers[_UNAVAILABLE] += 1
            return images[-1]
        return None


class Scenes(Samples):
    """
    The mode ``change``: what the perception node saw when the scene changed or it was unsure.

    While no perception node is heard, a picture now and then, so that the day is not lost.
    """

    def __init__(self, recipe: RecordRecipe, triggers: Counter[str], now_s: float) -> None:
        """Wait for scenes."""
        super().__init__(recipe, triggers)
        self._interval_s = recipe.fallback_interval
        self._reason = Reason.FALLBACK.value
        self._context_s = recipe.context
        self._scene_topic = recipe.scene_topic
        self._heard_s = now_s
        self._trigger = SceneTrigger(
            recipe.stable_frames, recipe.unsure_below, recipe.unsure_margin, recipe.min_interval
        )

    def is_deaf(self, now_s: float) -> bool:
        """Tell whether no perception node has been heard for a while."""
        return now_s - self._heard_s >= SILENCE_S

    @property
    def deafness(self) -> str:
        """Say what it means that no perception node is heard."""
        return (
            f'no scene on {self._scene_topic} for {SILENCE_S:.0f} s: is the perception node '
            f'running? Until then a pair every {self._interval_s:g} s is kept'
        )

    def hear(self, stamp_ns: int, scores: Scores, now_s: float) -> None:
        """Take a scene, whose header names its picture."""
        self._heard_s = now_s
        reason = self._trigger.feed(scores, now_s)
        if reason is not None:
            self._triggers[reason.value] += 1
            due_s = now_s + self._context_s / 2 + PARTNER_WAIT_S
            self._picks.append(_Pick(stamp_ns, due_s, self._context_s))

    def _samples(self, now_s: float) -> bool:
        return self.is_deaf(now_s)


def _are_close(one: Held, other: Held) -> bool:
    return abs(one.message.received_s - other.message.received_s) <= _FARTHEST_PARTNER_S


def selection_for(recipe: RecordRecipe, triggers: Counter[str], now_s: float) -> Selection:
    """Make the selection of the mode that a recipe names."""
    if recipe.mode == 'continuous':
        return Everything()
    if recipe.mode == 'interval':
        return Samples(recipe, triggers)
    return Scenes(recipe, triggers, now_s)
