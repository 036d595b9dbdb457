# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics of a training run: one line of JSON an epoch, TensorBoard, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

from edgevl_training.output import atomic, write_text
from edgevl_training.report.charts import png_of
from edgevl_training.report.style import FAINT, INK, LINE, MARK
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch.utils.tensorboard import SummaryWriter

METRICS, TENSORBOARD, CURVES = 'metrics.jsonl', 'tensorboard', 'curves.png'
_COLOURS = {'rgb': '#2f7ebc', 'depth': '#e39a2d'}

Epochs = Sequence[Mapping[str, Any]]


class TrainingLog:
    """
    Metrics beside the checkpoints, for the time of a ``with``.

    A checkpoint holds the metrics of every epoch, so the files are made from them: whatever was
    written after the checkpoint that a run goes on from is gone, and each epoch is there once.
    """

    def __init__(self, folder: Path, epochs: Epochs) -> None:
        """Write the epochs that are done."""
        self._folder = folder
        for old in (folder / TENSORBOARD).glob('events.*'):
            old.unlink()
        self._board = SummaryWriter(str(folder / TENSORBOARD))
        self._write_lines(epochs)
        for epoch in epochs:
            self._show(epoch)

    def __enter__(self) -> TrainingLog:
        """Go on writing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the event file."""
        self._board.close()

    def add(self, epochs: Epochs) -> None:
        """Write the last of all epochs."""
        self._write_lines(epochs)
        self._show(epochs[-1])
        self._board.flush()

    def _write_lines(self, epochs: Epochs) -> None:
        lines = ''.join(f'{json.dumps(epoch)}\n' for epoch in epochs)
        write_text(self._folder / METRICS, lines)

    def _show(self, epoch: Mapping[str, Any]) -> None:
        for name, value in epoch.items():
            if name != 'epoch':
                kind, _, rest = name.partition('_')
                known = kind in ('train', 'validation', 'cosine')
                self._board.add_scalar(f'{kind}/{rest}' if known else name, value, epoch['epoch'])


def draw_curves(path: Path, epochs: Epochs, best: int, names: Mapping[str, str]) -> None:
    """
    Draw losses and cosines over the epochs.

    :param best: the epoch that was chosen, counted from 1.
    :param names: what rgb and depth are called in the legend.
    """
    drawing = Figure(figsize=(11.5, 4.2), layout='constrained')
    losses, cosines = drawing.subplots(1, 2)
    numbers = [epoch['epoch'] for epoch in epochs]
    for modality, colour in _COLOURS.items():
        for prefix, style in (('train', '--'), ('validation', '-')):
            _line(losses, numbers, epochs, f'{prefix}_{modality}',
                  f'{names[modality]}, {prefix}', color=colour, linestyle=style)
        _line(cosines, numbers, epochs, f'cosine_{modality}', names[modality], color=colour)
    _line(cosines, numbers, epochs, 'agreement', 'mean', color=INK, linewidth=1.2)
    _finish(losses, 'L1 distance to the teacher', 'L1 distance', best)
    _finish(cosines, 'Agreement with the teacher, validation pairs', 'cosine', best)
    with atomic(path) as temporary:
        temporary.write_bytes(png_of(drawing))


def _line(
    axes: Axes, numbers: Sequence[int], epochs: Epochs, key: str, label: str, **how: Any
) -> None:
    if key in epochs[0]:
        few = {'marker': 'o', 'markersize': 4} if len(epochs) <= 20 else {}
        values = [epoch[key] for epoch in epochs]
        axes.plot(numbers, values, label=label, **{'linewidth': 2.0, **few, **how})


def _finish(axes: Axes, title: str, ylabel: str, best: int) -> None:
    axes.set_title(title, loc='left', size=12, weight='bold', color=INK)
    axes.set(xlabel='epoch', ylabel=ylabel)
    axes.axvline(best, color=MARK, linewidth=1, linestyle=':', label=f'chosen: epoch {best}')
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(color=LINE, linewidth=0.8)
    axes.tick_params(colors=FAINT)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=9, handlelength=3.4)
