# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The mistakes that a model was surest of, with their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgevl_training.curation.samples import colourise, decode_color, fetch
from edgevl_training.evaluation.pairs import RGB, SECOND
from edgevl_training.evaluation.results import Evaluated, NO_LABEL, Result
from edgevl_training.report.cards import Card
from edgevl_training.report.style import MARK
import numpy as np

MOST_CARDS = 12
# Of the same confusion; a sheet of one room mistaken for another says little.
_ALIKE = 2


def worst_mistakes(evaluated: Evaluated, result: Result, modality: str) -> list[Card]:
    """Show the wrong predictions of the highest probability, few of the same confusion."""
    said, reference = result.said[modality], evaluated.reference
    wrong = np.flatnonzero(evaluated.masks[modality] & (said.label != reference.label))
    rows = _choose(wrong[np.argsort(-said.probability[wrong], kind='stable')], said.label,
                   reference.label)
    pairs = evaluated.pairs
    encoded = fetch(
        (pairs.folder, pairs.shards), pairs.starts, [int(pairs.rows[row]) for row in rows]
    )
    return [_card(evaluated, result, modality, row, encoded[int(pairs.rows[row])]) for row in rows]


def _choose(ordered: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> list[int]:
    chosen: list[int] = []
    alike: Counter[tuple[int, int]] = Counter()
    for row in ordered.tolist():
        kind = (int(truth[row]), int(predicted[row]))
        if alike[kind] < _ALIKE:
            alike[kind] += 1
            chosen.append(row)
        if len(chosen) == MOST_CARDS:
            break
    return chosen


def _card(
    evaluated: Evaluated, result: Result, modality: str, row: int,
    encoded: tuple[bytes, bytes | None],
) -> Card:
    labels, said = evaluated.reference.labels, result.said
    truth = labels[evaluated.reference.label[row]]
    color, second = encoded
    others = [
        f'{name} says {labels[said[key].label[row]]} ({said[key].probability[row]:.0%})'
        for key, name in ((RGB, 'colour'), (SECOND, evaluated.pairs.modality.name))
        if key != modality and key in said and said[key].label[row] != NO_LABEL
    ]
    wrong = said[modality]
    return Card(
        f'{truth} \u2192 {labels[wrong.label[row]]}', float(wrong.probability[row]),
        '; '.join([*others, evaluated.pairs.ids[row]]), decode_color(color),
        None if second is None else colourise(second, evaluated.pairs.modality), MARK,
    )


def frequent_confusions(
    evaluated: Evaluated, result: Result, modality: str, most: int = 8
) -> list[tuple[str, str, str]]:
    """List what is most often taken for what: (label, taken for, how often)."""
    counts = result.scores[modality].confusion.copy()
    occurs = counts.sum(1)
    np.fill_diagonal(counts, 0)
    labels: Sequence[str] = evaluated.reference.labels
    size = len(labels)
    order = np.argsort(-counts, axis=None, kind='stable')[:most]
    return [
        (labels[i // size], labels[i % size], f'{counts.flat[i]} of {occurs[i // size]}')
        for i in order.tolist() if counts.flat[i]
    ]
