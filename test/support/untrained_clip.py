# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small OpenCLIP model with random weights: no hub is needed to test that it is used well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MODEL = 'ViT-S-32-alt'


def untrained_clip(seed: int = 0) -> tuple[Any, Any]:
    """Give OpenCLIP's own model, in evaluation mode, and its own validation transform."""
    import open_clip
    import torch

    torch.manual_seed(seed)
    model, _, transform = open_clip.create_model_and_transforms(MODEL, pretrained=None)
    return model.eval(), transform


def write_checkpoint(folder: Path, suffix: str = '.safetensors', seed: int = 0) -> Path:
    """Write the weights of `untrained_clip` to a file; give its path."""
    import safetensors.torch
    import torch

    path = folder / f'untrained{suffix}'
    weights = untrained_clip(seed)[0].state_dict()
    if suffix == '.safetensors':
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights, path)
    return path
