# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
TensorFlow's 'same' padding, settled once for the input size that a student has.

timm computes it in a convolution class of its own at every call. Quantization tools know
`torch.nn.Conv2d` and pass others by without a word, so these layers would stay float; and an
exported graph would compute its padding on the robot.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def settle_same_padding(module: nn.Module, image: torch.Tensor) -> nn.Module:
    """
    Replace timm's self-padding convolutions by explicit padding and a plain convolution.

    :param image: one image of the size that the module will always see, (1, 3, S, S).
    :returns: the module, changed in place.
    """
    from timm.layers.conv2d_same import Conv2dSame

    sizes: dict[nn.Module, torch.Size] = {}

    def note_size(conv: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes[conv] = inputs[0].shape[-2:]

    convolutions = {
        name: child for name, child in module.named_modules() if isinstance(child, Conv2dSame)
    }
    if not convolutions:
        return module
    hooks = [conv.register_forward_pre_hook(note_size) for conv in convolutions.values()]
    with torch.no_grad():
        module(image)
    for hook in hooks:
        hook.remove()
    for name, conv in convolutions.items():
        if conv in sizes:
            module.set_submodule(name, _padded(conv, sizes[conv]))
    return module


def _padded(conv: Any, size: torch.Size) -> nn.Sequential:
    """Pad with zeros as much as this input size needs, the odd pixel at the right and bottom."""
    from timm.layers.padding import get_same_padding

    down, right = (
        get_same_padding(*arguments)
        for arguments in zip(size, conv.kernel_size, conv.stride, conv.dilation)
    )
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    plain.weight, plain.bias = conv.weight, conv.bias
    pad = nn.ZeroPad2d((right // 2, right - right // 2, down // 2, down - down // 2))
    return nn.Sequential(pad, plain)
