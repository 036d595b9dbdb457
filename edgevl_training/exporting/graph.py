# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A student as a float ONNX graph: opset 17, any batch, and nothing in it but what a robot computes.

Input ``image``, float32 (B, 3, S, S); output ``embedding``, float32 (B, D), unit rows.
"""

from __future__ import annotations

from collections.abc import Iterable
import copy
from functools import partial
import io
from typing import Any
import warnings

from edgevl_training.exporting.settle import drop_unused, redirect, replace, settle
from edgevl_training.exporting.tidy import fold_padding
from edgevl_training.students.student import Student
from edgevl_training.students.windows import OUT_OF_SIGHT
import onnx
import torch
from torch import nn, Tensor

# What ONNX Runtime from 1.16 and TensorRT from 8.6 read.
OPSET, IR_VERSION = 17, 8
IMAGE, EMBEDDING, BATCH = 'image', 'embedding', 'batch'
_DOMAIN = 'edgevl'
# Ends the name of the tensor that enters a module.
ENTERS = '.input'


def float_graph(student: Student) -> onnx.ModelProto:
    """Trace a student without quantizers."""
    return marked_graph(student, ())


def marked_graph(student: Student, modules: Iterable[str]) -> onnx.ModelProto:
    """
    Trace a student, and mark what enters some modules.

    :param modules: names of modules; an Identity makes the tensor ``NAME.input`` of what enters
        each, or ``NAME.input.1`` and so on where a module is used again.
    """
    traced = copy.deepcopy(student).cpu().eval()
    for name in modules:
        traced.get_submodule(name).register_forward_pre_hook(partial(_mark, name))
    for module in traced.modules():
        _settle_attention(module)
    model = traced_graph(_UnitRows(traced), student.image_size)
    model.graph.name = student.name
    return model


def traced_graph(network: nn.Module, size: int) -> onnx.ModelProto:
    """
    Trace a network that gives rows for images, float32 (B, 3, size, size), and tidy its graph.

    Marks in it become Identity nodes.
    """
    stream, images = io.BytesIO(), torch.zeros(2, 3, size, size)
    with warnings.catch_warnings(), torch.no_grad():
        # That this exporter is the older one, and that sizes but the batch are constants.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network, (images,), stream, dynamo=False, opset_version=OPSET,
            do_constant_folding=False, input_names=[IMAGE], output_names=[EMBEDDING],
            dynamic_axes={IMAGE: {0: BATCH}, EMBEDDING: {0: BATCH}},
        )
        dim = network(images).shape[1]
    model = onnx.load_from_string(stream.getvalue())
    marks = _marks_to_identities(model)
    settle(model, frozenset(marks))
    fold_padding(model)
    drop_unused(model)
    # The exporter loses D where a row is divided by its length.
    replace(model.graph.output, [
        onnx.helper.make_tensor_value_info(EMBEDDING, onnx.TensorProto.FLOAT, [BATCH, dim])
    ])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def _mark(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_Mark.apply(inputs[0], name), *inputs[1:])


def _settle_attention(module: nn.Module) -> None:
    """Let an attention of timm be traced as what every runtime knows how to fuse."""
    if hasattr(module, 'fused_attn'):
        module.fused_attn = False
    mask = getattr(module, 'attn_mask', None)
    if isinstance(mask, Tensor):
        module.attn_mask = mask.masked_fill(mask != 0, OUT_OF_SIGHT)


class _UnitRows(nn.Module):
    """A student whose last step an exporter writes in three operators."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor) -> Tensor:
        rows = self.student.projection(self.student.backbone(images))
        return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)


class _Mark(torch.autograd.Function):
    """Passes a tensor on; in a traced graph it is an operator with a name."""

    @staticmethod
    def forward(_: Any, x: Tensor, name: str) -> Tensor:  # noqa: ARG004 (for the graph)
        return x.clone()

    @staticmethod
    def symbolic(graph: Any, x: Any, name: str) -> Any:
        return graph.op(f'{_DOMAIN}::Mark', x, name_s=name).setType(x.type())


def _marks_to_identities(model: onnx.ModelProto) -> list[str]:
    """Make standard ONNX of the marks; give the names of the tensors that they make."""
    graph = model.graph
    names: list[str] = []
    renamed: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == 'Mark' and node.domain == _DOMAIN:
            base = f'{node.attribute[0].s.decode()}{ENTERS}'
            times = sum(name == base or name.startswith(f'{base}.') for name in names)
            names.append(f'{base}.{times}' if times else base)
            renamed[node.output[0]] = names[-1]
            node.CopyFrom(onnx.helper.make_node('Identity', [node.input[0]], [names[-1]]))
    redirect(model, renamed)
    replace(model.opset_import, [item for item in model.opset_import if item.domain == ''])
    return names
