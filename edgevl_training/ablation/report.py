# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tables as a page, with a chart."""

from __future__ import annotations

from edgevl_training.ablation.experiments import ROWS, TABLES
from edgevl_training.ablation.tables import Ablation
from edgevl_training.report import page
from edgevl_training.report.drawing import png_of
from edgevl_training.report.style import FAINT, INK, LINE, SPLIT_COLOURS
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
import numpy as np

_COLOURS = {'rgb': SPLIT_COLOURS['train'], 'depth': SPLIT_COLOURS['validation']}
_THICKNESS = 0.38


def report_page(ablation: Ablation, chart: bytes) -> str:
    """Give the self-contained page."""
    pieces = [
        page.figure(chart, 'Bars of top-1 on both modalities for every method', 'Top-1 of every '
                    'method; whiskers: standard deviation over seeds'),
    ]
    for number, title in TABLES.items():
        rows = [ablation.cells(line, number) for line in ablation.table(number)]
        if rows:
            pieces += [page.heading(f'Table {number}: {title}'),
                       page.table(ablation.headings, rows)]
    pieces += [page.heading('What was trained'), page.table(('Row', 'What'), [
        (title.format(second=ablation.second), line.row.what)
        for line in ablation.lines for title in list(line.row.tables.values())[:1]
    ])]
    for heading, problems in ablation.failures.items():
        pieces += [page.heading(heading), page.table(('Row', 'Reason'), list(problems.items()))]
    return page.page('Ablation', ablation.measured, pieces)


def draw_chart(ablation: Ablation) -> bytes:
    """Draw top-1 of every line that has numbers, a bar for each modality."""
    # EdgeVL is in both tables, and one bar is enough.
    measured = {line.name: (line, number) for number in TABLES
                for line in ablation.table(number) if line.by_seed}
    lines = [measured[name] for name in ROWS if name in measured]
    drawing = Figure(figsize=(9.0, 1.4 + 0.52 * max(2, len(lines))), layout='constrained')
    axes = drawing.add_subplot()
    at = np.arange(len(lines))
    for offset, (modality, colour) in zip((-0.5, 0.5), _COLOURS.items()):
        means = [line.mean(f'{modality}_top1') for line, _ in lines]
        # Nothing is drawn of what was not measured: no bar would look like none right.
        known = [index for index, mean in enumerate(means) if mean is not None]
        values = [mean for mean in means if mean is not None]
        errors = [lines[index][0].deviation(f'{modality}_top1') or 0.0 for index in known]
        bars = axes.barh(
            at[known] + offset * _THICKNESS, values, _THICKNESS * 0.92, color=colour,
            xerr=errors if any(errors) else None, error_kw={'ecolor': INK, 'elinewidth': 1},
            label='RGB' if modality == 'rgb' else ablation.second,
        )
        axes.bar_label(bars, [f'{100 * value:.1f}' for value in values], padding=4, size=8,
                       color=FAINT)
    axes.set_yticks(at, [ablation.title(line, number) for line, number in lines])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_title('Top-1', loc='left', size=12.5, weight='bold', color=INK)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis='x', color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(colors=FAINT)
    drawing.legend(loc='outside upper right', ncols=2, frameon=False, fontsize=9)
    return png_of(drawing)
