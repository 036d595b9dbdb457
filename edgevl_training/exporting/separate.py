# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Query, key and value of an attention as products of their own, for TensorRT.

Where one product gives all three, TensorRT's optimizer moves the cut between them before the
product, into the weight, and behind that cut it no longer sees that the weight is INT8: it reads
it as float and multiplies in float. From three products it makes one again, in INT8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgevl_training.exporting.settle import drop_unused, replace
import numpy as np
from numpy.typing import NDArray
from onnx import helper, ModelProto, NodeProto, numpy_helper

# Ends, before its number, the name of a part of a weight.
PART = '.part'
_PARTS = 3
# From (B, N, 3, heads, d), and from (B, N, heads, d).
_TOGETHER, _APART = [2, 0, 3, 1, 4], [0, 2, 1, 3]


@dataclass(frozen=True)
class _Projection:
    """A product of a stored weight, its bias, and the tensors that are cut from the sum."""

    product: NodeProto
    weight: NodeProto
    bias: str
    outputs: tuple[str, ...]
    # Where the cut is made between heads: the shape of what was cut, without the three.
    heads: NDArray[np.int64] | None


class _Graph:
    """Who makes and who reads each tensor of a graph, and its constants."""

    def __init__(self, model: ModelProto) -> None:
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}

    def constant(self, name: str) -> NDArray:
        return numpy_helper.to_array(self.constants[name])

    def maker(self, name: str, op_type: str) -> NodeProto | None:
        """Give the node of a kind that makes a tensor which nobody else reads."""
        node = self.makers.get(name)
        fits = node is not None and node.op_type == op_type and len(self.readers[name]) == 1
        return node if fits else None


def separate_projections(model: ModelProto) -> ModelProto:
    """
    Cut the weights of attentions instead of what comes out of their products.

    Every number stays as it is; a graph without such attentions is given back as it is.

    :param model: a graph as `edgevl_training.quantize.for_tensorrt` places it.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = _Graph(result)
    found = [p for p in (_projection(graph, node) for node in result.graph.node) if p is not None]
    # Replaced where the product is: after what it reads, before whoever reads its parts.
    at = {projection.product.output[0]: projection for projection in found}
    made = {name for projection in found for name in projection.outputs}
    nodes = []
    for node in result.graph.node:
        if node.output[0] in at:
            nodes += _parts(result, graph, at[node.output[0]])
        elif not made.intersection(node.output):
            nodes.append(node)
    replace(result.graph.node, nodes)
    drop_unused(result)
    return result


def _projection(graph: _Graph, split: NodeProto) -> _Projection | None:
    """Find what a Split cuts, if it is an attention's product."""
    if split.op_type != 'Split' or len(split.output) != _PARTS:
        return None
    axis = {a.name: helper.get_attribute_value(a) for a in split.attribute}.get('axis', 0)
    if axis == 0:
        return _cut_between_heads(graph, split)
    total = graph.maker(split.input[0], 'Add')
    sizes = graph.constants.get(split.input[1]) if len(split.input) > 1 else None
    if axis not in (-1, 2) or total is None or sizes is None:
        return None
    if len(set(numpy_helper.to_array(sizes).tolist())) > 1:
        return None
    return _product_of(graph, total, tuple(split.output), None)


def _cut_between_heads(graph: _Graph, split: NodeProto) -> _Projection | None:
    turned = graph.maker(split.input[0], 'Transpose')
    shaped = graph.maker(turned.input[0], 'Reshape') if turned is not None else None
    total = graph.maker(shaped.input[0], 'Add') if shaped is not None else None
    if turned is None or shaped is None or total is None:
        return None
    # Where a shape is computed, nobody knows how it is cut.
    if shaped.input[1] not in graph.constants:
        return None
    shape = graph.constant(shaped.input[1])
    turns = helper.get_attribute_value(turned.attribute[0])
    ends = [graph.readers.get(name, []) for name in split.output]
    squeezed = all(len(end) == 1 and end[0].op_type == 'Squeeze' for end in ends)
    if len(shape) != 5 or shape[2] != _PARTS or list(turns) != _TOGETHER or not squeezed:
        return None
    outputs = tuple(end[0].output[0] for end in ends)
    return _product_of(graph, total, outputs, np.delete(shape, 2).astype(np.int64))


def _product_of(
    graph: _Graph, total: NodeProto, outputs: tuple[str, ...], heads: NDArray[np.int64] | None
) -> _Projection | None:
    biases = [name for name in total.input if name in graph.constants]
    products = [graph.maker(name, 'MatMul') for name in total.input if name not in biases]
    if len(biases) != 1 or products == [None] or products[0] is None:
        return None
    weight = graph.makers.get(products[0].input[1])
    if weight is None or weight.op_type != 'DequantizeLinear':
        return None
    # The columns are cut, with the scale of each.
    axis = {a.name: helper.get_attribute_value(a) for a in weight.attribute}.get('axis', 1)
    if axis not in (1, -1) or graph.constant(weight.input[1]).ndim != 1:
        return None
    return _Projection(products[0], weight, biases[0], outputs, heads)


def _parts(model: ModelProto, graph: _Graph, of: _Projection) -> list[NodeProto]:
    """Write the three products of a projection."""
    integers, scale, zero_point = of.weight.input[:3]
    nodes = []

    def store(name: str, value: NDArray) -> str:
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        model.graph.initializer.append(tensor)
        return name

    def step(op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op_type, inputs, [output], output, **attributes))
        return output

    def cut(name: str, index: int) -> str:
        values = np.split(graph.constant(name), _PARTS, axis=-1)
        return store(f'{name}{PART}{index}.{of.product.output[0]}', values[index])

    for index, output in enumerate(of.outputs):
        name = f'{of.product.output[0]}{PART}{index}'
        stored = [cut(tensor, index) for tensor in (integers, scale, zero_point)]
        weight = step('DequantizeLinear', stored, f'{name}.weight', axis=1)
        product = step('MatMul', [of.product.input[0], weight], f'{name}.product')
        last = output if of.heads is None else f'{name}.sum'
        total = step('Add', [product, cut(of.bias, index)], last)
        if of.heads is not None:
            shape = store(f'{name}.shape', of.heads)
            shaped = step('Reshape', [total, shape], f'{name}.heads')
            step('Transpose', [shaped], output, perm=_APART)
    return nodes
