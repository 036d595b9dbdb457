# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find what INT8 and the softmax need to know, without a single label.

Ranges come from watching every stored tensor on calibration pictures; the logit scale from the
classifier's own beliefs about them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgevl_training.quantize import ACTIVATION_LEVELS, activation_scale
from edgevl_training.students.conse_lite import Activation, ConSELite
import numpy as np
from numpy.typing import NDArray
import torch

BINS = 4096
BATCH = 16


@torch.inference_mode()
def calibrate(student: ConSELite, images: NDArray[np.float32]) -> None:
    """
    Set the scale of every stored tensor from images, float32 (N, 3, S, S), of -1..1.

    The image itself takes its whole range; every other tensor the scale of least squared error.
    """
    points = list(student.activations())
    largest = dict.fromkeys(points, 0.0)
    counts = {point: torch.zeros(BINS) for point in points}

    def widen(point: Activation, x: torch.Tensor) -> None:
        largest[point] = max(largest[point], float(x.abs().max()))

    def count(point: Activation, x: torch.Tensor) -> None:
        counts[point] += torch.histc(x.abs(), BINS, 0, largest[point])

    for look in (widen, count):
        for point in points:
            point.watch = _watcher(look, point)
        logits_of(student, images)
    for point in points:
        point.watch = None
        point.scale = activation_scale(counts[point].double().numpy(), largest[point])
    student.image.scale = 1 / ACTIVATION_LEVELS


def _watcher(
    look: Callable[[Activation, torch.Tensor], None], point: Activation
) -> Callable[[torch.Tensor], None]:
    return lambda x: look(point, x)


@torch.inference_mode()
def logits_of(student: ConSELite, images: NDArray[np.float32]) -> torch.Tensor:
    """Compute class logits, float32 (N, 1000), in batches."""
    return torch.cat(
        [
            student(batch.to(memory_format=torch.channels_last))
            for batch in torch.from_numpy(images).split(BATCH)
        ]
    )


def fit_logit_scale(
    probabilities: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    names: NDArray[np.float32],
    vocabulary_size: int,
    rng: np.random.Generator,
) -> float:
    """
    Find the scale at which softmax over cosines is as sure as the classifier is.

    For every picture a class is drawn with the classifier's ``probabilities``, (N, 1000), and
    hidden among random others; the scale with the least negative log-likelihood of the drawn class
    wins. That is temperature scaling (Guo et al., ICML 2017) with beliefs in place of labels.

    :param embeddings: unit image embeddings, (N, D).
    :param names: unit embeddings of the class names, (1000, D).
    """
    candidates = np.geomspace(4, 100, 200)
    losses = np.zeros(len(candidates))
    for belief, embedding in zip(probabilities.astype(np.float64), embeddings):
        truth = rng.choice(len(names), p=belief / belief.sum())
        others = rng.choice(len(names), vocabulary_size, replace=False)
        labels = np.r_[truth, others[others != truth][: vocabulary_size - 1]]
        cosines = names[labels] @ embedding
        margins = np.outer(candidates, cosines - cosines[0])
        losses += np.log(np.exp(margins).sum(1))
    return float(candidates[int(np.argmin(losses))])


def frames_to_images(
    frames: Sequence[NDArray[np.uint8]],
    to_input: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Turn frames, uint8 (H, W, 3), into network input, float32 (N, 3, S, S)."""
    return np.stack([to_input(frame) for frame in frames])
