# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Charts that set models beside each other, each as the bytes of a PNG; shares run from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgevl_training.report.drawing import bare, plain_text, png_of, shortened
from edgevl_training.report.style import ACCENT, FAINT, INK, LINE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

# From here on a number in each cell, and one column of labels, would be too small to read.
_MOST_NUMBERED = 32
_MOST_IN_A_COLUMN = 40


@dataclass(frozen=True)
class Share:
    """A share and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bins:
    """Predictions sorted into bins of confidence over 0..1; empty bins are NaN."""

    title: str
    count: NDArray[np.integer]
    confidence: FloatArray
    right: FloatArray
    error: float
    colour: str = ACCENT


def shares(
    title: str, panels: Mapping[str, Mapping[str, Share]], colours: Mapping[str, str], xlabel: str
) -> bytes:
    """
    Draw a share of each model as a dot with its interval, one panel beside the other.

    :param panels: panel -> model -> share; a model may be missing.
    :param colours: of every model, in the order of the rows.
    """
    names = list(colours)
    top = max([0.01, *(share.high for panel in panels.values() for share in panel.values())])
    drawing = _drawing(title, 12.0, 1.5 + 0.42 * len(names))
    for index, (panel, values) in enumerate(panels.items()):
        axes = drawing.add_subplot(1, len(panels), index + 1)
        _panel(axes, panel)
        for row, name in enumerate(names):
            if name in values:
                _dot(axes, row, values[name], colours[name])
        axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, min(1.0, top * 1.05)), xlabel=xlabel)
        axes.set_yticks(range(len(names)), names if index == 0 else [''] * len(names))
        plain_text(axes)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis='x', color=LINE, linewidth=0.8)
    return png_of(drawing, dpi=130)


def class_shares(
    title: str, labels: Sequence[str], models: Mapping[str, tuple[FloatArray, str]], xlabel: str
) -> bytes:
    """
    Draw one row a label with a dot for each model; many labels in two columns.

    :param models: model -> (share of each label, NaN where there is none; colour).
    """
    columns = 2 if len(labels) > _MOST_IN_A_COLUMN else 1
    rows = -(-len(labels) // columns)
    drawing = _drawing(title, 12.0, 1.4 + 0.235 * max(3, rows))
    for index in range(columns):
        axes = drawing.add_subplot(1, columns, index + 1)
        bare(axes)
        here = slice(index * rows, (index + 1) * rows)
        values = np.array([of_model[here] for of_model, _ in models.values()])
        for row, of_label in enumerate(values.T):
            known = of_label[np.isfinite(of_label)]
            if len(known):
                axes.plot([known.min(), known.max()], [row, row], color=LINE, linewidth=2.5)
        for of_model, (name, (_, colour)) in zip(values, models.items()):
            axes.plot(
                of_model, np.arange(len(of_model)), 'o', color=colour, markersize=6.5,
                label=name.lstrip('_'), alpha=0.9, markeredgecolor='white', markeredgewidth=0.6,
                clip_on=False,
            )
        axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6), xlabel=xlabel)
        axes.set_yticks(range(len(labels[here])), [shortened(label) for label in labels[here]])
        plain_text(axes)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis='x', color=LINE, linewidth=0.8)
    handles, names = drawing.axes[0].get_legend_handles_labels()
    drawing.legend(
        handles, names, loc='outside upper right', ncols=len(models), frameon=False, fontsize=9
    )
    return png_of(drawing, dpi=120)


def matrix(
    title: str, counts: NDArray[np.integer], rows: Sequence[str], columns: Sequence[str],
    ylabel: str, xlabel: str,
) -> bytes:
    """
    Draw how often each row became each column, shaded by the share of its row.

    Up to some thirty labels every cell shows its count.
    """
    size = max(len(rows), len(columns))
    cell, font = (0.34, 8.5) if size <= _MOST_NUMBERED else (0.145, 6.5)
    names = [[shortened(name) for name in of_axis] for of_axis in (rows, columns)]
    left, bottom = (0.6 + 0.0092 * font * max(4, *map(len, of_axis)) for of_axis in names)
    wide, high = max(3.2, cell * len(columns)), max(1.6, cell * len(rows))
    width, height = left + wide + 0.15, bottom + high + 0.55
    # Fixed margins: automatic ones would measure hundreds of names again and again.
    drawing = Figure(figsize=(width, height))
    drawing.text(0.1 / width, 1 - 0.3 / height, title, size=12.5, weight='bold', color=INK)
    axes = drawing.add_axes((left / width, bottom / height, wide / width, high / height))
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    axes.imshow(share, cmap='Blues', vmin=0, vmax=1, aspect='auto', interpolation='nearest')
    axes.set_yticks(range(len(rows)), names[0])
    axes.set_xticks(range(len(columns)), names[1], rotation=90)
    axes.tick_params(labelsize=font, length=0, colors=INK)
    axes.set_xlabel(xlabel, color=FAINT, fontsize=9)
    axes.set_ylabel(ylabel, color=FAINT, fontsize=9)
    plain_text(axes)
    for side in axes.spines.values():
        side.set_color(LINE)
    if size <= _MOST_NUMBERED:
        for row, column in zip(*np.nonzero(counts)):
            axes.text(
                column, row, str(counts[row, column]), ha='center', va='center', size=7.5,
                color='white' if share[row, column] > 0.55 else INK,
            )
    places = {name: column for column, name in enumerate(columns)}
    for row, name in enumerate(rows):
        if name in places:
            axes.add_patch(_frame((places[name] - 0.5, row - 0.5)))
    return png_of(drawing, dpi=130)


def reliability_diagrams(
    title: str, panels: Sequence[Sequence[Bins | None]], xlabel: str, ylabel: str
) -> bytes:
    """Draw how often predictions are right at each confidence: rows and columns of panels."""
    columns = max(len(row) for row in panels)
    drawing = _drawing(title, max(6.0, 2.75 * columns), 0.7 + 2.75 * len(panels))
    grid = drawing.subplots(len(panels), columns, squeeze=False, sharex=True, sharey=True)
    for row, of_row in zip(grid, panels):
        for axes, bins in zip(row, [*of_row, *[None] * (columns - len(of_row))]):
            if bins is None:
                axes.axis('off')
            else:
                _reliability(axes, bins)
    for axes in grid[-1]:
        axes.set_xlabel(xlabel, fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel, fontsize=9)
    return png_of(drawing, dpi=130)


def distributions(
    title: str, panels: Mapping[str, Mapping[str, FloatArray]], colours: Mapping[str, str],
    xlabel: str, unit: str,
) -> bytes:
    """
    Draw how values lie for each model, one panel beside the other, with their median.

    :param panels: panel -> model -> values.
    """
    names = list(colours)
    drawing = _drawing(title, 12.0, 1.5 + 0.62 * len(names))
    grid = drawing.subplots(1, max(1, len(panels)), squeeze=False, sharex=True)[0]
    for index, (axes, (panel, values)) in enumerate(zip(grid, panels.items())):
        _panel(axes, panel)
        for row, name in enumerate(names):
            known = values.get(name, np.empty(0))
            known = known[np.isfinite(known)]
            if len(known):
                _violin(axes, row, known, colours[name], unit)
        axes.set(ylim=(len(names) - 0.4, -0.7), xlabel=xlabel)
        axes.set_yticks(range(len(names)), names if index == 0 else [''] * len(names))
        plain_text(axes)
        axes.grid(axis='x', color=LINE, linewidth=0.8)
    return png_of(drawing, dpi=130)


def _drawing(title: str, width: float, height: float) -> Figure:
    drawing = Figure(figsize=(width, height), layout='constrained')
    drawing.suptitle(title, size=12.5, weight='bold', color=INK, x=0.01, ha='left')
    return drawing


def _panel(axes: Axes, title: str) -> None:
    bare(axes)
    axes.set_title(title, size=11, color=INK, loc='left')


def _dot(axes: Axes, row: int, share: Share, colour: str) -> None:
    axes.plot([share.low, share.high], [row, row], color=colour, linewidth=5, alpha=0.3,
              solid_capstyle='round')
    axes.plot([share.value], [row], 'o', color=colour, markersize=8)
    axes.annotate(
        f'{share.value:.1%}', (share.value, row), xytext=(0, 7), textcoords='offset points',
        ha='center', size=9, color=INK,
    )


def _frame(place: tuple[float, float]) -> Rectangle:
    return Rectangle(place, 1, 1, fill=False, edgecolor=ACCENT, linewidth=0.9)


def _reliability(axes: Axes, bins: Bins) -> None:
    bare(axes)
    axes.set_title(bins.title, size=9.5, color=INK, loc='left')
    edges = np.linspace(0, 1, len(bins.count) + 1)
    axes.bar(
        edges[:-1], np.nan_to_num(bins.right), width=1 / len(bins.count), align='edge',
        color=bins.colour, alpha=0.35, edgecolor='white',
    )
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    size = 10 + 110 * np.sqrt(bins.count / max(1, bins.count.max()))
    axes.scatter(bins.confidence, bins.right, s=size, color=bins.colour, zorder=3,
                 edgecolor='white', linewidth=0.8, clip_on=False)
    axes.text(
        0.04, 0.95, f'ECE {100 * bins.error:.1f} points', transform=axes.transAxes, va='top',
        size=9, color=INK,
    )
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect='equal', xticks=ticks[::2], yticks=ticks)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _violin(axes: Axes, row: int, values: FloatArray, colour: str, unit: str) -> None:
    # A density needs values that differ.
    if len(np.unique(values)) > 1:
        parts = axes.violinplot(
            [values], [row], orientation='horizontal', widths=0.75, showextrema=False
        )
        bodies: Any = parts['bodies']
        for body in bodies:
            body.set(facecolor=colour, alpha=0.4, edgecolor='none')
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    axes.plot([low, high], [row, row], color=colour, linewidth=4, solid_capstyle='round')
    axes.plot([middle], [row], 'o', color='white', markeredgecolor=colour, markersize=7)
    axes.annotate(
        f'{middle:.1f}{unit}', (middle, row), xytext=(0, 9), textcoords='offset points',
        ha='center', size=9, color=INK,
    )
