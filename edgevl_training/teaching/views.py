# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a picture that a teacher looks at, and what it says of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from edgevl_training.augment import View, WHOLE
from edgevl_training.teachers.teacher import FloatArray, unit_rows
from numpy.typing import NDArray

ViewName = Literal[
    'whole', 'upper_left', 'upper_right', 'lower_left', 'lower_right', 'center'
]
# Small enough to bring things nearer, large enough to show a place.
_SIDE = 0.75
_REST = 1 - _SIDE
VIEWS: dict[ViewName, View] = {
    'whole': WHOLE,
    'upper_left': View(0.0, 0.0, _SIDE, _SIDE),
    'upper_right': View(_REST, 0.0, _SIDE, _SIDE),
    'lower_left': View(0.0, _REST, _SIDE, _SIDE),
    'lower_right': View(_REST, _REST, _SIDE, _SIDE),
    'center': View(_REST / 2, _REST / 2, _SIDE, _SIDE),
}
ONLY_WHOLE: tuple[ViewName, ...] = ('whole',)


def parts_of(picture: NDArray[Any], views: Sequence[ViewName]) -> list[NDArray[Any]]:
    """Give the views of a picture, (H, W, ...)."""
    return [VIEWS[name].of(picture) for name in views]


def mean_of_views(embeddings: FloatArray, views: int) -> FloatArray:
    """
    Give each picture the unit mean of the embeddings of its views.

    :param embeddings: unit rows, float32 (B * views, D), the views of a picture in a row.
    :returns: float32 (B, D), unit rows; not finite where one of the views is not.
    """
    if views == 1:
        return embeddings
    return unit_rows(embeddings.reshape(-1, views, embeddings.shape[-1]).mean(1))


def are_whole(views: Sequence[str] | None) -> bool:
    """Tell whether views, as recipes and manifests name them, are the whole picture alone."""
    return tuple(views or ONLY_WHOLE) == ONLY_WHOLE
