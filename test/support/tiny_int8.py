# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small student with Q/DQ as TensorRT wants it: two INT8 convolutions, one float product."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto

SIZE, DIM, CHANNELS = 32, 8, 16
# The layers that INT8 is meant for.
INT8_LAYERS = 2


def tiny_int8(seed: int = 7) -> bytes:
    """Give the graph: input ``image`` (B, 3, 32, 32), output ``embedding`` (B, 8), unit rows."""
    random = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return random.integers(-63, 64, shape).astype(np.int8)

    values = {
        'scale': np.float32(0.02), 'zero': np.zeros((), np.int8),
        'first.int8': weight(CHANNELS, 3, 3, 3), 'second.int8': weight(CHANNELS, CHANNELS, 3, 3),
        'weight.scale': np.full(CHANNELS, 0.01, np.float32),
        'weight.zero': np.zeros(CHANNELS, np.int8),
        'bias': random.normal(size=CHANNELS).astype(np.float32),
        'last': random.normal(size=(CHANNELS, DIM)).astype(np.float32),
        'last.bias': random.normal(size=DIM).astype(np.float32),
    }
    nodes = [
        *_rounded('image', 'a'), _read('first'),
        helper.make_node('Conv', ['a', 'first', 'bias'], ['b'], 'first', pads=[1] * 4,
                         strides=[2, 2]),
        helper.make_node('Relu', ['b'], ['c']), *_rounded('c', 'd'), _read('second'),
        helper.make_node('Conv', ['d', 'second', 'bias'], ['e'], 'second', pads=[1] * 4),
        helper.make_node('Relu', ['e'], ['f']),
        helper.make_node('ReduceMean', ['f'], ['g'], axes=[2, 3], keepdims=0),
        helper.make_node('Gemm', ['g', 'last', 'last.bias'], ['h'], 'last'),
        helper.make_node('ReduceL2', ['h'], ['i'], axes=[1], keepdims=1),
        helper.make_node('Div', ['h', 'i'], ['embedding']),
    ]
    graph = helper.make_graph(
        nodes, 'student',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, ['batch', 3, SIZE, SIZE])],
        [helper.make_tensor_value_info('embedding', TensorProto.FLOAT, ['batch', DIM])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _rounded(source: str, result: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node('QuantizeLinear', [source, 'scale', 'zero'], [f'{result}.int8']),
        helper.make_node('DequantizeLinear', [f'{result}.int8', 'scale', 'zero'], [result]),
    ]


def _read(name: str) -> onnx.NodeProto:
    inputs = [f'{name}.int8', 'weight.scale', 'weight.zero']
    return helper.make_node('DequantizeLinear', inputs, [name], axis=0)
