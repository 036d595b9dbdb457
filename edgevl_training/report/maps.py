# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Maps of many points in the plane, coloured by class, as the bytes of a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import colorsys

from edgevl_training.report.drawing import png_of, shortened
from edgevl_training.report.style import FAINT, INK, LINE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
import numpy as np
from numpy.typing import NDArray

_MARKERS = ('o', '^', 's', 'D')
_GOLDEN_RATIO = 0.618033988749895
# More words than this would lie on top of each other.
_MOST_WORDS = 60
# Of a label at the resolution of the drawing, before it is rendered.
_LETTER_PX, _LINE_PX = 7.5, 15.0
_MOST_MOVES = 500


def point_map(
    title: str,
    groups: Mapping[str, tuple[NDArray[np.floating], NDArray[np.integer]]],
    words: tuple[NDArray[np.floating], Sequence[str]],
    importance: NDArray[np.integer],
) -> bytes:
    """
    Draw points in the plane, each group with its own marker, each class in its own colour.

    :param groups: name -> (places (N, 2), class of each, which indexes the words).
    :param words: place of each class's words, (K, 2), and the words.
    :param importance: of each class, (K,): the most important ones are named.
    """
    colours = class_colours(len(words[1]))
    # Fixed margins, so that places on the paper are known while names are put on it.
    drawing = Figure(figsize=(12.0, 9.0))
    drawing.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.94)
    drawing.suptitle(title, size=12.5, weight='bold', color=INK, x=0.01, ha='left')
    axes = drawing.add_subplot()
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_color(LINE)
    for marker, (name, (places, classes)) in zip(_MARKERS, groups.items()):
        axes.scatter(
            places[:, 0], places[:, 1], c=colours[classes], marker=marker, s=26, alpha=0.75,
            linewidth=0.3, edgecolor='white',
        )
        axes.scatter([], [], c=FAINT, marker=marker, s=40, label=name.lstrip('_'))
    axes.scatter([], [], c=INK, marker='*', s=90, label='words of a label')
    named = np.argsort(-importance, kind='stable')[:_MOST_WORDS]
    stars = words[0][named]
    axes.scatter(stars[:, 0], stars[:, 1], c=colours[named], marker='*', s=150, edgecolor=INK,
                 linewidth=0.8, zorder=4)
    names = [shortened(words[1][index]) for index in named.tolist()]
    _name(axes, stars, names)
    axes.legend(frameon=True, fontsize=10, loc='best', edgecolor=LINE)
    return png_of(drawing, dpi=110)


def _name(axes: Axes, places: NDArray[np.floating], names: Sequence[str]) -> None:
    """Write names beside places, moved up and down until they do not cover each other."""
    axes.autoscale_view()
    inverse = axes.transData.inverted()
    pixels = axes.transData.transform(places)
    wide = np.array([_LETTER_PX * len(name) for name in names])
    moved = _apart(pixels + np.array([0, _LINE_PX]), wide)
    for name, place, pixel, start in zip(names, places, moved, pixels):
        far = abs(pixel[1] - start[1]) > 2 * _LINE_PX
        axes.annotate(
            name, place, xytext=tuple(inverse.transform(pixel)), ha='center', va='center', size=9,
            color=INK, zorder=5, parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground='white')],
            arrowprops={'arrowstyle': '-', 'color': FAINT, 'linewidth': 0.6} if far else None,
        )


def _apart(centres: NDArray[np.floating], wide: NDArray[np.floating]) -> NDArray[np.floating]:
    """Move boxes of one line, (N, 2), up or down until none covers another, or for a while."""
    moved = centres.astype(float)
    # Of boxes at the same height the earlier one goes up.
    moved[:, 1] -= 1e-3 * np.arange(len(moved))
    touches = np.abs(moved[:, :1] - moved[:, 0]) < (wide[:, np.newaxis] + wide) / 2
    np.fill_diagonal(touches, False)
    for _ in range(_MOST_MOVES):
        apart = moved[:, 1:] - moved[:, 1]
        covers = touches & (np.abs(apart) < _LINE_PX)
        if not covers.any():
            break
        push = np.where(covers, np.sign(apart) * (_LINE_PX - np.abs(apart)), 0.0)
        moved[:, 1] += 0.5 * push.sum(1) / np.maximum(1, covers.sum(1))
    return moved


def class_colours(count: int) -> NDArray[np.float64]:
    """Give colours that are apart from each other, neighbours most of all: RGB, (count, 3)."""
    return np.array([
        colorsys.hls_to_rgb(
            index * _GOLDEN_RATIO % 1, (0.42, 0.56, 0.34)[index % 3], (0.75, 0.6)[index % 2]
        )
        for index in range(count)
    ]).reshape(-1, 3)
