# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
DAT-T, the tiny Deformable Attention Transformer.

Written from Xia et al., "Vision Transformer with Deformable Attention" (CVPR 2022), table 1. Where
the paper leaves a choice: every point of the map is sampled (no stride between pixels and points),
an offset reaches two pixels of the map, and there is no stochastic depth, as the distillation of
EdgeVL uses none.
"""

from __future__ import annotations

from edgevl_training.students.deformable import DeformableAttention
from edgevl_training.students.windows import WindowAttention
import torch
from torch import nn

WIDTHS = (96, 192, 384, 768)
DEPTHS = (2, 2, 6, 2)
HEADS = (3, 6, 12, 24)
# Offset groups; 0 where every second block shifts its windows instead of sampling points.
GROUPS = (0, 0, 3, 6)
PATCH = 4
MLP_RATIO = 4
# Input pixels for one pixel of the last map, which is one window: the window is 7 wide at 224.
REDUCTION = 32
SMALLEST_IMAGE = 2 * REDUCTION


class DAT(nn.Module):
    """
    Images, float32 (B, 3, S, S), to pooled features, float32 (B, 768).

    The four maps are S/4, S/8, S/16 and S/32 wide. The window is S/32 wide, so that whole windows
    fill every map.
    """

    num_features = WIDTHS[-1]

    def __init__(self, image_size: int = 224) -> None:
        """
        Build the network with random weights.

        :param image_size: S, a multiple of 32, at least 64.
        :raises ValueError: for any other size.
        """
        super().__init__()
        if image_size % REDUCTION or image_size < SMALLEST_IMAGE:
            raise ValueError(
                f'image_size: expected a multiple of {REDUCTION} from {SMALLEST_IMAGE} on, '
                f'found {image_size}'
            )
        window = image_size // REDUCTION
        self.stages = nn.ModuleList(
            Stage(index, image_size // (PATCH * 2**index), window) for index in range(len(WIDTHS))
        )
        self.norm = nn.LayerNorm(WIDTHS[-1])
        self.apply(_initialise)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the mean of the last map."""
        x = images.permute(0, 2, 3, 1)
        for stage in self.stages:
            x = stage(x)
        return self.norm(x).mean((1, 2))


class Stage(nn.Module):
    """Patches are merged; then local attention and its more far-sighted kin take turns."""

    def __init__(self, index: int, side: int, window: int) -> None:
        """Build stage ``index`` on a map ``side`` pixels wide."""
        super().__init__()
        width, heads, groups = WIDTHS[index], HEADS[index], GROUPS[index]
        self.merge = Merge(WIDTHS[index - 1] if index else 3, width, 2 if index else PATCH)
        blocks = []
        for block in range(DEPTHS[index]):
            far = block % 2 == 1
            attention: nn.Module
            if far and groups:
                attention = DeformableAttention(width, heads, groups, side)
            else:
                attention = WindowAttention(width, heads, side, window, shifted=far)
            blocks.append(Block(width, attention))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C), channels last, to a smaller and wider one."""
        return self.blocks(self.merge(x))


class Merge(nn.Module):
    """Patches of ``factor`` by ``factor`` pixels become one pixel each, normalised."""

    def __init__(self, width_in: int, width_out: int, factor: int) -> None:
        """Take the channels on either side."""
        super().__init__()
        self.project = nn.Conv2d(width_in, width_out, factor, stride=factor)
        self.norm = nn.LayerNorm(width_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to (B, H / factor, W / factor, C')."""
        return self.norm(self.project(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class Block(nn.Module):
    """Attention, then a perceptron on each pixel; both normalised before and added to the map."""

    def __init__(self, width: int, attention: nn.Module) -> None:
        """Wrap an attention that keeps the map's shape."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


def _initialise(module: nn.Module) -> None:
    """Draw the weights of a linear layer as vision transformers do."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
