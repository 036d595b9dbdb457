# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make inference slower than a camera, for real: a student with idle arithmetic added."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
import shutil

import numpy as np
import onnx
from onnx import helper, numpy_helper

MODEL = 'student.cpu.onnx'
SIDE = 1024


def write_slow_bundle(source: Path, folder: Path, products: int) -> Path:
    """
    Copy a bundle, its CPU student slowed by matrix products that change no embedding.

    :param products: products of two float32 matrices of side 1024, about 2 GFLOP each.
    """
    shutil.copytree(source, folder)
    model = onnx.load(folder / MODEL)
    _add_idle_products(model.graph, products)
    onnx.save(model, folder / MODEL)
    manifest = json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))
    raw = (folder / MODEL).read_bytes()
    manifest['files'][MODEL] = {'sha256': hashlib.sha256(raw).hexdigest(), 'bytes': len(raw)}
    (folder / 'manifest.json').write_text(json.dumps(manifest), encoding='utf-8')
    return folder


def _add_idle_products(graph: onnx.GraphProto, products: int) -> None:
    # The products start from the image, so that no optimiser can work them out beforehand.
    matrix = np.full((SIDE, SIDE), 1 / SIDE, np.float32)
    for initializer in (
        numpy_helper.from_array(matrix, 'idle_matrix'),
        numpy_helper.from_array(np.float32(0), 'idle_zero'),
    ):
        graph.initializer.append(initializer)
    output = graph.output[0].name
    _rename_output(graph, output, 'embedding_before_idling')
    graph.node.append(helper.make_node('ReduceMean', ['image'], ['idle_mean'], keepdims=0))
    graph.node.append(helper.make_node('Mul', ['idle_matrix', 'idle_mean'], ['idle_0']))
    for step in range(products):
        inputs = [f'idle_{step}', 'idle_matrix']
        graph.node.append(helper.make_node('MatMul', inputs, [f'idle_{step + 1}']))
    graph.node.append(
        helper.make_node('ReduceMean', [f'idle_{products}'], ['idle_end'], keepdims=0)
    )
    graph.node.append(helper.make_node('Mul', ['idle_end', 'idle_zero'], ['idle_nothing']))
    graph.node.append(
        helper.make_node('Add', ['embedding_before_idling', 'idle_nothing'], [output])
    )


def _rename_output(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for outputs in (node.output, node.input):
            for index, name in enumerate(outputs):
                if name == old:
                    outputs[index] = new
