# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Charts in the style of the reports, each as the bytes of a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgevl_training.report.drawing import (
    axes_of,
    bare,
    legend_name,
    plain_text,
    png_of,
    shortened,
)
from edgevl_training.report.style import ACCENT, FAINT, INK, LINE, MARK
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
import numpy as np
from numpy.typing import NDArray

_STRIP_PIXELS = 1200


def histogram(
    title: str,
    groups: Mapping[str, tuple[NDArray[np.floating], str]],
    xlabel: str,
    *,
    limits: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
    log: bool = False,
    percent: bool = False,
) -> bytes:
    """
    Draw how values lie, one group on top of the other.

    :param groups: name -> (values, colour); NaN is left out.
    :param limits: of the values; from their own range unless given.
    :param mark: a value to draw a line at, and what it is.
    """
    values = [of_group[np.isfinite(of_group)] for of_group, _ in groups.values()]
    drawing, axes = axes_of(title, 6.4, 3.5)
    edges = _edges(np.concatenate(values) if values else np.empty(0), limits, log)
    axes.hist(
        values, bins=edges.tolist(), stacked=True, color=[colour for _, colour in groups.values()],
        label=[legend_name(name) for name in groups],
    )
    if log:
        axes.set_xscale('log')
    if percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if mark is not None:
        _mark(axes, *mark)
    axes.set(xlabel=xlabel, ylabel='pairs', xlim=(edges[0], edges[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.0f}'))
    axes.grid(axis='y', color=LINE, linewidth=0.8)
    axes.margins(y=0.12)
    axes.legend(frameon=False, fontsize=9, loc='best')
    return png_of(drawing)


def kept_curve(
    title: str, values: NDArray[np.floating], mark: tuple[float, str], xlabel: str
) -> bytes:
    """Draw which share of the values lies at or above each threshold."""
    drawing, axes = axes_of(title, 6.4, 3.5)
    ordered = np.sort(values[np.isfinite(values)])
    top = max([mark[0] * 1.05, *ordered[-1:] * 1.05, 0.01])
    at = np.linspace(0, min(1.0, top), 400)
    share = 1 - np.searchsorted(ordered, at) / max(1, len(ordered))
    axes.plot(at, share, color=ACCENT, linewidth=2.2)
    axes.fill_between(at, share, where=at >= mark[0], color=ACCENT, alpha=0.18)
    kept = 1 - np.searchsorted(ordered, mark[0]) / max(1, len(ordered))
    axes.plot([mark[0]], [kept], 'o', color=MARK)
    _mark(axes, *mark)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel=xlabel, ylabel='share at or above', ylim=(0, 1.02), xlim=(0, at[-1]))
    axes.grid(color=LINE, linewidth=0.8)
    return png_of(drawing)


def stacked_bars(
    title: str,
    labels: Sequence[str],
    parts: Mapping[str, tuple[NDArray[np.integer], str]],
    xlabel: str,
) -> bytes:
    """
    Draw one horizontal bar a label, its parts beside each other; many labels in two columns.

    :param parts: name -> (count for each label, colour).
    """
    columns = 2 if len(labels) > 30 else 1
    rows = -(-len(labels) // columns)
    width, height = 12.0, 1.15 + 0.21 * max(3, rows)
    drawing = Figure(figsize=(width, height), layout='constrained')
    drawing.suptitle(title, size=12.5, weight='bold', color=INK, x=0.01, ha='left')
    longest = max([1, *np.sum([counts for counts, _ in parts.values()], axis=0)])
    for index in range(columns):
        axes = drawing.add_subplot(1, columns, index + 1)
        rows_here = slice(index * rows, (index + 1) * rows)
        _draw_bars(axes, labels[rows_here], parts, rows_here)
        axes.set(xlim=(0, longest * 1.09), ylim=(rows - 0.4, -0.6), xlabel=xlabel)
        if index == columns - 1:
            axes.legend(frameon=False, fontsize=9, loc='lower right')
    return png_of(drawing, dpi=120)


def strips(
    title: str,
    names: Sequence[str],
    rows: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]],
    colours: Mapping[str, str],
    xlabel: str,
) -> bytes:
    """
    Draw bags as strips along time, coloured by what each moment became.

    :param rows: for each name, times from 0 on and the indices into ``colours``.
    """
    longest = max([1e-9, *(float(times.max()) for times, _ in rows if len(times))])
    drawing = Figure(figsize=(12.0, 1.1 + 0.3 * max(1, len(names))), layout='constrained')
    drawing.suptitle(title, size=12.5, weight='bold', color=INK, x=0.01, ha='left')
    axes = drawing.add_subplot()
    bare(axes)
    palette = np.array([to_rgb(colour) for colour in colours.values()])
    for index, (times, kinds) in enumerate(rows):
        axes.imshow(
            _strip(times / longest, kinds, palette), aspect='auto', interpolation='nearest',
            extent=(0, longest, index + 0.38, index - 0.38),
        )
    axes.set(xlim=(0, longest), ylim=(len(names) - 0.5, -0.5), xlabel=xlabel)
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    plain_text(axes)
    for name, colour in colours.items():
        axes.plot([], [], 's', color=colour, markersize=8, label=legend_name(name))
    drawing.legend(
        loc='outside upper right', ncols=len(colours), frameon=False, fontsize=9,
    )
    return png_of(drawing, dpi=120)


def _edges(
    values: NDArray[np.floating], limits: tuple[float, float] | None, log: bool
) -> NDArray[np.floating]:
    if limits is None:
        limits = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    low, high = limits
    if log:
        low = max(low, 1e-3)
        return np.geomspace(low, max(high, low * 10), 41)
    if high == low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, 41)


def _mark(axes: Axes, value: float, what: str) -> None:
    axes.axvline(value, color=MARK, linewidth=1.6, linestyle=(0, (4, 2)))
    right_half = value > np.mean(axes.get_xlim())
    axes.annotate(
        what, (value, 0.97), xycoords=('data', 'axes fraction'), color=MARK, size=9.5,
        xytext=(-6 if right_half else 6, 0), textcoords='offset points', va='top',
        ha='right' if right_half else 'left',
    )


def _draw_bars(
    axes: Axes,
    labels: Sequence[str],
    parts: Mapping[str, tuple[NDArray[np.integer], str]],
    rows: slice,
) -> None:
    bare(axes)
    ends = np.zeros(len(labels))
    for name, (counts, colour) in parts.items():
        axes.barh(
            range(len(labels)), counts[rows], left=ends, color=colour, height=0.72,
            label=legend_name(name),
        )
        ends += np.asarray(counts[rows])
    for index, end in enumerate(ends):
        axes.annotate(
            f'{end:,.0f}', (end, index), xytext=(4, 0), textcoords='offset points', va='center',
            size=8, color=FAINT,
        )
    axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
    plain_text(axes)
    axes.grid(axis='x', color=LINE, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _strip(
    times: NDArray[np.floating], kinds: NDArray[np.integer], palette: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Paint moments, times 0 to 1, into a strip of pixels; gaps of two pixels are closed."""
    strip = np.ones((1, _STRIP_PIXELS, 3))
    if not len(times):
        return strip
    pixel = np.minimum((times * _STRIP_PIXELS).astype(int), _STRIP_PIXELS - 1)
    step = int(np.median(np.diff(np.unique(pixel)))) if len(np.unique(pixel)) > 1 else 8
    for offset in range(max(1, min(step, _STRIP_PIXELS))):
        strip[0, np.minimum(pixel + offset, _STRIP_PIXELS - 1)] = palette[kinds]
    return strip
