# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The two objectives of EdgeVL (Cai et al., ECCV 2024): distillation and the semi-hard triplets.

Both take unit rows of one batch and are vectorised over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """
    Give the mean L1 distance between unit features: stage 1, for each modality in turn.

    :param student: float (B, D) features of one modality; for B = 0 the loss is 0.
    :param teacher: float (B, D) features of the colour images of the same pairs.
    """
    return (student - teacher).abs().sum() / max(1, len(student))


@dataclass(frozen=True)
class Triplets:
    """
    What was found in a batch: ``loss`` is its mean over the anchors that have a triplet.

    ``share``, a tensor without axes, is how many of the anchors those are, from 0 to 1; without
    any the loss is 0.
    """

    loss: Tensor
    share: Tensor


def semi_hard_triplets(
    features: Tensor, labels: Tensor, margin: float = 0.3, negatives: int = 3
) -> Triplets:
    """
    Contrast every anchor with its nearest positive and with semi-hard negatives: stage 2.

    The positive is the nearest other row with the same label. Negatives are rows of other labels
    that are farther than the positive, by less than the margin; of those, the nearest ones. The
    distance is Euclidean. An anchor without a positive or a semi-hard negative has no say.

    :param features: float (N, D) unit rows.
    :param labels: integers (N,), the pseudo-labels.
    :param negatives: most negatives of an anchor, over which its loss is averaged.
    """
    # Not by way of a matrix product, which cannot tell near rows apart. The gradient between
    # equal rows is zero.
    distances = torch.cdist(features, features, compute_mode='donot_use_mm_for_euclid_dist')
    with torch.no_grad():
        positive, nearest = _nearest_positives(distances, labels)
        negative, found = _semi_hard(distances, labels, nearest, margin, negatives)
    apart = distances.gather(1, positive) - distances.gather(1, negative) + margin
    # Chosen, not multiplied: what was not found counts nothing, whatever its value is.
    per_anchor = torch.where(found, apart, 0).sum(1) / found.sum(1).clamp(min=1)
    usable = found.any(1)
    loss = per_anchor.sum() / usable.sum().clamp(min=1)
    return Triplets(loss, usable.float().sum() / max(1, len(features)))


def _nearest_positives(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Give column and distance, (A, 1) each, of the nearest other row with the same label."""
    same = labels[:, None] == labels[None, :]
    same.fill_diagonal_(False)
    nearest, column = distances.masked_fill(~same, torch.inf).min(1, keepdim=True)
    return column, nearest


def _semi_hard(
    distances: Tensor, labels: Tensor, nearest: Tensor, margin: float, most: int
) -> tuple[Tensor, Tensor]:
    """Give columns (A, J) of the nearest semi-hard negatives, and which of them there are."""
    other = labels[:, None] != labels[None, :]
    semi_hard = other & (distances > nearest) & (distances < nearest + margin)
    ranked = distances.masked_fill(~semi_hard, torch.inf)
    distance, column = ranked.topk(min(most, distances.shape[1]), dim=1, largest=False)
    return column, distance.isfinite()
