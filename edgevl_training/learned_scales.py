# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Learned step sizes: the scales of activations are trained along with the weights.

Esser et al., "Learned Step Size Quantization" (ICLR 2020), for activations; a weight keeps the
scale of its largest value, as `edgevl_training.fake_quant` gives it, so that both runtimes store
it as before. Once trained, a learned scale is a scale like any other.
"""

from __future__ import annotations

import math

from edgevl_training.fake_quant import (
    activation_quantizers,
    Int8Quantizer,
    SMALLEST_SCALE,
)
from edgevl_training.students.student import Student
import torch
from torch import nn, Tensor


class LearnedQuantizer(Int8Quantizer):
    """A quantizer of an activation whose step size is trained: ``step``, float32 (1,)."""

    step: nn.Parameter

    @property
    def scale(self) -> Tensor:
        """Give the scale, float32 without axes."""
        return self.step.detach()[0]

    def forward(self, x: Tensor) -> Tensor:
        """
        Round; the step's gradient is that of section 2.1 of the paper.

        It is scaled by 1 / sqrt(N * Qp) (section 2.2), with N the numbers that one picture has in
        this tensor: the size of the batch has no say.
        """
        if not self._if_quant or self._disabled:
            return x
        levels = self.maxbound
        share = 1 / math.sqrt(math.prod(x.shape[1:]) * levels)
        rounded = torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), self.step.clamp(min=SMALLEST_SCALE), torch.zeros_like(self.step),
            -levels - 1, levels, share,
        )
        return rounded.to(x.dtype)


def with_learned_scales(student: Student) -> Student:
    """
    Let training move the calibrated scales of a quantized student; changed in place.

    Modules that share an input, such as a block and its first convolution, share the step: on the
    robot it is one tensor.
    """
    for quantizers in _by_input(student):
        step = nn.Parameter(quantizers[0].scale.detach().reshape(1).clone())
        for quantizer in quantizers:
            quantizer.__class__ = LearnedQuantizer
            quantizer.step = step
    return student


def with_fixed_scales(student: Student) -> Student:
    """Make learned scales fixed ones, for saving and export; changed in place."""
    for quantizer in activation_quantizers(student).values():
        if isinstance(quantizer, LearnedQuantizer):
            quantizer.amax = quantizer.scale * quantizer.maxbound
            del quantizer.step
            quantizer.__class__ = Int8Quantizer
    return student


@torch.no_grad()
def _by_input(student: Student) -> list[list[Int8Quantizer]]:
    """Group the quantizers of activations that round one and the same tensor."""
    quantizers = activation_quantizers(student).values()
    training = student.training
    seen: list[tuple[Tensor, list[Int8Quantizer]]] = []

    def note(quantizer: Int8Quantizer, inputs: tuple[Tensor, ...]) -> None:
        for tensor, group in seen:
            if tensor is inputs[0]:
                group.append(quantizer)
                return
        seen.append((inputs[0], [quantizer]))

    hooks = [quantizer.register_forward_pre_hook(note) for quantizer in quantizers]
    for quantizer in quantizers:
        # It then hands its input on as it is, to the next quantizer of the same tensor.
        quantizer.disable_quant()
    device = next(student.parameters()).device
    student.eval()(torch.zeros(1, 3, student.image_size, student.image_size, device=device))
    for quantizer in quantizers:
        quantizer.enable_quant()
    for hook in hooks:
        hook.remove()
    student.train(training)
    return [group for _, group in seen]
