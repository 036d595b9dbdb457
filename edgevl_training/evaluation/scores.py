# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Scores of classifiers that compare embeddings with words: pure functions of NumPy arrays.

``truth`` and ``predicted`` are int (N,), numbers of labels; shares run from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]

# The customary number of bins (Guo et al., ICML 2017).
BINS = 10
# Two-sided quantile of the normal distribution for intervals of 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Reliability:
    """
    How sure a model was and how often it was right, by confidence: bins of equal width over 0..1.

    ``count`` is int (B,); ``confidence`` and ``right`` are means, float (B,), NaN in an empty
    bin. ``error`` is the expected calibration error: the mean gap between the two, weighted by
    count.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    right: NDArray[np.float64]
    error: float


@dataclass(frozen=True)
class Paired:
    """
    Two models on the same pairs: how many both, one alone, or neither got right.

    ``p_value`` is McNemar's exact one: how often a difference at least this large between the
    two counts of "alone" would arise if both models were equally good.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float


def probabilities(
    embeddings: FloatArray, words: FloatArray, logit_scale: float
) -> NDArray[np.float64]:
    """
    Turn unit embeddings, (N, D), into probabilities of labels, (N, K), as the robot does.

    :param words: unit embeddings of the labels, (K, D).
    """
    logits = logit_scale * (embeddings @ words.T).astype(np.float64)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(1, keepdims=True)
    return shares


def fuse(first: FloatArray, second: FloatArray) -> NDArray[np.float32]:
    """
    Fuse unit rows, (N, D), of two modalities with equal weights, into unit rows.

    Opposite rows cancel out: the first one counts then, as on the robot.
    """
    mean = (first.astype(np.float32) + second) / 2
    norms = np.linalg.norm(mean, axis=1, keepdims=True)
    return np.where(norms < 1e-6, first, mean / np.maximum(norms, 1e-6)).astype(np.float32)


def top1(truth: IntArray, predicted: IntArray) -> float:
    """Give the share of right predictions; NaN of none."""
    return float(np.mean(truth == predicted)) if len(truth) else math.nan


def confusion(truth: IntArray, predicted: IntArray, labels: int) -> NDArray[np.int64]:
    """Count how often each label, the row, was taken for each label, the column: (K, K)."""
    counts = np.zeros((labels, labels), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def per_class(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the share of right predictions of each label, NaN where none occurs, (K,)."""
    occurs = counts.sum(1)
    shares: NDArray[np.float64] = np.divide(
        np.diag(counts), occurs, out=np.full(len(counts), np.nan), where=occurs > 0
    )
    return shares


def mean_class(counts: NDArray[np.int64]) -> float:
    """Average the shares of the labels that occur; NaN of none."""
    shares = per_class(counts)
    known = shares[~np.isnan(shares)]
    return float(known.mean()) if len(known) else math.nan


def reliability(confidence: FloatArray, right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Sort predictions into bins by their confidence, (N,) in 0..1, and see how honest it is."""
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, values, bins) for values in (confidence, right)]
    sure, hit = (
        np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums
    )
    gaps = np.abs(sums[0] - sums[1]).sum()
    return Reliability(count, sure, hit, float(gaps / len(confidence)) if len(right) else math.nan)


def angles_deg(embeddings: FloatArray, words: FloatArray) -> NDArray[np.float64]:
    """
    Give the angle between each embedding and the words beside it in degrees, (N,).

    Both are unit rows, (N, D). The paper's figure shows this angle for the true label: theta_3 of
    its INT8 student is smaller than theta_1 of the float one.
    """
    cosines = np.sum(embeddings.astype(np.float64) * words, axis=1)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def wilson(right: int, count: int) -> tuple[float, float]:
    """
    Give the 95 % confidence interval of a share (Wilson, 1927); (0, 1) of no observation.

    Other than the textbook one it stays within 0 to 1 and holds for few observations too.
    """
    if not count:
        return 0.0, 1.0
    share, weight = right / count, _Z * _Z / count
    middle = share + weight / 2
    half = _Z * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    low, high = (middle - half) / (1 + weight), (middle + half) / (1 + weight)
    # Rounding must not leave the share of all or none outside.
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def compare_paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compare which of the same pairs, bool (N,), two models got right."""
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    return Paired(
        int(np.sum(first & second)), only_first, only_second, int(np.sum(~first & ~second)),
        mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Give the p-value of McNemar's exact test: a fair coin for every pair that one alone got."""
    from scipy.special import bdtr

    tail = bdtr(min(only_first, only_second), only_first + only_second, 0.5)
    return min(1.0, 2 * float(tail))
