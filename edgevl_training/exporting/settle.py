# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take everything out of a traced graph that a robot would compute anew for each image.

torch writes sizes as computations, as every one could depend on the batch. Only the batch does
here: what comes out the same for two batches of different size is a constant, and of a shape that
differs in one number that number is -1, which ONNX reads as "what is left".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper, numpy_helper
import onnxruntime

Values = dict[str, NDArray[np.generic]]

_BATCHES = (2, 3)
# A constant of more numbers than this is not stored when it is larger than what it is made of.
_SMALL = 1 << 17
_MOVES = ('Expand', 'Pad', 'Reshape', 'Slice')


def settle(model: onnx.ModelProto, kept: frozenset[str]) -> None:
    """
    Fold constants and shapes, and drop what changes nothing; the model is changed in place.

    :param kept: outputs of Identity nodes that mark something and stay.
    """
    _constants_to_initializers(model)
    _drop_identities(model, kept)
    independent = set(_independent_of_image(model))
    moved = [name for node in model.graph.node if node.op_type in _MOVES
             for name in (node.input[0], node.output[0])]
    inputs = {value.name for value in model.graph.input}
    weights = {tensor.name for tensor in model.graph.initializer}
    names = sorted(independent.union(moved) - inputs - weights)
    first, second = (_run(model, names, batch) for batch in _BATCHES)
    _fold_constants(model, independent, first, second)
    _settle_reshapes(model, first, second)
    _drop_moves_of_nothing(model, first)
    drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> None:
    """Take out nodes and initializers that no output needs."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    nodes.reverse()
    replace(graph.node, nodes)
    replace(graph.initializer, tensors)
    del graph.value_info[:]


def redirect(model: onnx.ModelProto, renamed: dict[str, str]) -> None:
    """Let nodes read other tensors; outputs of the graph keep their names."""
    for node in model.graph.node:
        for index in range(len(node.input)):
            while node.input[index] in renamed:
                node.input[index] = renamed[node.input[index]]


def _constants_to_initializers(model: onnx.ModelProto) -> None:
    graph = model.graph
    for node in graph.node:
        if node.op_type == 'Constant':
            (attribute,) = node.attribute
            value = np.asarray(
                numpy_helper.to_array(attribute.t) if attribute.name == 'value'
                else helper.get_attribute_value(attribute)
            )
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    replace(graph.node, [node for node in graph.node if node.op_type != 'Constant'])


def _drop_identities(model: onnx.ModelProto, kept: frozenset[str]) -> None:
    outputs = {value.name for value in model.graph.output}
    _drop(model, [
        node for node in model.graph.node
        if node.op_type == 'Identity' and node.output[0] not in kept | outputs
    ])


def _drop(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Take out nodes that give what they get."""
    redirect(model, {node.output[0]: node.input[0] for node in nodes})
    gone = {node.output[0] for node in nodes}
    replace(model.graph.node, [n for n in model.graph.node if n.output[0] not in gone])


def _run(model: onnx.ModelProto, names: list[str], batch: int) -> Values:
    """Compute some tensors of a graph for a batch of noise."""
    open_graph = onnx.ModelProto()
    open_graph.CopyFrom(model)
    replace(open_graph.graph.output, [helper.make_empty_tensor_value_info(n) for n in names])
    (image,) = model.graph.input
    shape = [dimension.dim_value for dimension in image.type.tensor_type.shape.dim[1:]]
    noise = np.random.default_rng(batch).normal(size=(batch, *shape)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    # Two pictures: threads that wait for each other would take longer on a busy machine.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        open_graph.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    return dict(zip(names, session.run(names, {image.name: noise})))


def _fold_constants(
    model: onnx.ModelProto, names: set[str], first: Values, second: Values
) -> None:
    """Make initializers of the tensors among ``names`` that do not depend on the batch."""
    graph = model.graph
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    folded: Values = {}
    for node in graph.node:
        for name in node.output:
            if name in names and np.array_equal(first[name], second[name]):
                of_inputs = sum(sizes.get(source, 0) for source in node.input)
                if first[name].size <= max(_SMALL, of_inputs):
                    folded[name] = first[name]
                    sizes[name] = first[name].size
    replace(graph.node, [n for n in graph.node if not set(n.output) <= set(folded)])
    graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in folded.items())


def _settle_reshapes(model: onnx.ModelProto, first: Values, second: Values) -> None:
    """Give every Reshape a shape that is known, but for what the batch decides."""
    for node in model.graph.node:
        if node.op_type != 'Reshape':
            continue
        one, other = (np.array(values[node.output[0]].shape) for values in (first, second))
        if np.sum(one != other) <= 1:
            node.input[1] = f'{node.output[0]}.shape'
            shape = np.where(one == other, one, -1).astype(np.int64)
            model.graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))


def _independent_of_image(model: onnx.ModelProto) -> Iterator[str]:
    """Name the tensors that the image has no part in but by its size."""
    of_image = {value.name for value in model.graph.input}
    for node in model.graph.node:
        if node.op_type != 'Shape' and of_image.intersection(node.input):
            of_image.update(node.output)
        else:
            yield from node.output


def _drop_moves_of_nothing(model: onnx.ModelProto, values: Values) -> None:
    """Drop what moves no number, such as padding by nothing."""
    outputs = {value.name for value in model.graph.output}
    _drop(model, [
        node for node in model.graph.node
        if node.op_type in _MOVES and node.output[0] not in outputs
        and node.input[0] in values
        and np.array_equal(values[node.input[0]], values[node.output[0]])
    ])


def replace(field: object, items: list) -> None:
    """Put other messages into a repeated field of protobuf."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]  # type: ignore[attr-defined]
    field.extend(copies)  # type: ignore[attr-defined]
