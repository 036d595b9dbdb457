# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Students of the four kinds, so small that they are built and exported in seconds."""

from __future__ import annotations

from typing import Any

import cv2
from edgevl_training.fake_quant import calibrate, insert_quantizers
from edgevl_training.students import dat
from edgevl_training.students.student import open_student, Student
import numpy as np
from numpy.typing import NDArray
import pytest
from skimage import data
from timm.models import register_model
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
import torch

DIM = 12
# Name and image size of each kind.
KINDS = {
    'vit': ('timm:vit_of_tests', 32),
    'swin': ('timm:swin_of_tests', 64),
    'dat': ('dat_t', 64),
    'efficientnet': ('timm:efficientnet_of_tests', 64),
}
_PICTURES = ('astronaut', 'chelsea', 'coffee', 'rocket')


def small_student(kind: str, monkeypatch: pytest.MonkeyPatch) -> Student:
    """Build a student with random weights; a small DAT lives as long as ``monkeypatch``."""
    monkeypatch.setattr(dat, 'WIDTHS', (12, 24, 48, 96))
    monkeypatch.setattr(dat.DAT, 'num_features', 96)
    torch.manual_seed(0)
    name, side = KINDS[kind]
    return open_student(name, DIM, weights=None, image_size=side).eval()


def small_int8_student(kind: str, monkeypatch: pytest.MonkeyPatch) -> Student:
    """Build a student with random weights and INT8 rounding, calibrated on `photographs`."""
    student = insert_quantizers(small_student(kind, monkeypatch))
    calibrate(student, [torch.from_numpy(photographs(student.image_size))])
    return student


def photographs(side: int) -> NDArray[np.float32]:
    """Give photographs as a network sees them, float32 (4, 3, side, side)."""
    pictures = [
        cv2.resize(getattr(data, name)(), (side, side), interpolation=cv2.INTER_AREA)
        for name in _PICTURES
    ]
    values = np.stack(pictures).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    return np.ascontiguousarray(values)


def _configured(model: Any, side: int) -> Any:
    model.pretrained_cfg = {
        'input_size': (3, side, side), 'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5),
    }
    return model


@register_model
def vit_of_tests(num_classes: int = 0, **_: Any) -> Any:
    """Build a vision transformer of two blocks."""
    return _configured(VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=num_classes,
    ), 32)


@register_model
def swin_of_tests(num_classes: int = 0, **_: Any) -> Any:
    """Build a Swin transformer of two stages, whose second block in each is shifted."""
    return _configured(SwinTransformer(
        img_size=64, patch_size=4, embed_dim=24, depths=(2, 2), num_heads=(2, 4), window_size=4,
        num_classes=num_classes,
    ), 64)


@register_model
def efficientnet_of_tests(num_classes: int = 0, **_: Any) -> Any:
    """Build an EfficientNet-Lite of five blocks, two of which add their input."""
    blocks = [['ds_r1_k3_s1_e1_c16'], ['ir_r2_k3_s2_e4_c24'], ['ir_r2_k5_s2_e4_c40']]
    return _configured(EfficientNet(
        block_args=decode_arch_def(blocks), num_features=96, stem_size=16, fix_stem=True,
        pad_type='same', act_layer=torch.nn.ReLU6, num_classes=num_classes,
    ), 64)
