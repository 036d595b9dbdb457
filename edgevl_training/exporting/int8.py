# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A student trained for INT8 as the two graphs that robots run."""

from __future__ import annotations

from edgevl_training.exporting.graph import ENTERS, marked_graph
from edgevl_training.exporting.marks import name_weights, outputs_of, resolve
from edgevl_training.exporting.patches import patches_as_products
from edgevl_training.exporting.separate import separate_projections
from edgevl_training.fake_quant import activation_scales, float_twin, weight_levels, weight_scales
from edgevl_training.quantize import for_onnxruntime, for_tensorrt, Scales
from edgevl_training.students.student import Student
import onnx


def int8_graphs(student: Student) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """
    Export a student with quantizers.

    :returns: the graphs for TensorRT and for ONNX Runtime on a CPU.
    :raises StudentError: when a layer's weight cannot be found in the traced graph.
    """
    model, scales = scaled_graph(student)
    tensorrt = separate_projections(for_tensorrt(model, scales))
    return tensorrt, for_onnxruntime(*patches_as_products(model, scales))


def scaled_graph(student: Student) -> tuple[onnx.ModelProto, Scales]:
    """Give the float graph of a student with quantizers, and the scales of its tensors."""
    scales = activation_scales(student)
    twin = float_twin(student)
    model = marked_graph(twin, scales)
    names = [node.output[0] for node in model.graph.node if node.op_type == 'Identity']
    marks = outputs_of(names, ENTERS)
    weights = weight_scales(student)
    tensors = {
        name: twin.get_submodule(name).weight.detach().cpu().numpy() for name in weights
    }
    name_weights(model, marks, tensors)
    activations = resolve(model, marks, scales)
    return model, Scales(
        activations,
        {f'{name}.weight': scale for name, scale in weights.items()},
        {f'{name}.weight': levels for name, levels in weight_levels(student).items()},
    )
