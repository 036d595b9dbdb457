# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs as the robot runs them, for embedding and for timing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import statistics
import time

import numpy as np
from numpy.typing import NDArray
import onnxruntime

FloatArray = NDArray[np.float32]

_WARM_UP = 10


def embed(session: onnxruntime.InferenceSession, images: FloatArray) -> FloatArray:
    """Embed images one at a time, as a robot does; gives float32 (N, D)."""
    return np.concatenate(
        [session.run(None, {'image': image[np.newaxis]})[0] for image in images]
    )


def time_models(
    models: Sequence[str | bytes], image: FloatArray, threads: int, rounds: int = 100
) -> list[float]:
    """
    Time graphs in equal ONNX Runtime sessions on one image, float32 (1, 3, S, S).

    :returns: the median of every graph in milliseconds.
    """
    def run_of(model: str | bytes) -> Callable[[int], object]:
        session = open_session(model, threads)
        return lambda _: session.run(None, {'image': image})

    return time_in_turns([run_of(model) for model in models], rounds)


def time_in_turns(runs: Sequence[Callable[[int], object]], rounds: int = 100) -> list[float]:
    """
    Time functions of the number of the round, in turns so that a busy moment hits all of them.

    :returns: the median of every one in milliseconds.
    """
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + _WARM_UP):
        for run, taken in zip(runs, times):
            start = time.perf_counter()
            run(turn)
            if turn >= _WARM_UP:
                taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def open_session(model: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    """Open a graph on ONNX Runtime's CPU provider, under the settings of the robot's backend."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Also keeps the idle threads of one session off the cores of another that is being timed.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
