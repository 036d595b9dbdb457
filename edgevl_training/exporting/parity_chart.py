# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of how near exported graphs come to the network that was trained."""

from __future__ import annotations

from collections.abc import Mapping

from edgevl_training.exporting.parity import Cosines, LEAST_COSINE
from edgevl_training.report.drawing import bare, png_of
from edgevl_training.report.style import INK, LINE, MARK
from matplotlib.figure import Figure
import numpy as np

_COLOURS = {'rgb': '#2f7ebc', 'depth': '#e39a2d'}
# Nearer than float32 can tell.
_LEAST = 1e-8


def parity_chart(
    title: str, cosines: Mapping[str, Cosines], titles: Mapping[str, str],
    names: Mapping[str, str],
) -> bytes:
    """
    Draw a histogram for each graph, as the bytes of a PNG.

    :param titles: what is compared, by the names of ``cosines``.
    :param names: what the modalities are called.
    """
    drawing = Figure(figsize=(9, 0.8 + 1.9 * len(cosines)), layout='constrained')
    drawing.suptitle(title, size=12.5, weight='bold', color=INK, x=0.01, ha='left')
    values = np.concatenate([v for part in cosines.values() for v in part.values()])
    apart = np.maximum(1 - values, _LEAST)
    low = 10 ** np.floor(np.log10(apart.min()))
    high = max(10 ** np.ceil(np.log10(apart.max())), 2 * (1 - LEAST_COSINE))
    edges = np.geomspace(low, high, 61).tolist()
    all_axes = drawing.subplots(len(cosines), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, part) in zip(all_axes, cosines.items()):
        bare(axes)
        axes.hist(
            [np.clip(1 - v, low, high) for v in part.values()], bins=edges, stacked=True,
            color=[_COLOURS[m.value] for m in part],
            label=[f'{names[m.value]}, mean cosine {v.mean():.5f}' for m, v in part.items()],
        )
        axes.set_xscale('log')
        axes.axvline(1 - LEAST_COSINE, color=MARK, linewidth=1.6, linestyle=(0, (4, 2)))
        axes.set_title(titles[name], size=10, color=INK, loc='left')
        axes.set_ylabel('pictures')
        axes.grid(axis='y', color=LINE, linewidth=0.8)
        axes.legend(frameon=False, fontsize=9, loc='best')
    all_axes[-1].set_xlabel(
        f'1 - cosine; the mean has to be left of the line, {LEAST_COSINE}'
    )
    return png_of(drawing, dpi=120)
