# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The charts in the report of ``curate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevl_ros.core.vocabulary import Vocabulary
from edgevl_training.curation.columns import PairColumns
from edgevl_training.curation.selection import KEPT, Selection
from edgevl_training.curation.splits import SPLITS, Splits
from edgevl_training.dataset import SecondModality, Shard
from edgevl_training.report import charts
from edgevl_training.report.style import ACCENT, DROPPED, INK, SPLIT_COLOURS
import numpy as np
from numpy.typing import NDArray

_MOST_STRIPS = 40
_MOST_BARS = 150
_NS = 1e9
_PALE = {'train': '#bcd7ec', 'validation': '#f6ddb5', 'test': '#d6c6e6'}


@dataclass(frozen=True)
class Curated:
    """Everything that the report tells about; ``manifest`` is what the manifest will hold."""

    pairs: tuple[Path, Sequence[Shard]]
    columns: PairColumns
    splits: Splits
    selection: Selection
    superset: Vocabulary
    manifest: dict[str, Any]


def draw_charts(curated: Curated) -> dict[str, bytes]:
    """Draw every chart that the data allow: name -> PNG."""
    columns, selection = curated.columns, curated.selection
    confidence = columns.judged.confidence
    tau = (selection.tau, f'tau {selection.tau:.3g}')
    known = confidence[np.isfinite(confidence)]
    top = min(1.0, max([0.01, selection.tau * 1.1, *known.max(initial=0.0, keepdims=True) * 1.05]))
    pictures = {
        'confidence': charts.histogram(
            'Confidence of the teacher', _kept_and_dropped(curated, confidence),
            'probability of the most likely phrase', limits=(0.0, top), mark=tau,
        ),
        'kept_over_tau': charts.kept_curve(
            'What another tau would let through', confidence[selection.candidate], tau,
            'tau (duplicates, borders and full classes not counted)',
        ),
        'classes': _class_chart(curated),
        'strips': _strip_chart(curated),
        'sharpness': charts.histogram(
            'Sharpness', _kept_and_dropped(curated, columns.sharpness),
            'variance of the Laplacian at 320 pixels width', log=True,
        ),
    }
    if np.isfinite(columns.skew_ms).any():
        pictures['skew'] = charts.histogram(
            'Skew of the pairs', _kept_and_dropped(curated, columns.skew_ms),
            'second picture after colour, in ms',
        )
    if np.isfinite(columns.coverage).any():
        pictures['coverage'] = charts.histogram(
            f'Coverage of {modality_of(curated).name}',
            _kept_and_dropped(curated, columns.coverage),
            'share of the pixels with a reading', limits=(0.0, 1.0), percent=True,
        )
    return pictures


def _kept_and_dropped(
    curated: Curated, values: NDArray[np.floating]
) -> dict[str, tuple[NDArray[np.floating], str]]:
    kept = curated.selection.kept
    return {
        f'kept ({percent(int(kept.sum()), len(kept))})': (values[kept], ACCENT),
        f'dropped ({percent(int((~kept).sum()), len(kept))})': (values[~kept], DROPPED),
    }


def _class_chart(curated: Curated) -> bytes:
    label, reason = curated.columns.judged.label, curated.selection.reason
    judged = label >= 0
    size = len(curated.superset.labels)
    parts = {
        name: np.bincount(
            label[(reason == KEPT) & (curated.splits.split == index)], minlength=size
        )
        for index, name in enumerate(SPLITS)
    }
    dropped = np.bincount(label[judged & (reason != KEPT)], minlength=size)
    kept = np.sum(list(parts.values()), axis=0)
    order = [i for i in np.lexsort((-dropped, -kept)) if kept[i] + dropped[i]][:_MOST_BARS]
    counts = {name: (values[order], SPLIT_COLOURS[name]) for name, values in parts.items()}
    counts['dropped'] = (dropped[order], DROPPED)
    return charts.stacked_bars(
        'Pairs of each pseudo-label', [curated.superset.labels[i] for i in order],
        counts, 'pairs',
    )


def _strip_chart(curated: Curated) -> bytes:
    columns, splits = curated.columns, curated.splits
    sizes = np.bincount(columns.bag)
    shown = np.argsort(-sizes, kind='stable')[:_MOST_STRIPS]
    kinds = splits.split + np.where(curated.selection.kept, 0, len(SPLITS))
    kinds = np.where(splits.near_border, 2 * len(SPLITS), kinds)
    rows = []
    for bag in shown:
        mine = np.flatnonzero(columns.bag == bag)
        stamps = columns.stamp_ns[mine]
        rows.append(((stamps - stamps.min()) / _NS, kinds[mine]))
    colours = {
        **SPLIT_COLOURS, **{f'{name}, dropped': pale for name, pale in _PALE.items()},
        'near a border': INK,
    }
    more = f', the {_MOST_STRIPS} largest of {len(sizes)}' if len(sizes) > _MOST_STRIPS else ''
    return charts.strips(
        f'Bags along time{more}', [columns.bags[bag] for bag in shown], rows, colours,
        'seconds since the first pair',
    )


def modality_of(curated: Curated) -> SecondModality:
    """Say what the second pictures are."""
    described = dict(curated.manifest['second_modality'] or {})
    if 'missing' in described:
        described['missing'] = tuple(described['missing'])
    return SecondModality(**described)


def percent(part: int, whole: int) -> str:
    """Give a share in words."""
    return f'{part / whole:.1%}' if whole else 'none'
