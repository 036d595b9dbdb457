# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the sensors of a robot sit: the tree of its static transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST_CHAIN = 1000


@dataclass(frozen=True)
class Transform:
    """
    The pose of the frame ``child`` in the frame ``parent``.

    ``translation`` is x, y, z in metres; ``rotation`` is a unit quaternion x, y, z, w.
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]


class StaticTransforms:
    """The transforms of /tf_static, by child; the newest of each child stands."""

    def __init__(self) -> None:
        """Start without any."""
        self.by_child: dict[str, Transform] = {}

    def add(self, message: Any) -> None:
        """Take in a tf2_msgs/TFMessage; what is no transform is passed over."""
        for stamped in message.transforms:
            vector, turn = stamped.transform.translation, stamped.transform.rotation
            rotation = np.array([turn.x, turn.y, turn.z, turn.w])
            translation = np.array([vector.x, vector.y, vector.z])
            parent, child = _name(stamped.header.frame_id), _name(stamped.child_frame_id)
            length = float(np.linalg.norm(rotation))
            if parent != child and np.isfinite(translation).all() and 0.9 < length < 1.1:
                self.by_child[child] = _transform(parent, child, translation, rotation / length)

    def to_root(self, frame: str) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
        """Give the frame that a chain of parents ends in, and the pose of the frame in it."""
        rotation, translation = np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3)
        for _ in range(_LONGEST_CHAIN):  # A damaged tree may be a ring.
            link = self.by_child.get(frame)
            if link is None:
                break
            turn = np.array(link.rotation)
            translation = np.array(link.translation) + _rotate(turn, translation)
            rotation = _product(turn, rotation)
            frame = link.parent
        return frame, rotation, translation


def transform_between(
    transforms: StaticTransforms, target: str, source: str
) -> Transform | None:
    """
    Give the pose of the frame ``source`` in the frame ``target``.

    It takes points from source to target. Names count with and without the leading slash of ROS 1.

    :returns: None where no chain of transforms joins the two.
    """
    target, source = _name(target), _name(source)
    root, rotation, translation = transforms.to_root(target)
    other_root, other_rotation, other_translation = transforms.to_root(source)
    if root != other_root:
        return None
    inverse = _conjugate(rotation)
    return _transform(
        target, source, _rotate(inverse, other_translation - translation),
        _product(inverse, other_rotation))


def _name(frame: str) -> str:
    return frame.lstrip('/')


def _transform(
    parent: str, child: str, translation: NDArray[np.float64], rotation: NDArray[np.float64]
) -> Transform:
    x, y, z = (float(value) for value in translation)
    i, j, k, w = (float(value) for value in rotation)
    return Transform(parent, child, (x, y, z), (i, j, k, w))


def _conjugate(q: NDArray[np.float64]) -> NDArray[np.float64]:
    return q * [-1.0, -1.0, -1.0, 1.0]


def _product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply two quaternions (x, y, z, w)."""
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.array([*vector, a[3] * b[3] - a[:3] @ b[:3]])


def _rotate(q: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return _product(_product(q, np.array([*vector, 0.0])), _conjugate(q))[:3]
