# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a student gives for a batch, and what is measured of it to choose the best epoch by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgevl_training.losses import distillation
import torch
from torch import Tensor

_NAMES = ('rgb', 'depth')


@dataclass(frozen=True)
class Features:
    """
    Unit features of a batch: ``rgb`` (B, D), and ``depth`` (M, D) of the pairs that have it.

    ``teacher`` (B, D), ``labels`` and ``has_depth`` (B,) are as in `Batch`, as is
    ``depth_weight``. A modality that is not trained on has no rows.
    """

    rgb: Tensor
    depth: Tensor
    teacher: Tensor
    labels: Tensor
    has_depth: Tensor
    depth_weight: float


# Features of a batch, and what their labels mean -> pictures, and a sum over them, of colour and
# of the second modality: float64 (2, 2). The trainer gives the means over the validation split.
Measure = Callable[[Features, Sequence[str]], Tensor]


@dataclass(frozen=True)
class Choice:
    """
    How the best epoch is chosen.

    ``by`` names metrics of an epoch: the largest wins, among equals the next name decides, then
    the first epoch. ``measures`` are more of these metrics: each gives a mean for each modality,
    ``NAME_rgb`` and ``NAME_depth``, and the mean of those, ``NAME``.
    """

    by: tuple[str, ...] = ('agreement',)
    measures: Mapping[str, Measure] = field(default_factory=dict)


BY_AGREEMENT = Choice()


def nearness(features: Features) -> Tensor:
    """Give rows, summed L1 loss and summed cosine for colour and for depth, float64 (2, 3)."""
    teacher = features.teacher
    of_depth = teacher[features.has_depth]
    found = []
    for rows, wanted in ((features.rgb, teacher[:len(features.rgb)]), (features.depth, of_depth)):
        distance = distillation(rows, wanted) * len(rows)
        found.append([len(rows), float(distance), float((rows * wanted).sum())])
    return torch.tensor(found, dtype=torch.float64, device=teacher.device)


def agreement(totals: list[list[float]]) -> dict[str, float]:
    """Give the means of `nearness` over a split."""
    found = {name: of for name, of in zip(_NAMES, totals) if of[0]}
    losses = {f'validation_{name}': of[1] / of[0] for name, of in found.items()}
    cosines = {f'cosine_{name}': of[2] / of[0] for name, of in found.items()}
    return {**losses, **cosines, 'agreement': _mean(cosines)}


def named_means(name: str, totals: list[list[float]]) -> dict[str, float]:
    """Give the means of a `Measure` over a split."""
    means = {f'{name}_{key}': of / count for key, (count, of) in zip(_NAMES, totals) if count}
    return {**means, name: _mean(means)}


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / max(1, len(values))
