# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From scales of modules, which training knows, to scales of tensors, which a graph has.

A mark is an Identity that says "this enters the module NAME". Where all that use a tensor want it
rounded alike, the mark goes and the tensor has the scale; where some want it as it is, the mark
stays and only those after it read rounded numbers, as in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgevl_training.exporting.settle import drop_unused, redirect, replace
from edgevl_training.students.weights import StudentError
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

_LAYERS = ('Conv', 'Gemm', 'MatMul')


def name_weights(
    model: ModelProto, marks: Mapping[str, str], weights: Mapping[str, NDArray[np.float32]]
) -> None:
    """
    Name the weights in a marked graph ``NAME.weight``, after the module they belong to.

    :param marks: name of a marked tensor -> name of the module that it enters.
    :param weights: by name of the module, output channels first.
    :raises StudentError: when a module's weight is not where its input goes.
    """
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found: set[str] = set()
    for node in model.graph.node:
        module = marks.get(node.input[0], '') if node.op_type in _LAYERS else ''
        if module not in weights or node.input[1] not in values:
            continue
        stored, name = values[node.input[1]], f'{module}.weight'
        wanted = weights[module].T if node.op_type == 'MatMul' else weights[module]
        if stored.shape != wanted.shape or not np.allclose(stored, wanted, rtol=1e-5, atol=1e-8):
            continue
        if module not in found:
            model.graph.initializer.append(numpy_helper.from_array(stored, name))
            found.add(module)
        node.input[1] = name
    if left := sorted(set(weights) - found):
        raise StudentError(
            f'{model.graph.name}: expected to find the weights of all layers in the exported '
            f'graph, found none of {", ".join(left[:8])}; choose another network'
        )
    drop_unused(model)


def resolve(
    model: ModelProto, marks: Mapping[str, str], scales: Mapping[str, float]
) -> dict[str, float]:
    """
    Give the scales of tensors, and take out the marks that are not needed for that.

    :param marks: name of a marked tensor -> name of the module that it enters.
    :param scales: by name of the module.
    """
    of_tensor: dict[str, float] = {}
    renamed: dict[str, str] = {}
    first: dict[tuple[str, float], str] = {}
    for node in model.graph.node:
        if node.output[0] not in marks:
            continue
        source, scale = renamed.get(node.input[0], node.input[0]), scales[marks[node.output[0]]]
        if of_tensor.get(source) == scale:
            renamed[node.output[0]] = source
        elif (source, scale) in first:
            renamed[node.output[0]] = first[source, scale]
        else:
            first[source, scale] = node.output[0]
            of_tensor[node.output[0]] = scale
    redirect(model, renamed)
    drop_unused(model)
    return _without_needless(model, of_tensor)


def _without_needless(model: ModelProto, scales: dict[str, float]) -> dict[str, float]:
    """Move a scale from a mark to the tensor before it, where nobody else reads that tensor."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    needless = {
        node.output[0]: node.input[0] for node in model.graph.node
        if node.output[0] in scales and len(users[node.input[0]]) == 1
        and node.input[0] not in scales
    }
    redirect(model, needless)
    replace(model.graph.node, [n for n in model.graph.node if n.output[0] not in needless])
    return {needless.get(name, name): scale for name, scale in scales.items()}


def outputs_of(marks: Iterable[str], suffix: str) -> dict[str, str]:
    """Give the module of each mark: ``NAME.input`` and ``NAME.input.1`` are of NAME."""
    return {mark: mark[:mark.rindex(suffix)] for mark in marks}
