# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Batch norm folded into the convolution before it, so that what is trained is what is exported.

INT8 rounds the weights that an exported graph holds, and there a batch norm is part of its
convolution. Training the two apart would round other weights than the robot's.
"""

from __future__ import annotations

from collections import Counter

from edgevl_training.students.student import Student
from edgevl_training.students.weights import StudentError
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Largest difference of a unit row that float rounding may make.
_TOLERANCE = 1e-3


def fold_batch_norm(student: Student) -> Student:
    """
    Fold every batch norm that follows a convolution, freeze the others.

    A convolution keeps its name and gets a bias; in the place of the batch norm stays what it did
    besides: timm's takes the activation in.

    :returns: the student, changed in place, with the same embeddings.
    :raises StudentError: when a batch norm can be neither folded nor frozen.
    """
    from timm.utils.model import freeze_batch_norm_2d

    training = student.training
    student.eval()
    size = student.image_size
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = student(image)
        for convolution, norm in _pairs(student, image):
            _fold(student, convolution, norm)
        freeze_batch_norm_2d(student)
        after = student(image)
    left = [
        name for name, module in student.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    if left or not torch.allclose(before, after, atol=_TOLERANCE):
        found = ', '.join(left) if left else 'other embeddings afterwards'
        raise StudentError(
            f'{student.name}: expected batch norm that can be folded into convolutions, found '
            f'{found}; choose another network'
        )
    return student.train(training)


def _pairs(student: nn.Module, image: torch.Tensor) -> list[tuple[str, str]]:
    """Find the convolutions whose output goes into a batch norm, by watching one forward pass."""
    made_by: dict[int, str] = {}
    kept: list[torch.Tensor] = []
    pairs: list[tuple[str, str]] = []
    hooks = []
    for name, module in student.named_modules():
        if isinstance(module, nn.Conv2d):
            def note(_: nn.Module, __: object, output: torch.Tensor, name: str = name) -> None:
                # Kept, so that no later tensor has the same id.
                kept.append(output)
                made_by[id(output)] = name

            hooks.append(module.register_forward_hook(note))
        elif isinstance(module, nn.BatchNorm2d):
            def match(_: nn.Module, inputs: tuple[torch.Tensor], name: str = name) -> None:
                if id(inputs[0]) in made_by:
                    pairs.append((made_by[id(inputs[0])], name))

            hooks.append(module.register_forward_pre_hook(match))
    student(image)
    for hook in hooks:
        hook.remove()
    uses = Counter(name for pair in pairs for name in pair)
    return [pair for pair in pairs if all(uses[name] == 1 for name in pair)]


def _fold(student: nn.Module, convolution: str, norm: str) -> None:
    conv, batch_norm = student.get_submodule(convolution), student.get_submodule(norm)
    folded = fuse_conv_bn_eval(conv, batch_norm)
    # torch takes it over from a bias that there was none of.
    folded.bias.requires_grad_(True)
    student.set_submodule(convolution, folded)
    rest = [getattr(batch_norm, name) for name in ('drop', 'act') if hasattr(batch_norm, name)]
    rest = [module for module in rest if not isinstance(module, nn.Identity)]
    student.set_submodule(norm, nn.Sequential(*rest))
