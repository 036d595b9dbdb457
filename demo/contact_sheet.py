# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The picture that remains: every frame with its labels, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import textwrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray

TILE_INCHES = 4.2
DPI = 110
LABELS = 3
LABEL_LETTERS = 19
INK, FAINT, PAPER = '#1d2733', '#6b7785', '#ffffff'
RIGHT, WRONG, MISSING = '#1a7f4b', '#c0392b', '#8a6d1b'
BAR_COLOURS = ('#2f7ebc', '#e07b39')


@dataclass(frozen=True)
class Answers:
    """Labels with their probabilities, the best first, under a heading of one or two words."""

    heading: str
    labels: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Tile:
    """
    One frame of the sheet.

    ``rgb`` is uint8 of shape (H, W, 3); ``depth`` is in metres with NaN for no reading, of any
    shape (H, W), or None. ``right`` is None when nobody knows the truth.
    """

    title: str
    rgb: NDArray[np.uint8]
    answers: Sequence[Answers]
    depth: NDArray[np.floating] | None = None
    right: bool | None = None


def draw_contact_sheet(
    path: Path, title: str, notes: Sequence[str], tiles: Sequence[Tile], columns: int
) -> None:
    """Draw the tiles in so many columns below a title and notes, and write the PNG at once."""
    rows = -(-len(tiles) // columns)
    width = TILE_INCHES * columns
    lines = [line for note in notes for line in textwrap.wrap(note, int(width * 12.5))]
    header = 0.75 + 0.26 * len(lines)
    tile_height = TILE_INCHES * 0.75 + 1.55
    height = header + rows * tile_height
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
    figure.text(0.25 / width, 1 - 0.45 / height, title, size=19, weight='bold', color=INK)
    for i, line in enumerate(lines):
        figure.text(0.25 / width, 1 - (0.8 + 0.26 * i) / height, line, size=12, color=FAINT)
    for i, tile in enumerate(tiles):
        left = (i % columns) / columns
        top = 1 - (header + (i // columns) * tile_height) / height
        _draw_tile(figure, tile, left, top, 1 / columns, tile_height / height)
    temporary = path.with_name(f'.{path.name}.part')
    FigureCanvasAgg(figure).print_png(temporary)
    temporary.replace(path)


def _draw_tile(
    figure: Figure, tile: Tile, left: float, top: float, width: float, height: float
) -> None:
    margin = 0.05 * width
    inner = width - 2 * margin
    colour = {None: INK, True: RIGHT, False: WRONG}[tile.right]
    figure.text(
        left + margin, top - 0.055 * height, tile.title, size=13, weight='bold', color=colour
    )
    picture = figure.add_axes((left + margin, top - 0.715 * height, inner, 0.635 * height))
    picture.imshow(_cropped(tile.rgb), aspect='auto', interpolation='antialiased')
    _frame(picture, colour if tile.right is not None else '#c9d1d9')
    if tile.depth is not None:
        inset = figure.add_axes(
            (left + margin + 0.66 * inner, top - 0.705 * height, 0.33 * inner, 0.21 * height)
        )
        _draw_depth(inset, tile.depth)
    gap = 0.03 * inner
    share = (inner + gap) / max(1, len(tile.answers))
    for i, answers in enumerate(tile.answers):
        axes = figure.add_axes(
            (left + margin + i * share, top - 0.97 * height, share - gap, 0.24 * height)
        )
        _draw_answers(axes, answers, BAR_COLOURS[i % len(BAR_COLOURS)])


def _draw_answers(axes: Axes, answers: Answers, colour: str) -> None:
    axes.set(xlim=(0, 1), ylim=(LABELS, -0.75))
    axes.axis('off')
    axes.text(0, -0.42, answers.heading, size=9.5, color=FAINT, va='center')
    if not answers.labels:
        axes.text(0, 0.6, 'no answer', size=11.5, color=MISSING, va='center', weight='bold')
    for i, (label, probability) in enumerate(list(answers.labels)[:LABELS]):
        axes.barh(i + 0.45, 1, height=0.8, color='#eef1f4')
        axes.barh(i + 0.45, probability, height=0.8, color=colour, alpha=0.6 if i == 0 else 0.35)
        weight = 'bold' if i == 0 else 'normal'
        axes.text(
            0.02, i + 0.47, _shortened(label), size=11, color=INK, weight=weight, va='center',
        )
        axes.text(
            0.98, i + 0.47, f'{probability:.0%}', size=10, color=INK, weight=weight, va='center',
            ha='right',
        )


def _shortened(label: str) -> str:
    return label if len(label) <= LABEL_LETTERS else f'{label[:LABEL_LETTERS - 1]}\u2026'


def _draw_depth(axes: Axes, depth: NDArray[np.floating]) -> None:
    axes.imshow(_cropped(depth), aspect='auto', cmap='viridis_r', interpolation='nearest')
    axes.set_facecolor('black')
    _frame(axes, 'white')
    known = depth[np.isfinite(depth)]
    if known.size:
        axes.text(
            0.04, 0.08, f'depth {known.min():.1f} to {known.max():.1f} m', size=7.5,
            color='white', transform=axes.transAxes,
            bbox={'facecolor': 'black', 'alpha': 0.6, 'linewidth': 0, 'pad': 2},
        )


def _frame(axes: Axes, colour: str) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2)


def _cropped(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Cut the middle of an image out in the shape of the tile, four to three."""
    height, width = image.shape[:2]
    cut_height, cut_width = min(height, width * 3 // 4), min(width, height * 4 // 3)
    y, x = (height - cut_height) // 2, (width - cut_width) // 2
    return image[y:y + cut_height, x:x + cut_width]
