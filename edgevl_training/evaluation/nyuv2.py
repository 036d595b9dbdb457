# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure the starter's student on the labelled pictures of the test data."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from edgevl_ros.core.preprocess import PreprocessSpec
from edgevl_training.evaluation import scores
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class LabelledImages:
    """Network inputs, float32 (N, 3, S, S), and for each the index of its label in ``labels``."""

    images: FloatArray
    truth: NDArray[np.int64]
    labels: tuple[str, ...]


def read_nyuv2(data: Path, spec: PreprocessSpec) -> LabelledImages:
    """
    Read the colour pictures and scene labels of ``nyuv2_train`` in the test data.

    :raises FileNotFoundError: when the folder holds no such data.
    """
    folder = data / 'nyuv2_train'
    with (folder / 'labels.csv').open(newline='', encoding='utf-8') as stream:
        rows = list(csv.DictReader(stream))
    labels = tuple(sorted({row['label'] for row in rows}))
    images = np.stack([spec.rgb_input(_read(folder / 'rgb' / f'{r["stem"]}.jpg')) for r in rows])
    truth = np.array([labels.index(row['label']) for row in rows])
    return LabelledImages(images, truth, labels)


def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f'{path}: expected a picture that OpenCV reads')
    rgb: Any = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return rgb


def compare(
    int8: FloatArray, fp32: FloatArray, words: FloatArray, truth: NDArray[np.int64]
) -> dict[str, float]:
    """
    Compare INT8 embeddings, (N, D), with float ones, and both with the truth.

    :param words: unit embeddings of the labels, (K, D).
    :returns: cosines, and zero-shot top-1 accuracy and agreement in percent.
    """
    cosines = np.sum(int8 * fp32, axis=1)
    best_int8, best_fp32 = ((e @ words.T).argmax(1) for e in (int8, fp32))
    return {
        'cosine_mean': round(float(cosines.mean()), 5),
        'cosine_5th_percentile': round(float(np.percentile(cosines, 5)), 5),
        'top1_fp32_percent': round(100 * scores.top1(truth, best_fp32), 2),
        'top1_int8_percent': round(100 * scores.top1(truth, best_int8), 2),
        'same_label_percent': round(100 * scores.top1(best_fp32, best_int8), 2),
    }


def reliability(
    embeddings: FloatArray, words: FloatArray, truth: NDArray[np.int64], logit_scale: float
) -> dict[str, float]:
    """
    Tell how honest the probabilities are.

    :returns: mean confidence, accuracy and expected calibration error, all in 0..1.
    """
    shares = scores.probabilities(embeddings, words, logit_scale)
    confidence, right = shares.max(1), shares.argmax(1) == truth
    return {
        'mean_confidence': round(float(confidence.mean()), 4),
        'accuracy': round(float(right.mean()), 4),
        'expected_calibration_error': round(scores.reliability(confidence, right).error, 4),
    }
