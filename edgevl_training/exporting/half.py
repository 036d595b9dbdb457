# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The twin in half precision."""

from __future__ import annotations

import warnings

from edgevl_training.exporting.settle import replace
import onnx

# The squares of small numbers are too small for half precision.
_TO_UNIT_ROWS = ('ReduceL2', 'Clip', 'Div')


def half_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a float graph in half precision but for its last steps, which make unit rows."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    half = onnx.ModelProto()
    half.CopyFrom(model)
    last = list(half.graph.node[-len(_TO_UNIT_ROWS):])
    if tuple(node.op_type for node in last) != _TO_UNIT_ROWS:
        raise ValueError(f'expected a graph that ends in {_TO_UNIT_ROWS}')
    constants = [tensor for tensor in half.graph.initializer if tensor.name in last[1].input]
    embedding = onnx.ValueInfoProto()
    embedding.CopyFrom(half.graph.output[0])
    replace(half.graph.node, list(half.graph.node[:-len(last)]))
    half.graph.output[0].name = last[0].input[0]
    with warnings.catch_warnings():
        # Of numbers next to zero, which become zero or the least there is.
        warnings.simplefilter('ignore')
        half = convert_float_to_float16(half, keep_io_types=True)
    # It writes the casts of input and output last, wherever they belong.
    OnnxModel(half).topological_sort()
    half.graph.node.extend(last)
    kept = {tensor.name for tensor in half.graph.initializer}
    half.graph.initializer.extend(t for t in constants if t.name not in kept)
    replace(half.graph.output, [embedding])
    onnx.checker.check_model(half, full_check=True)
    return half
