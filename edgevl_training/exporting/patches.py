# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Convolutions of patches that do not overlap, as the matrix products that they are.

Vision transformers cut an image, or a map, into patches with a convolution whose stride is its
kernel, and whose output stays float. ONNX Runtime has no INT8 convolution with a float output on
a CPU, but such a matrix product.
"""

from __future__ import annotations

from dataclasses import replace as with_changes
from typing import Any

from edgevl_training.exporting.settle import drop_unused, replace
from edgevl_training.quantize import Scales
import numpy as np
import onnx
from onnx import helper, ModelProto, NodeProto, numpy_helper


def patches_as_products(model: ModelProto, scales: Scales) -> tuple[ModelProto, Scales]:
    """
    Rewrite the convolutions of patches that read rounded numbers and give float ones.

    :returns: a changed copy of the graph, and the scales of its tensors.
    """
    result = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = result.graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input)
    }
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    activations = dict(scales.activations)
    nodes: list[NodeProto] = []
    for node in graph.node:
        source = node.input[0] if node.input else ''
        stored = {node.output[0]} | {
            user.output[0] for user in users.get(node.output[0], ())
            if user.op_type in ('Clip', 'Relu')
        }
        kernel = _patch(node)
        fits = kernel and not any(size % kernel for size in shapes[source][2:])
        if not fits or source not in activations or stored & set(scales.activations):
            nodes.append(node)
            continue
        patches = f'{node.output[0]}.patches'
        activations[patches] = activations[source]
        if len(users[source]) == 1:
            # To round is all the same before and after numbers are moved.
            del activations[source]
        nodes += _product(result, node, kernel, shapes[source], patches)
    replace(graph.node, nodes)
    drop_unused(result)
    return result, with_changes(scales, activations=activations)


def _patch(node: NodeProto) -> int:
    """Give the side of the patches that a convolution takes; 0 when they are none."""
    if node.op_type != 'Conv':
        return 0
    of: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kernel = list(of['kernel_shape'])
    plain = of.get('group', 1) == 1 and not any(of.get('pads', [])) and (
        set(of.get('dilations', [1])) == {1}
    )
    apart = list(of.get('strides', [1, 1])) == kernel and len(set(kernel)) == 1
    return int(kernel[0]) if plain and apart and len(kernel) == 2 else 0


def _product(
    model: ModelProto, conv: NodeProto, kernel: int, shape: list[int], patches: str
) -> list[NodeProto]:
    """Write the nodes of the same convolution, (B, C, H, W) to (B, out, H / k, W / k)."""
    _, channels, height, width = shape
    rows, columns = height // kernel, width // kernel
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weight, output = conv.input[1], conv.output[0]
    channels_out, size = tensors[weight].dims[0], int(np.prod(tensors[weight].dims[1:]))

    def step(op_type: str, inputs: list[str], name: str, **attributes: Any) -> NodeProto:
        return helper.make_node(op_type, inputs, [name], name, **attributes)

    def shaped(source: str, sizes: list[int], name: str) -> NodeProto:
        stored = numpy_helper.from_array(np.array(sizes, np.int64), f'{name}.shape')
        model.graph.initializer.append(stored)
        return step('Reshape', [source, stored.name], name)

    nodes = [
        # Channels last: whole rows of a patch are moved then, and maps of transformers lie so.
        step('Transpose', [conv.input[0]], f'{output}.last', perm=[0, 2, 3, 1]),
        shaped(f'{output}.last', [-1, rows, kernel, columns, kernel * channels], f'{output}.cut'),
        step('Transpose', [f'{output}.cut'], f'{output}.sorted', perm=[0, 1, 3, 2, 4]),
        shaped(f'{output}.sorted', [-1, rows * columns, size], patches),
        # The weight stays stored as it is, so that both placements hold the same bytes.
        step('Transpose', [weight], f'{weight}.sorted', perm=[2, 3, 1, 0]),
        shaped(f'{weight}.sorted', [size, channels_out], f'{weight}.columns'),
        step('MatMul', [patches, f'{weight}.columns'], f'{output}.product'),
    ]
    last = f'{output}.product'
    if len(conv.input) > 2:
        nodes.append(step('Add', [last, conv.input[2]], f'{output}.biased'))
        last = f'{output}.biased'
    return [
        *nodes,
        shaped(last, [-1, rows, columns, channels_out], f'{output}.map'),
        step('Transpose', [f'{output}.map'], output, perm=[0, 3, 1, 2]),
    ]
