# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Deformable attention: all pixels attend to points that the image itself moves to where they matter.

Written from section 3 of Xia et al., "Vision Transformer with Deformable Attention" (CVPR 2022).
Coordinates are those of the paper: (x, y), with -1 the first and +1 the last pixel of the map.
"""

from __future__ import annotations

from edgevl_training.students.windows import Heads
import torch
from torch import nn
import torch.nn.functional as F

KERNEL = 5
OFFSET_RANGE = 2.0


class DeformableAttention(nn.Module):
    """
    Multi-head attention to one sampled point for each pixel of the map.

    Channels, and with them heads, are split into ``groups``; each group moves its points by
    offsets of its own, all found by one small network.
    """

    grid: torch.Tensor
    steps: torch.Tensor

    def __init__(self, width: int, heads: int, groups: int, side: int) -> None:
        """
        Fix the geometry.

        :param width: channels, a multiple of ``heads``, which is a multiple of ``groups``.
        :param side: side of the square map in pixels, at least 2.
        """
        super().__init__()
        self.width, self.groups, self.side = width, groups, side
        self.heads = Heads(heads, side**2, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.offsets = OffsetNetwork(width // groups, side)
        displacements = 2 * side - 1
        self.bias = nn.Parameter(
            torch.empty(groups, heads // groups, displacements, displacements)
        )
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer('grid', reference_grid(side), persistent=False)
        entries, here = torch.arange(displacements), torch.arange(side)
        steps = (entries - here[:, None] - side + 1).float()
        self.register_buffer('steps', steps, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, side, side, width) to the same shape."""
        query = self.query(x)
        points = self.grid + self.offsets(self._grouped(query))
        sampled = F.grid_sample(
            self._grouped(x), points, 'bilinear', padding_mode='zeros', align_corners=True
        )
        tokens = sampled.reshape(-1, self.width, self.side**2).transpose(1, 2)
        scores = self.heads.scores(query, self.key(tokens)) + self._position_bias(points)
        x = self.output(self.heads.mix(scores, self.value(tokens)))
        return x.reshape(-1, self.side, self.side, self.width)

    def _grouped(self, x: torch.Tensor) -> torch.Tensor:
        """Give each group its channels: (B, H, W, C) to (B * groups, C / groups, H, W)."""
        part = self.width // self.groups
        return x.permute(0, 3, 1, 2).reshape(-1, part, self.side, self.side)

    def _position_bias(self, points: torch.Tensor) -> torch.Tensor:
        """
        Read the bias table at the displacement from every point to every pixel.

        Pixels are whole steps apart, so all pixels of a row read the same two rows of the table
        for a point, and likewise columns. Two matrix products do that, many times faster than
        `grid_sample`, which would look for each pair anew.

        :param points: (B * groups, side, side, 2).
        :returns: (B, heads, pixels, pixels).
        """
        pixels, side, heads = self.side**2, self.side, self.heads.count // self.groups
        # Columns and rows in pixels of the map; the table's middle is no displacement.
        places = (points.reshape(-1, pixels, 2) + 1) * ((side - 1) / 2)
        columns, rows = (self._weights(places[..., axis]) for axis in (0, 1))
        table = self.bias.transpose(1, 2).reshape(self.groups, 2 * side - 1, -1)
        rows = rows.reshape(-1, self.groups, pixels * side, 2 * side - 1)
        read = (rows @ table).reshape(-1, side * heads, 2 * side - 1)
        read = read @ columns.reshape(-1, side, 2 * side - 1).transpose(1, 2)
        # In two steps: runtimes turn a matrix, and exchange whole rows, much faster than numbers.
        read = read.reshape(-1, pixels, heads * pixels).transpose(1, 2)
        read = read.reshape(-1, side, heads, side * pixels).transpose(1, 2)
        return read.reshape(-1, self.heads.count, pixels, pixels)

    def _weights(self, places: torch.Tensor) -> torch.Tensor:
        """
        Weigh the entries of the table along one axis, linearly, nothing beyond its ends.

        :param places: of the points, (B * groups, pixels).
        :returns: (B * groups, pixels, side, 2 * side - 1): for a point and a place on the axis.
        """
        away = (self.steps + places[:, :, None, None]).abs()
        return torch.relu(1 - away)


class OffsetNetwork(nn.Module):
    """Depthwise convolution, LayerNorm, GELU and a projection to two numbers for each pixel."""

    def __init__(self, width: int, side: int) -> None:
        """Take the channels of one group; offsets reach `OFFSET_RANGE` pixels of the map."""
        super().__init__()
        self.reach = OFFSET_RANGE * 2 / (side - 1)
        self.depthwise = nn.Conv2d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        # Without a bias, which would move all points the same way (section 3.2 of the paper).
        self.project = nn.Linear(width, 2, bias=False)

    def forward(self, query: torch.Tensor) -> torch.Tensor:
        """Map queries, (B * groups, C / groups, H, W), to offsets, (B * groups, H, W, 2)."""
        x = self.depthwise(query).permute(0, 2, 3, 1)
        return torch.tanh(self.project(F.gelu(self.norm(x)))) * self.reach


def reference_grid(side: int) -> torch.Tensor:
    """Give the (x, y) of every pixel of a square map, float32 (1, side, side, 2)."""
    steps = torch.linspace(-1, 1, side)
    rows, columns = torch.meshgrid(steps, steps, indexing='ij')
    return torch.stack((columns, rows), -1)[None]
