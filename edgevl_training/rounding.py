# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Round a student's weights to INT8 so that its layers keep computing what they computed in float.

Layer by layer, in the order of the computation, on calibration pictures and without labels:

1. Refit the float weights to the inputs that the layer really gets, which the INT8 layers before
   it have already disturbed: least squares towards the float network's output, held near the
   original weights by a ridge. The bias takes part, so mean shifts vanish (the aim of bias
   correction, Nagel et al., ICCV 2019).
2. Round one input column after another, and let the columns still in float make up for the error
   just made (Frantar et al., "GPTQ" / "Optimal Brain Compression", 2022). The bias comes last and
   is never rounded.

Rounding to nearest treats every weight alone; this costs two passes more and leaves a fraction
of its error.
"""

from __future__ import annotations

from collections.abc import Callable

from edgevl_training.students.conse_lite import ConSELite, ConvUnit, weight_scale, Weighted
import numpy as np
from numpy.typing import NDArray
import torch

BATCH = 8
RIDGE = 0.01
DAMPING = 0.01


@torch.inference_mode()
def round_weights(
    student: ConSELite,
    reference: ConSELite,
    images: NDArray[np.float32],
    progress: Callable[[], object],
) -> None:
    """
    Round every weight of a calibrated student in place.

    :param reference: the same student in float, its scales unset; it is only read.
    :param images: calibration images, float32 (N, 3, S, S).
    :param progress: called after every layer.
    """
    seen = [student.image(batch) for batch in torch.from_numpy(images).split(BATCH)]
    wanted = list(torch.from_numpy(images).split(BATCH))
    for block, float_block in zip(student.blocks, reference.blocks):
        for index, unit in enumerate(block.units):
            fit = _Fit(unit)
            for x, y in zip(seen, wanted):
                inputs, float_inputs = block.before(index, x), float_block.before(index, y)
                fit.add(unit.patches(inputs), float_block.units[index].convolve(float_inputs))
            fit.solve()
            progress()
        seen = [block(x) for x in seen]
        wanted = [float_block(y) for y in wanted]
    fit = _Fit(student.classifier)
    layer = reference.classifier
    for x, y in zip(seen, wanted):
        pooled = student.pooled(x.mean((2, 3)))
        target = torch.nn.functional.linear(y.mean((2, 3)), layer.weight, layer.bias)
        fit.add(pooled[:, None, :, None], target[:, :, None, None])
    fit.solve()
    progress()


class _Fit:
    """Least squares of one layer's outputs on its inputs, group by group, with a bias."""

    def __init__(self, layer: Weighted) -> None:
        self._layer = layer
        self._groups = layer.groups if isinstance(layer, ConvUnit) else 1
        rows = layer.weight.flatten(1).double()
        self._start = rows.reshape(self._groups, -1, rows.shape[1])
        size = rows.shape[1] + 1
        self._inputs = torch.zeros(self._groups, size, size, dtype=torch.double)
        self._products = torch.zeros(
            self._groups, self._start.shape[1], size, dtype=torch.double
        )

    def add(self, patches: torch.Tensor, outputs: torch.Tensor) -> None:
        """Add a batch: patches (B, groups, K, pixels) and outputs (B, channels, height, width)."""
        batch, groups, _, pixels = patches.shape
        ones = torch.ones(batch, groups, 1, pixels)
        x = torch.cat([patches, ones], 2)
        y = outputs.reshape(batch, groups, -1, pixels)
        self._inputs += torch.einsum('bgkp,bglp->gkl', x, x).double()
        self._products += torch.einsum('bgop,bglp->gol', y, x).double()

    def solve(self) -> None:
        """Refit, choose the scales, round, and write the result into the layer."""
        moments = self._inputs
        size = moments.shape[-1]
        # The bias column is neither held back nor damped.
        penalty = torch.eye(size, dtype=torch.double)
        penalty[-1, -1] = 0
        strength = moments.diagonal(dim1=1, dim2=2)[:, :-1].mean(1).clamp_min(1e-6)
        penalty = strength[:, None, None] * penalty
        start = torch.cat([self._start, torch.zeros_like(self._start[:, :, :1])], 2)
        system = moments + RIDGE * penalty
        fitted = torch.linalg.solve(
            system, (self._products + RIDGE * start @ penalty).transpose(1, 2)
        ).transpose(1, 2)
        shape = self._layer.weight.shape
        refit = fitted[:, :, :-1].reshape(shape).float()
        self._layer.scale.copy_(weight_scale(refit, self._layer.levels))
        scale = self._layer.scale.double().reshape(self._groups, -1)
        rounded = _round_columns(fitted, moments + DAMPING * penalty, scale, self._layer.levels)
        self._layer.weight.copy_(rounded[:, :, :-1].reshape(shape).float())
        self._layer.bias.copy_(rounded[:, :, -1].reshape(-1).float())


def _round_columns(
    weights: torch.Tensor, moments: torch.Tensor, scale: torch.Tensor, levels: int
) -> torch.Tensor:
    """
    Round all columns but the last, each error spread over the columns not yet rounded.

    :param weights: (groups, outputs, columns); ``moments``: (groups, columns, columns), the
        second moments of the inputs; ``scale``: (groups, outputs).
    """
    weights = weights.clone()
    factor = torch.linalg.cholesky(torch.linalg.inv(moments), upper=True)
    for column in range(weights.shape[2] - 1):
        value = weights[:, :, column]
        nearest = torch.round(value / scale).clamp(-levels, levels) * scale
        error = (value - nearest) / factor[:, column, column, None]
        weights[:, :, column] = nearest
        rest = slice(column + 1, None)
        weights[:, :, rest] -= error[:, :, None] * factor[:, None, column, rest]
    return weights
