# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure a student on labelled pictures that nothing was tuned on."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import dataclass
from pathlib import Path
import statistics
import time
from typing import Any

import cv2
from edgevl_ros.core.preprocess import PreprocessSpec
import numpy as np
from numpy.typing import NDArray
import onnxruntime

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


def embed(session: onnxruntime.InferenceSession, images: FloatArray) -> FloatArray:
    """Embed images one at a time, as a robot does; gives float32 (N, D)."""
    return np.concatenate(
        [session.run(None, {'image': image[np.newaxis]})[0] for image in images]
    )


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
        'top1_fp32_percent': round(float(100 * np.mean(best_fp32 == truth)), 2),
        'top1_int8_percent': round(float(100 * np.mean(best_int8 == truth)), 2),
        'same_label_percent': round(float(100 * np.mean(best_int8 == best_fp32)), 2),
    }


def reliability(
    embeddings: FloatArray, words: FloatArray, truth: NDArray[np.int64], logit_scale: float
) -> dict[str, float]:
    """
    Tell how honest the probabilities are.

    :returns: mean confidence, accuracy and expected calibration error over ten bins (Guo et al.,
        ICML 2017), all in 0..1.
    """
    logits = logit_scale * (embeddings @ words.T)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = sum(
        np.mean(bins == i) * abs(confidence[bins == i].mean() - right[bins == i].mean())
        for i in np.unique(bins)
    )
    return {
        'mean_confidence': round(float(confidence.mean()), 4),
        'accuracy': round(float(right.mean()), 4),
        'expected_calibration_error': round(float(error), 4),
    }


def time_models(
    models: Sequence[str | bytes], image: FloatArray, threads: int, rounds: int = 100
) -> list[float]:
    """
    Time graphs in equal ONNX Runtime sessions, taking turns so that a busy moment hits all.

    :param image: one image, float32 (1, 3, S, S).
    :returns: the median of every graph in milliseconds.
    """
    sessions = [session(model, threads) for model in models]
    times: list[list[float]] = [[] for _ in sessions]
    for turn in range(rounds + 10):
        for one, taken in zip(sessions, times):
            start = time.perf_counter()
            one.run(None, {'image': image})
            if turn >= 10:
                taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def session(model: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    """Open a graph on ONNX Runtime's CPU provider, under the settings of the robot's backend."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Also keeps the idle threads of one session off the cores of another that is being timed.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
