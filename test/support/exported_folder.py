# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write the folder that ``edgevl export`` would leave, with a student made in a test."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_training.dataset import SecondModality
from edgevl_training.output import OutputFolder
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
from support.tiny_bundle import DIM, SIZE, SPEC, TEACHER


def make_exported(
    folder: Path,
    *,
    seed: int = 7,
    noise: float = 0.0,
    dim: int = DIM,
    teacher: dict[str, Any] | None = None,
    precision: str = 'int8',
    modality: SecondModality | None = None,
    modalities: str = 'both',
) -> Path:
    """
    Write a finished folder of an exported student, which embeds the mean colour; give its path.

    With the seed as it is and no noise, it is the student of the tiny bundle.

    :param noise: how far its weights are from those of the seed.
    :param teacher: id, dim and logit_scale; that of the tiny bundle unless given.
    """
    teacher = teacher or {'id': TEACHER, 'dim': dim, 'logit_scale': 20.0}
    int8 = precision == 'int8'
    names = ['student.onnx', 'student.cpu.onnx'] if int8 else ['student.fp32.onnx']
    with OutputFolder(folder, 'export', {'recipe': {'made_by': 'a test'}}) as output:
        for name in names:
            onnx.save(student(seed, noise, dim), folder / name)
        (folder / 'preprocess.yaml').write_text(SPEC.to_yaml(), encoding='utf-8')
        output.finish({
            'teacher': teacher,
            'second_modality': asdict(modality or SecondModality()),
            'student': {
                'name': 'mean colour', 'parameters': 4 * dim, 'image_size': SIZE, 'dim': dim,
            },
            'modalities': modalities,
            'preprocess': SPEC.to_yaml(),
            'precision': precision,
            'parity': {},
            'files': [
                {
                    'name': name, 'sha256': sha256_of(folder / name),
                    'bytes': (folder / name).stat().st_size,
                }
                for name in [*names, 'preprocess.yaml']
            ],
            'lineage': [],
        })
    return folder


def student(seed: int = 7, noise: float = 0.0, dim: int = DIM) -> onnx.ModelProto:
    """Make a graph that embeds the mean colour of an image."""
    weights = np.random.default_rng(seed).normal(size=(3, dim))
    weights += noise * np.random.default_rng(seed + 1).normal(size=(3, dim))
    arrays = {'weights': weights, 'bias': np.full(dim, 0.05)}
    nodes = [
        helper.make_node('ReduceMean', ['image'], ['mean'], axes=[2, 3], keepdims=0),
        helper.make_node('Gemm', ['mean', *arrays], ['features']),
        helper.make_node('LpNormalization', ['features'], ['embedding'], axis=1, p=2),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (('image', ['batch', 3, SIZE, SIZE]), ('embedding', ['batch', dim]))
    ]
    graph = helper.make_graph(nodes, 'student', ends[:1], ends[1:], [
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()
    ])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
