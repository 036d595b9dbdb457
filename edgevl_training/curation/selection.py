# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pairs are kept, and why not the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgevl_training.curation.columns import PairColumns
from edgevl_training.curation.confidence import NO_LABEL
from edgevl_training.curation.duplicates import near_any, repeats
from edgevl_training.curation.splits import SPLITS, Splits
import numpy as np
from numpy.typing import NDArray

# A pair is dropped for the first that holds; one that training shows, too, for that above its
# confidence, as even pairs below tau are measured.
REASONS = (
    'kept',
    'no embedding',
    'near a split border',
    'below tau',
    'near-duplicate',
    'near-duplicate of a training pair',
    'class is full',
    'few of its class',
)
KEPT = REASONS.index('kept')
NEAR_BORDER, LEAKED = 'near a split border', 'near-duplicate of a training pair'
TRAIN = SPLITS.index('train')

# How many of the last kept pictures of a bag a new one is compared with.
DUPLICATE_WINDOW = 50


@dataclass(frozen=True)
class SelectionRules:
    """
    What is kept.

    Either ``tau``, the least confidence, or ``keep_fraction``, the most confident share, is set.
    ``near_duplicates`` is the Hamming distance up to which two pictures are the same, -1 for
    never. ``max_per_class`` is shared among the splits in proportion to ``fractions``;
    ``min_per_class`` counts the pairs of all splits.
    """

    fractions: tuple[float, float, float]
    tau: float | None = 0.25
    keep_fraction: float | None = None
    near_duplicates: int = 4
    max_per_class: int | None = None
    min_per_class: int | None = None


@dataclass(frozen=True)
class Selection:
    """
    What came of N pairs.

    ``reason`` int8 (N,) indexes `REASONS`; ``tau`` is the confidence that was asked for, or that
    keeps the fraction asked for. ``candidate`` bool (N,) marks the pairs that the threshold
    chose among.
    """

    reason: NDArray[np.int8]
    candidate: NDArray[np.bool_]
    tau: float

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Tell of each pair whether it is kept, bool (N,)."""
        return self.reason == KEPT


def select(columns: PairColumns, splits: Splits, rules: SelectionRules) -> Selection:
    """Decide on every pair, and say of each why it is not kept."""
    reason = np.full(len(columns), KEPT, np.int8)

    def drop(why: str, rows: NDArray[np.int64]) -> None:
        reason[rows[reason[rows] == KEPT]] = REASONS.index(why)

    drop('no embedding', np.flatnonzero(columns.judged.label == NO_LABEL))
    drop(NEAR_BORDER, np.flatnonzero(splits.near_border))
    candidate = reason == KEPT
    tau = _threshold(columns.judged.confidence, splits.split, candidate, rules)
    drop('below tau', np.flatnonzero(columns.judged.confidence < np.float32(tau)))
    if rules.near_duplicates >= 0:
        _drop_duplicates(columns, splits, reason, rules.near_duplicates, drop)
        leaked = _leaked(columns, splits, reason == KEPT, candidate, rules.near_duplicates)
        reason[leaked] = REASONS.index(LEAKED)
    if rules.max_per_class is not None:
        drop('class is full', _beyond_the_best(columns, splits, reason, rules))
    if rules.min_per_class is not None:
        counts = np.bincount(columns.judged.label[reason == KEPT], minlength=1)
        rare = counts < rules.min_per_class
        kept = np.flatnonzero(reason == KEPT)
        drop('few of its class', kept[rare[columns.judged.label[kept]]])
    return Selection(reason, candidate, tau)


def _threshold(
    confidence: NDArray[np.float32],
    split: NDArray[np.int8],
    candidate: NDArray[np.bool_],
    rules: SelectionRules,
) -> float:
    """
    Give the confidence from which on pairs are kept.

    A fraction is measured on the training pairs, where there are any: nothing is fitted to the
    others, which then obey the same threshold.
    """
    if rules.keep_fraction is None:
        return rules.tau if rules.tau is not None else 0.0
    training = candidate & (split == TRAIN)
    values = confidence[training if training.any() else candidate]
    if not len(values):
        return 1.0
    position = len(values) - max(1, round(rules.keep_fraction * len(values)))
    return float(np.partition(values, position)[position])


def _drop_duplicates(
    columns: PairColumns,
    splits: Splits,
    reason: NDArray[np.int8],
    distance: int,
    drop: Callable[[str, NDArray[np.int64]], None],
) -> None:
    """Drop repetitions within a split and bag."""
    kept = np.flatnonzero(reason == KEPT)
    keys = (columns.stamp_ns[kept], columns.bag[kept], splits.split[kept])
    ordered = kept[np.lexsort(keys)]
    changes = np.diff(columns.bag[ordered]) | np.diff(splits.split[ordered])
    for run in np.split(ordered, np.flatnonzero(changes) + 1):
        drop('near-duplicate', run[repeats(columns.hash[run], distance, DUPLICATE_WINDOW)])


def _leaked(
    columns: PairColumns, splits: Splits, kept: NDArray[np.bool_], usable: NDArray[np.bool_],
    distance: int,
) -> NDArray[np.int64]:
    """Find the usable pairs of other splits, confident or not, that training shows too."""
    training = np.flatnonzero(kept & (splits.split == TRAIN))
    others = np.flatnonzero(usable & (splits.split != TRAIN))
    return others[near_any(columns.hash[others], columns.hash[training], distance)]


def _beyond_the_best(
    columns: PairColumns, splits: Splits, reason: NDArray[np.int8], rules: SelectionRules
) -> NDArray[np.int64]:
    """Find the kept pairs that rank behind the most confident ones of their class and split."""
    kept = np.flatnonzero(reason == KEPT)
    label, split = columns.judged.label[kept], splits.split[kept]
    order = np.lexsort((-columns.judged.confidence[kept], split, label))
    group = label[order].astype(np.int64) * len(SPLITS) + split[order]
    first = np.searchsorted(group, group)
    rank = np.arange(len(order)) - first
    assert rules.max_per_class is not None
    # At least one each, lest a small split lose every class.
    allowed = np.maximum(1, np.round(rules.max_per_class * np.array(rules.fractions)))
    return kept[order[rank >= allowed[split[order]]]]
