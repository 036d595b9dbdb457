# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How sure the teacher is of what a picture shows.

EdgeVL (ECCV 2024), section on automatic dataset curation: the confidence of a picture is the
largest softmax probability over the label superset, and its pseudo-label the phrase that has it.
As in CLIP the cosine is scaled by the teacher's own learned logit scale before the softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A label index that is none: the picture has no embedding.
NO_LABEL = -1


@dataclass(frozen=True)
class Judgements:
    """
    What the teacher makes of N pictures.

    ``label`` int32 (N,) is the index of the most likely phrase, `NO_LABEL` where there is no
    embedding; ``confidence`` float32 (N,) its probability, and ``margin`` float32 (N,) how far
    that is above the second most likely; both NaN where there is no embedding.
    """

    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    margin: NDArray[np.float32]


def judge(
    embeddings: NDArray[np.float32], words: NDArray[np.float32], logit_scale: float
) -> Judgements:
    """
    Compare pictures with phrases.

    :param embeddings: unit rows, float32 (N, D).
    :param words: unit rows of at least two phrases, float32 (K, D).
    """
    logits = np.float32(logit_scale) * (embeddings @ words.T)
    label = logits.argmax(1)
    best = logits[np.arange(len(logits)), label]
    total = np.exp(logits - best[:, np.newaxis]).sum(1)
    second = np.partition(logits, -2, axis=1)[:, -2]
    # With the largest logit taken off, the best phrase's share of the sum is exp(0).
    confidence = 1 / total
    margin = (1 - np.exp(second - best)) / total
    return Judgements(label.astype(np.int32), confidence, margin)
