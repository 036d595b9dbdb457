# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an embedding means in a vocabulary: ranked labels, unknown, and a stable label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import math

from edgevl_ros.core.frame import Modality
from edgevl_ros.core.vocabulary import UNKNOWN, Vocabulary
import numpy as np
from numpy.typing import NDArray

Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class Hypothesis:
    """One label for a scene, its probability within the vocabulary and its cosine, in -1..1."""

    label: str
    probability: float
    similarity: float


@dataclass(frozen=True)
class Scene:
    """
    What the robot makes of one frame.

    ``hypotheses`` are the best labels of this frame alone, most probable first; ``label`` is the
    stable label, smoothed over time, or ``unknown``. ``modalities`` are those that were embedded;
    ``unused`` says of each image that held nothing to see why. ``timings_s`` gives seconds spent
    by step.
    """

    stamp_ns: int
    frame_id: str
    hypotheses: tuple[Hypothesis, ...]
    label: str
    modalities: tuple[Modality, ...]
    unused: Mapping[Modality, str] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)


def rank(embedding: Embedding, vocabulary: Vocabulary, top_k: int) -> tuple[Hypothesis, ...]:
    """
    Rank the labels of a vocabulary for one unit embedding of shape (D,), most probable first.

    Probability is the softmax over the whole vocabulary of the logit scale times the cosine, as
    in CLIP (Radford et al., ICML 2021); at most ``top_k`` hypotheses are returned.
    """
    similarities = vocabulary.embeddings @ embedding
    logits = vocabulary.logit_scale * similarities
    exponentials = np.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    order = np.argsort(-probabilities, kind='stable')[:top_k]
    return tuple(
        Hypothesis(vocabulary.labels[i], float(probabilities[i]), float(similarities[i]))
        for i in order
    )


def fuse(embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> Embedding:
    """
    Fuse unit embeddings, float32 (B, D), into one unit embedding by a weighted mean of the rows.

    :param weights: float32 (B,), not negative and not all zero.
    """
    mean = weights @ embeddings
    norm = float(np.linalg.norm(mean))
    # Opposite embeddings cancel out; the heaviest one is then the only honest answer.
    if norm < 1e-6:
        heaviest: Embedding = embeddings[int(np.argmax(weights))]
        return heaviest
    fused: Embedding = (mean / norm).astype(np.float32)
    return fused


def stable_label(
    best: Hypothesis, min_probability: float, min_similarity: float
) -> str:
    """Give the label of the best hypothesis, or ``unknown`` below either threshold."""
    sure = best.probability >= min_probability and best.similarity >= min_similarity
    return best.label if sure else UNKNOWN


class EmbeddingSmoother:
    """
    An exponential moving average of unit embeddings over camera time.

    Averaging embeddings instead of labels keeps what was seen when the vocabulary changes. The
    weight of the past is ``exp(-dt / time_constant)``; a stamp that does not advance (a looped
    bag, simulated time) starts anew.
    """

    def __init__(self) -> None:
        """Start without a past."""
        self._mean: Embedding | None = None
        self._stamp_ns = 0

    def reset(self) -> None:
        """Forget everything seen so far."""
        self._mean = None

    def update(self, stamp_ns: int, embedding: Embedding, time_constant_s: float) -> Embedding:
        """Add one unit embedding of shape (D,) and give the smoothed one, of unit length."""
        elapsed_s = (stamp_ns - self._stamp_ns) * 1e-9
        if self._mean is None or elapsed_s <= 0 or time_constant_s <= 0:
            smoothed = embedding
        else:
            past = math.exp(-elapsed_s / time_constant_s)
            smoothed = fuse(
                np.stack([self._mean, embedding]), np.array([past, 1 - past], np.float32)
            )
        self._mean, self._stamp_ns = smoothed, stamp_ns
        return smoothed
