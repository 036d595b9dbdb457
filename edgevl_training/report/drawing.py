# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What all charts have in common."""

from __future__ import annotations

from io import BytesIO

from edgevl_training.report.style import FAINT, INK, LINE, PAPER
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DPI = 150
_LETTERS = 34


def png_of(drawing: Figure, dpi: int = _DPI) -> bytes:
    """Render a figure."""
    drawing.set_facecolor(PAPER)
    stream = BytesIO()
    FigureCanvasAgg(drawing)
    drawing.savefig(stream, format='png', dpi=dpi)
    return stream.getvalue()


def axes_of(title: str, width: float, height: float) -> tuple[Figure, Axes]:
    """Begin a chart of one pair of axes, sizes in inches."""
    drawing = Figure(figsize=(width, height))
    # Fixed margins: automatic ones would draw everything twice.
    drawing.subplots_adjust(left=0.11, right=0.98, bottom=0.16, top=0.9)
    axes = drawing.add_subplot()
    axes.set_title(title, size=12.5, weight='bold', color=INK, loc='left')
    bare(axes)
    return drawing, axes


def bare(axes: Axes) -> None:
    """Take away what distracts from the data."""
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    for side in ('left', 'bottom'):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    axes.xaxis.label.set_color(FAINT)
    axes.yaxis.label.set_color(FAINT)
    axes.set_axisbelow(True)


def shortened(text: str) -> str:
    """Cut a long name."""
    return text if len(text) <= _LETTERS else f'{text[:_LETTERS - 1]}\u2026'


def legend_name(name: str) -> str:
    """Give a name that a legend shows."""
    # Matplotlib leaves names that begin with an underscore out.
    return name.lstrip('_') or ' '


def plain_text(axes: Axes) -> None:
    """Show names as they are: a dollar sign in one is no formula."""
    for text in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        text.set_parse_math(False)
