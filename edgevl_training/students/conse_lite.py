# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The starter student: an EfficientNet-Lite classifier and ConSE's sentences folded into one network.

Image, float32 (B, 3, S, S), to unit embedding, float32 (B, 384). BatchNorm is folded into the
convolutions, so what is quantized is what runs. Every tensor that an INT8 runtime stores passes
an `Activation`, which can be watched (calibration) or rounded (to see what INT8 will do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edgevl_training.quantize import ACTIVATION_LEVELS, Scales, weight_levels
import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper, numpy_helper
import torch
from torch import nn
import torch.nn.functional as F

# Opset and format that ONNX Runtime from 1.16 and TensorRT from 8.6 read.
OPSET = 17
IR_VERSION = 8
# The sentence embeddings are multiplied in float, so they may use all of INT8.
TABLE_LEVELS = 127


class Activation(nn.Module):
    """
    A tensor that is stored as INT8: symmetric, one scale, zero point 0.

    Passes its input on untouched until ``scale`` is set; then rounds to the nearest multiple of it
    within the INT8 range. ``watch``, when set, is called with every tensor that passes.
    """

    def __init__(self, name: str) -> None:
        """Name the tensor as it will be named in the ONNX graph."""
        super().__init__()
        self.name = name
        self.scale: Any = None
        self.watch: Callable[[torch.Tensor], None] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Watch and round, as asked."""
        if self.watch is not None:
            self.watch(x)
        if self.scale is None:
            return x
        levels = ACTIVATION_LEVELS
        return torch.round(x / self.scale).clamp_(-levels - 1, levels).mul_(self.scale)


class Weighted(nn.Module):
    """A layer's weight, output channels first, its bias, and the INT8 scale of each channel."""

    weight: torch.Tensor
    bias: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, name: str, weight: torch.Tensor, bias: torch.Tensor, depthwise: bool = False
    ) -> None:
        """Take a folded weight and bias; they are computed with as they are, rounded or not."""
        super().__init__()
        self.name = name
        self.levels = weight_levels(depthwise)
        self.register_buffer('weight', weight.detach().clone())
        self.register_buffer('bias', bias.detach().clone())
        self.register_buffer('scale', weight_scale(self.weight, self.levels))


class ConvUnit(Weighted):
    """A convolution with folded BatchNorm, explicit padding and, where asked, ReLU6."""

    def __init__(
        self, name: str, conv: nn.Conv2d, norm: Any, relu6: bool, size: int
    ) -> None:
        """
        Fold a timm convolution and its BatchNorm.

        :param size: side of the square input, which fixes TensorFlow's 'same' padding.
        """
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        super().__init__(
            name,
            conv.weight * factor[:, None, None, None],
            norm.bias - norm.running_mean * factor,
            depthwise=conv.groups > 1,
        )
        self.stride, self.groups, self.relu6 = conv.stride[0], conv.groups, relu6
        kernel = conv.kernel_size[0]
        self.out_size = -(-size // self.stride)
        total = max((self.out_size - 1) * self.stride + kernel - size, 0)
        self.padding = (total // 2, total - total // 2)
        self.output = Activation(f'{name}.output')

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, clip and store."""
        x = self.convolve(x)
        return self.output(F.relu6(x) if self.relu6 else x)

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Give what comes before clipping and storing."""
        before, after = self.padding
        if before != after:
            x = F.pad(x, (before, after, before, after))
            before = 0
        return F.conv2d(x, self.weight, self.bias, self.stride, before, groups=self.groups)

    def patches(self, x: torch.Tensor) -> torch.Tensor:
        """
        Lay out what every output pixel is a weighted sum of.

        :returns: (B, groups, inputs of one output pixel, output pixels).
        """
        before, after = self.padding
        kernel = self.weight.shape[2]
        x = F.unfold(F.pad(x, (before, after, before, after)), kernel, stride=self.stride)
        return x.reshape(len(x), self.groups, -1, x.shape[-1])


class Block(nn.Module):
    """Convolutions in a row, with the input added at the end where shapes allow."""

    # A ModuleList of ConvUnit; torch's own annotation forgets of what.
    units: Any

    def __init__(self, name: str, units: list[ConvUnit], skip: bool) -> None:
        """Chain units; ``skip`` adds the block's input to its output."""
        super().__init__()
        self.name, self.skip = name, skip
        self.units = nn.ModuleList(units)
        self.sum = Activation(f'{name}.sum') if skip else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the chain."""
        y = self.before(len(self.units), x)
        return y if self.sum is None else self.sum(x + y)

    def before(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """Give what the unit at ``index`` receives when the block receives ``x``."""
        for unit in self.units[:index]:
            x = unit(x)
        return x


class ConSELite(nn.Module):
    """Image to class logits (`forward`) or to unit embedding (`embed`)."""

    # A ModuleList of Block.
    blocks: Any
    sentences: torch.Tensor

    def __init__(
        self, classifier: Any, class_embeddings: NDArray[np.float32], input_size: int
    ) -> None:
        """Fold a timm EfficientNet-Lite and the sentence embeddings of its classes."""
        super().__init__()
        self.input_size = input_size
        self.image = Activation('image')
        stem = ConvUnit('stem', classifier.conv_stem, classifier.bn1, True, input_size)
        size = stem.out_size
        blocks = [Block('stem', [stem], skip=False)]
        for stage, children in enumerate(classifier.blocks):
            for index, child in enumerate(children):
                block = _fold_block(f'block{stage}.{index}', child, size)
                size = block.units[-1].out_size
                blocks.append(block)
        head = ConvUnit('head', classifier.conv_head, classifier.bn2, True, size)
        self.blocks = nn.ModuleList([*blocks, Block('head', [head], skip=False)])
        self.pooled = Activation('pooled')
        self.classifier = Weighted(
            'classifier', classifier.classifier.weight, classifier.classifier.bias
        )
        self.register_buffer('sentences', torch.from_numpy(class_embeddings.copy()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the ImageNet logits, float32 (B, 1000), of images, float32 (B, 3, S, S)."""
        x = self.image(images)
        for block in self.blocks:
            x = block(x)
        x = self.pooled(x.mean((2, 3)))
        return F.linear(x, self.classifier.weight, self.classifier.bias)

    def embed_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Give unit embeddings, float32 (B, 384), of logits, float32 (B, 1000)."""
        return F.normalize(torch.softmax(logits, 1) @ self.sentences, dim=1)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Give unit embeddings, float32 (B, 384), of images, float32 (B, 3, S, S)."""
        return self.embed_logits(self(images))

    def activations(self) -> Iterator[Activation]:
        """Give every tensor that is stored as INT8, in the order of the computation."""
        return (module for module in self.modules() if isinstance(module, Activation))

    def weighted(self) -> Iterator[Weighted]:
        """Give every layer that has an INT8 weight, in the order of the computation."""
        return (module for module in self.modules() if isinstance(module, Weighted))


def weight_scale(weight: torch.Tensor, levels: int) -> torch.Tensor:
    """
    Give one symmetric scale for each output channel: its largest weight is the last level.

    A dead channel, all of whose weights are next to zero, takes 1/4096 of the layer's largest
    weight instead, or its bias, counted in steps of the scale, would not fit int32.
    """
    largest = weight.abs().flatten(1).amax(1)
    return largest.clamp_min(float(largest.max()) / 4096) / levels


def _fold_block(name: str, child: Any, size: int) -> Block:
    """Fold timm's depthwise-separable and inverted-residual blocks."""
    steps = [('conv_pw', 'bn1', True), ('conv_dw', 'bn2', True), ('conv_pwl', 'bn3', False)]
    if not hasattr(child, 'conv_pwl'):
        steps = [('conv_dw', 'bn1', True), ('conv_pw', 'bn2', False)]
    units = []
    for conv, norm, relu6 in steps:
        unit = ConvUnit(
            f'{name}.{conv}', getattr(child, conv), getattr(child, norm), relu6, size
        )
        size = unit.out_size
        units.append(unit)
    return Block(name, units, skip=child.has_skip)


def to_onnx(student: ConSELite) -> onnx.ModelProto:
    """
    Write the student as a float ONNX graph, ready for a Q/DQ placement.

    Input ``image``, float32 (B, 3, S, S) with any B; output ``embedding``, float32 (B, 384).
    Tensors are named after their `Activation`, initializers after their layer.
    """
    graph = _GraphWriter()
    tensor = graph.convolutions(student)
    tensor = graph.add('GlobalAveragePool', [tensor], 'averaged')
    tensor = graph.add('Flatten', [tensor], 'pooled', axis=1)
    weight = graph.constant('classifier.weight', student.classifier.weight)
    bias = graph.constant('classifier.bias', student.classifier.bias)
    tensor = graph.add('Gemm', [tensor, weight, bias], 'logits', transB=1)
    tensor = graph.add('Softmax', [tensor], 'probabilities', axis=1)
    # Stored as (384, 1000), so that every embedding dimension has its own INT8 scale.
    sentences = graph.constant('sentences', student.sentences.T)
    tensor = graph.add('Gemm', [tensor, sentences], 'mixture', transB=1)
    norm = graph.add('ReduceL2', [tensor], 'norm', axes=[1], keepdims=1)
    graph.add('Div', [tensor, norm], 'embedding')
    return graph.model(student.input_size, student.sentences.shape[1])


def scales(student: ConSELite) -> Scales:
    """Collect the INT8 scales of a calibrated student, by the names of `to_onnx`."""
    weights = {f'{layer.name}.weight': layer for layer in student.weighted()}
    sentences = student.sentences.T.contiguous()
    return Scales(
        activations={point.name: float(point.scale) for point in student.activations()},
        weights={
            **{name: layer.scale.numpy() for name, layer in weights.items()},
            'sentences': weight_scale(sentences, TABLE_LEVELS).numpy(),
        },
        levels={
            **{name: layer.levels for name, layer in weights.items()},
            'sentences': TABLE_LEVELS,
        },
    )


class _GraphWriter:
    """Nodes and initializers of one ONNX graph, in order."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: torch.Tensor) -> str:
        array = np.ascontiguousarray(value.detach().numpy(), np.float32)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op_type, inputs, [output], output, **attributes))
        return output

    def convolutions(self, student: ConSELite) -> str:
        low, high = (self.constant(n, torch.tensor(v)) for n, v in (('zero', 0.0), ('six', 6.0)))
        tensor = student.image.name
        for block in student.blocks:
            shortcut = tensor
            for unit in block.units:
                weight = self.constant(f'{unit.name}.weight', unit.weight)
                bias = self.constant(f'{unit.name}.bias', unit.bias)
                output = f'{unit.name}.convolved' if unit.relu6 else unit.output.name
                before, after = unit.padding
                tensor = self.add(
                    'Conv',
                    [tensor, weight, bias],
                    output,
                    kernel_shape=list(unit.weight.shape[2:]),
                    strides=[unit.stride] * 2,
                    pads=[before, before, after, after],
                    group=unit.groups,
                )
                if unit.relu6:
                    tensor = self.add('Clip', [tensor, low, high], unit.output.name)
            if block.sum is not None:
                tensor = self.add('Add', [shortcut, tensor], block.sum.name)
        return tensor

    def model(self, input_size: int, embedding_dim: int) -> onnx.ModelProto:
        image = helper.make_tensor_value_info(
            'image', onnx.TensorProto.FLOAT, ['batch', 3, input_size, input_size]
        )
        embedding = helper.make_tensor_value_info(
            'embedding', onnx.TensorProto.FLOAT, ['batch', embedding_dim]
        )
        graph = helper.make_graph(
            self._nodes, 'conse_lite', [image], [embedding], self._constants
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model
