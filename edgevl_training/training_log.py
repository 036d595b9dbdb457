# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics of a training run: one line of JSON an epoch, TensorBoard, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from edgevl_training.output import atomic, write_text
from edgevl_training.report.drawing import png_of
from edgevl_training.report.style import FAINT, INK, LINE, MARK
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch.utils.tensorboard import SummaryWriter

METRICS, TENSORBOARD, CURVES = 'metrics.jsonl', 'tensorboard', 'curves.png'
_COLOURS = {'rgb': '#2f7ebc', 'depth': '#e39a2d', 'cross': '#7d4fa8'}
# Epochs up to which each is marked with a dot.
_FEW = 20

Epochs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Line:
    """A metric of the epochs, and how it is drawn."""

    key: str
    label: str
    colour: str
    style: str = '-'
    width: float = 2.0


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
                known = kind in ('train', 'validation', 'cosine') and rest
                self._board.add_scalar(f'{kind}/{rest}' if known else name, value, epoch['epoch'])


def draw_curves(path: Path, epochs: Epochs, best: int, names: Mapping[str, str]) -> None:
    """
    Draw what there is over the epochs: losses, cosines, triplets, pseudo-labels.

    :param best: the epoch that was chosen, counted from 1.
    :param names: what rgb and depth are called in the legend.
    """
    panels = [panel for panel in _panels(names) if any(line.key in epochs[0] for line in panel[2])]
    rows = 1 if len(panels) < 4 else 2
    drawing = Figure(figsize=(5.75 * len(panels) / rows, 4.2 * rows), layout='constrained')
    for index, (title, ylabel, lines) in enumerate(panels):
        axes = drawing.add_subplot(rows, len(panels) // rows, index + 1)
        for line in lines:
            _draw(axes, epochs, line)
        if best:
            label = f'chosen: epoch {best}'
            axes.axvline(best, color=MARK, linewidth=1, linestyle=':', label=label)
        _finish(axes, title, ylabel)
    with atomic(path) as temporary:
        temporary.write_bytes(png_of(drawing))


def _panels(names: Mapping[str, str]) -> list[tuple[str, str, list[_Line]]]:
    """Say what to draw together: title, axis, lines."""
    losses = [
        _Line(f'{part}_{key}', f'{names[key]}, {part}', _COLOURS[key], style)
        for key in names for part, style in (('train', '--'), ('validation', '-'))
    ]
    triplets = [
        _Line(f'train_triplet_{key}', name, _COLOURS[key])
        for key, name in {**names, 'cross': 'both together'}.items()
    ]
    anchors = _Line('train_triplet_share', 'share of anchors with a triplet', FAINT, ':')
    return [
        ('L1 distance to the teacher', 'L1 distance', losses),
        ('Agreement with the teacher, validation', 'cosine', _means('cosine', 'agreement', names)),
        ('Semi-hard triplets, training', 'loss and share', [*triplets, anchors]),
        ('Pseudo-labels met, validation', 'share of pictures',
         _means('pseudo_labels', 'pseudo_labels', names)),
    ]


def _means(prefix: str, mean: str, names: Mapping[str, str]) -> list[_Line]:
    """Give the lines of both modalities and of their mean."""
    of_each = [_Line(f'{prefix}_{key}', name, _COLOURS[key]) for key, name in names.items()]
    return [*of_each, _Line(mean, 'mean', INK, width=1.2)]


def _draw(axes: Axes, epochs: Epochs, line: _Line) -> None:
    if line.key in epochs[0]:
        axes.plot(
            [epoch['epoch'] for epoch in epochs], [epoch[line.key] for epoch in epochs],
            label=line.label, color=line.colour, linestyle=line.style, linewidth=line.width,
            marker='o' if len(epochs) <= _FEW else None, markersize=4,
        )


def _finish(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_title(title, loc='left', size=12, weight='bold', color=INK)
    axes.set(xlabel='epoch', ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(color=LINE, linewidth=0.8)
    axes.tick_params(colors=FAINT)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=9, handlelength=3.4, loc='best')
