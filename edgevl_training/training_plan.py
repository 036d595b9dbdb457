# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long and how to train, and on which pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.curated_split import BOTH
from edgevl_training.errors import TrainingError
from edgevl_training.teaching.crop_teacher import CropTeacher
import torch
from torch import nn


@dataclass(frozen=True)
class Training:
    """
    How long and how to train; the learning rate falls along a cosine (Loshchilov & Hutter, 2017).

    ``batch_size`` counts the pairs of an optimizer step, over all processes and ``accumulate``
    batches; ``threads`` decode pictures, in each process. ``image_size`` is the side of the input
    while training, None for the one that is deployed: crops show things larger, so a smaller
    input shows them as they will be (Touvron et al., NeurIPS 2019). ``crop_teacher`` is asked
    about every crop; None where what it said of the whole picture counts.
    """

    epochs: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    batch_size: int
    smallest_area: float
    accumulate: int = 1
    seed: int = 0
    threads: int = 1
    modalities: tuple[Modality, ...] = BOTH
    image_size: int | None = None
    crop_teacher: CropTeacher | None = None


@torch.inference_mode()
def training_spec(student: nn.Module, spec: PreprocessSpec, side: int | None) -> PreprocessSpec:
    """
    Give the preprocessing of training pictures: that of the robot, perhaps of another size.

    :raises TrainingError: when the student does not run on images of that size.
    """
    if side is None or side == spec.input_size:
        return spec
    training = student.training
    try:
        student.eval()(next(student.parameters()).new_zeros(1, 3, side, side))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f'--train-size {side}: expected a student that takes images of any size, found one '
            f'that does not: {error}; leave the option away'
        ) from error
    student.train(training)
    size = max(1, round(spec.resize.size * side / spec.input_size))
    return replace(spec, input_size=side, resize=replace(spec.resize, size=size))
