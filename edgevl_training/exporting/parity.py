# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether exported graphs give the embeddings of the network that was trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgevl_ros.core.frame import Modality
from edgevl_training.errors import TrainingError
import numpy as np
from numpy.typing import NDArray
import onnxruntime
import torch

LEAST_COSINE = 0.999
FloatArray = NDArray[np.float32]
Cosines = dict[Modality, NDArray[np.float64]]


@dataclass(frozen=True)
class Exported:
    """
    A graph, as the bytes of its file, and the network whose embeddings it should give.

    ``as_written`` runs every operator as ONNX defines it: ONNX Runtime would make something else
    of a graph that is placed for TensorRT.
    """

    graph: bytes
    network: torch.nn.Module
    against: str
    as_written: bool = False


def cosines_of(
    exported: Mapping[str, Exported], pictures: Iterable[tuple[Modality, FloatArray]],
    threads: int,
) -> Iterator[dict[str, Cosines]]:
    """
    Compare every graph with its network, picture by picture.

    :param pictures: batches of one modality each, float32 (B, 3, S, S).
    :returns: after each batch, for each graph and modality the cosines of its rows; the key
        ``A | B`` compares the graphs A and B of the same network, where there are two.
    """
    sessions = {name: _session(item, threads) for name, item in exported.items()}
    networks = {id(item.network): item.network.eval() for item in exported.values()}
    names = [name for name, item in exported.items() if item.against == 'fake-quant']
    for modality, images in pictures:
        with torch.inference_mode():
            wanted = {
                key: network(torch.from_numpy(images)).numpy()
                for key, network in networks.items()
            }
        # One picture at a time, as on the robot.
        rows = {
            name: np.concatenate([
                session.run(None, {'image': image[np.newaxis]})[0] for image in images
            ])
            for name, session in sessions.items()
        }
        found = {
            name: {modality: _cosines(rows[name], wanted[id(item.network)])}
            for name, item in exported.items()
        }
        if len(names) > 1:
            found[' | '.join(names)] = {modality: _cosines(*(rows[name] for name in names))}
        yield found


def joined(parts: Iterable[dict[str, Cosines]]) -> dict[str, Cosines]:
    """Put the cosines of several batches together."""
    lists: dict[str, dict[Modality, list[NDArray[np.float64]]]] = {}
    for part in parts:
        for name, of_modality in part.items():
            for modality, cosines in of_modality.items():
                lists.setdefault(name, {}).setdefault(modality, []).append(cosines)
    return {
        name: {modality: np.concatenate(values) for modality, values in of_modality.items()}
        for name, of_modality in lists.items()
    }


def summary_of(cosines: Cosines) -> dict[str, Any]:
    """Describe the cosines of one graph, by modality."""
    return {
        modality.value: {
            'mean': round(float(values.mean()), 6),
            'least': round(float(values.min()), 6),
            'fifth_percentile': round(float(np.percentile(values, 5)), 6),
            'count': len(values),
        }
        for modality, values in cosines.items()
    }


def check(cosines: Mapping[str, Cosines], exported: Mapping[str, Exported]) -> None:
    """
    Refuse graphs that are not the network that was trained, or not each other's like.

    :raises TrainingError: naming those whose mean cosine is not above `LEAST_COSINE`.
    """
    problems = [
        f'  {name}, {modality.value}: {values.mean():.5f} to '
        + (f'the {exported[name].against} network' if name in exported else 'each other')
        for name, of_modality in cosines.items() for modality, values in of_modality.items()
        # Written so that NaN, which compares false with everything, is refused.
        if not values.mean() > LEAST_COSINE
    ]
    if problems:
        raise TrainingError(
            'expected exported graphs whose mean cosine to the trained network, and of two '
            f'placements to each other, is above {LEAST_COSINE}, found\n' + '\n'.join(problems)
            + '\nSuch a graph would not do on a robot what was trained. Train the INT8 student '
            'further ("edgevl contrast"), or calibrate it with more pictures '
            '(--calibration-pairs).'
        )


def _session(item: Exported, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if item.as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        item.graph, options, providers=['CPUExecutionProvider']
    )


def _cosines(rows: FloatArray, others: FloatArray) -> NDArray[np.float64]:
    """Give the cosines of the rows of two arrays, in double precision."""
    first, second = rows.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: NDArray[np.float64] = np.sum(first * second, axis=1) / lengths
    return cosines
