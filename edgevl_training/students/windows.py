# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Attention within square windows of a feature map, plain or shifted.

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows" (ICCV 2021).
Feature maps are channels last, (B, H, W, C), and no tensor has more than four dimensions, which
every inference runtime likes best. All sizes but B are fixed when a network is built, so that an
exported graph computes none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

# What a pixel that is out of sight adds to a score; exact in half precision. With Swin's -100 the
# softmax gives numbers so near to zero that processors take ten times as long to multiply them.
OUT_OF_SIGHT = -1000.0


@dataclass(frozen=True)
class Windows:
    """A square map, (B, side, side, width), and its windows, (B * count, window ** 2, width)."""

    side: int
    window: int
    width: int

    @property
    def count(self) -> int:
        """Windows in one map."""
        return (self.side // self.window) ** 2

    def partition(self, x: torch.Tensor) -> torch.Tensor:
        """Cut a map into its windows, row by row."""
        columns, row = self.side // self.window, self.window * self.width
        x = x.reshape(-1, self.window, columns, row).transpose(1, 2)
        return x.reshape(-1, self.window**2, self.width)

    def reverse(self, windows: torch.Tensor) -> torch.Tensor:
        """Put windows back into their map."""
        columns, row = self.side // self.window, self.window * self.width
        x = windows.reshape(-1, columns, self.window, row).transpose(1, 2)
        return x.reshape(-1, self.side, self.side, self.width)


@dataclass(frozen=True)
class Heads:
    """The heads that share the channels of tokens, (B, pixels, width)."""

    count: int
    pixels: int
    width: int

    def split(self, tokens: torch.Tensor) -> torch.Tensor:
        """Give each head its channels: (B, count, pixels, width / count)."""
        part = self.width // self.count
        return tokens.reshape(-1, self.pixels, self.count, part).transpose(1, 2)

    def scores(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Compare every query with every key: (B, count, pixels, pixels)."""
        query = self.split(query) * (self.width // self.count) ** -0.5
        return query @ self.split(key).transpose(-2, -1)

    def mix(self, scores: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Weigh the values by the softmax of the scores: (B, pixels, width)."""
        mixed = torch.softmax(scores, -1) @ self.split(value)
        return mixed.transpose(1, 2).reshape(-1, self.pixels, self.width)


class WindowAttention(nn.Module):
    """
    Multi-head self-attention of every pixel to the pixels of its own window.

    With ``shifted`` the windows lie half a window further right and down, around the edges of the
    map; pixels that were not neighbours before the map was rolled do not see each other.
    """

    bias_index: torch.Tensor
    mask: torch.Tensor | None

    def __init__(self, width: int, heads: int, side: int, window: int, shifted: bool) -> None:
        """
        Fix the geometry.

        :param width: channels, a multiple of ``heads``.
        :param side: side of the square map in pixels, a multiple of ``window``.
        """
        super().__init__()
        self.windows = Windows(side, window, width)
        self.heads = Heads(heads, window**2, width)
        self.shift = window // 2 if shifted and side > window else 0
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer('bias_index', relative_index(window), persistent=False)
        mask = shifted_mask(side, window, self.shift) if self.shift else None
        self.register_buffer('mask', mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, side, side, width) to the same shape."""
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        tokens = self.qkv(self.windows.partition(x))
        query, key, value = torch.split(tokens, self.windows.width, -1)
        scores = self._biased(self.heads.scores(query, key))
        x = self.windows.reverse(self.output(self.heads.mix(scores, value)))
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x

    def _biased(self, scores: torch.Tensor) -> torch.Tensor:
        """Add the relative position bias and, where shifted, the mask of each window."""
        heads, pixels = self.heads.count, self.heads.pixels
        bias = self.bias[self.bias_index].reshape(pixels, pixels, heads).permute(2, 0, 1)
        if self.mask is None:
            return scores + bias
        # Windows and heads share one dimension here, as the mask is another for each window.
        maps = self.windows.count * heads
        bias = (self.mask[:, None] + bias).reshape(maps, pixels, pixels)
        scores = scores.reshape(-1, maps, pixels, pixels) + bias
        return scores.reshape(-1, heads, pixels, pixels)


def relative_index(window: int) -> torch.Tensor:
    """
    Give every displacement between two pixels of a window a number.

    :returns: int64 (pixels * pixels,): for every query and key, the row of a table of
        ``(2 * window - 1) ** 2`` displacements.
    """
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[:, None] - rows[None] + window - 1
    right = columns[:, None] - columns[None] + window - 1
    return (down * (2 * window - 1) + right).flatten()


def shifted_mask(side: int, window: int, shift: int) -> torch.Tensor:
    """
    Tell which pixels of a rolled map's windows may not see each other.

    :returns: float32 (windows, pixels, pixels), 0 where a query sees a key.
    """
    # Rolling puts the first rows and columns last; they are another region than the rest.
    wrapped = (torch.arange(side) >= side - shift).long()
    region = 2 * wrapped[:, None] + wrapped[None]
    region = Windows(side, window, 1).partition(region[None, :, :, None])[:, :, 0]
    apart = region[:, :, None] != region[:, None]
    return apart.float() * OUT_OF_SIGHT
